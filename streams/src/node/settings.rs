//! The settings of a node.

use std::{collections::BTreeSet, net::SocketAddr};

use crate::{
    NetworkId,
    channel::config,
    discovery,
    net::{SecretKey, Transport},
};

/// The settings from which a network is built.
pub(super) struct Settings {
    pub(super) network_id: NetworkId,
    pub(super) secret_key: SecretKey,
    pub(super) addresses: BTreeSet<SocketAddr>,
    pub(super) advertised: Option<BTreeSet<SocketAddr>>,
    pub(super) discovery: discovery::Config,
    pub(super) mdns: bool,
    pub(super) max_frame_len: usize,
    pub(super) transport: Transport,
    pub(super) streams: config::Config,
}
