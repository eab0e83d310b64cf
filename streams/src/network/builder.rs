//! The settings of a [`Network`](super::Network).

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
};

use super::{BindError, Network, SecretKey, Transport, node::Settings};
use crate::{NetworkId, discovery, frames::DEFAULT_MAX_FRAME_LEN, streams};

/// The smallest frame limit: room for an extension and an entry.
const MIN_MAX_FRAME_LEN: usize = 512 * 1024;

/// Why a network could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The settings of discovery cannot work.
    #[error("failed to configure discovery: {0}")]
    Discovery(#[from] discovery::ConfigError),
    /// The frame limit is too small for the catalog, or too large for the 4-byte header.
    #[error("the frame limit must be between 512 KiB and 4 GiB, not {0} bytes")]
    FrameLimit(usize),
    /// The network has been shut down.
    #[error("the network has been shut down")]
    ShutDown,
}

/// Collects the settings of a [`Network`].
#[derive(Debug)]
#[must_use]
pub struct NetworkBuilder {
    network_id: NetworkId,
    secret_key: Option<SecretKey>,
    addresses: BTreeSet<SocketAddr>,
    advertised: Option<BTreeSet<SocketAddr>>,
    discovery: discovery::ConfigBuilder,
    mdns: bool,
    max_frame_len: usize,
    transport: Transport,
    streams: streams::Config,
    lazy: bool,
}

impl NetworkBuilder {
    pub(super) fn new(network_id: NetworkId) -> Self {
        Self {
            network_id,
            secret_key: None,
            addresses: BTreeSet::from([SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]),
            advertised: None,
            discovery: discovery::ConfigBuilder::default(),
            mdns: false,
            max_frame_len: DEFAULT_MAX_FRAME_LEN,
            transport: Transport::default(),
            streams: streams::Config::default(),
            lazy: false,
        }
    }

    /// The key that the node is known by. Default: a new one, with which the node is another one at each start.
    pub fn with_secret_key(mut self, key: impl Into<SecretKey>) -> Self {
        self.secret_key = Some(key.into());
        self
    }

    /// Where to listen; port 0 takes any. Default: `127.0.0.1:0`, so that nobody else gets in. With none the node can
    /// only dial.
    pub fn with_addresses(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.addresses = addresses.into_iter().collect();
        self
    }

    /// What others are told to dial. Default: the addresses listened on, where an unspecified one stands for those of
    /// the machine's interfaces.
    pub fn with_advertised(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.advertised = Some(addresses.into_iter().collect());
        self
    }

    /// How other nodes are found.
    pub fn with_discovery(mut self, config: impl Into<discovery::ConfigBuilder>) -> Self {
        self.discovery = config.into();
        self
    }

    /// Whether nodes of the local network are found by multicast DNS, and find this one, IPv4 only. Default: no.
    ///
    /// Whoever is on that network can make itself heard, is dialled at most every 2 s, and then learns this node's entry.
    /// Mosaik's nodes with `mdns_discovery` are found too.
    pub const fn with_mdns_discovery(mut self, mdns: bool) -> Self {
        self.mdns = mdns;
        self
    }

    /// What all streams of the node share.
    pub fn with_streams(mut self, config: impl Into<streams::Config>) -> Self {
        self.streams = config.into();
        self
    }

    /// Bytes of the largest frame taken from a peer, without its header. Default 16 MiB, at least 512 KiB.
    pub const fn with_max_frame_len(mut self, max_frame_len: usize) -> Self {
        self.max_frame_len = max_frame_len;
        self
    }

    /// What its connections may hold and how they send. Default: see [`Transport`].
    pub const fn with_transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Whether the network opens no socket before [`Network::bind`]. Default: it opens it at once.
    pub const fn lazy(mut self, lazy: bool) -> Self {
        self.lazy = lazy;
        self
    }

    /// Builds the network, ready as soon as its sockets are bound.
    ///
    /// # Errors
    /// When the settings cannot work or an address cannot be listened on.
    pub async fn build(self) -> Result<Network, Error> {
        if self.max_frame_len < MIN_MAX_FRAME_LEN || u32::try_from(self.max_frame_len).is_err() {
            return Err(Error::FrameLimit(self.max_frame_len));
        }
        let network = Network::with_settings(Settings {
            network_id: self.network_id,
            secret_key: self.secret_key.unwrap_or_else(SecretKey::generate),
            addresses: self.addresses,
            advertised: self.advertised,
            discovery: self.discovery.build()?,
            mdns: self.mdns,
            max_frame_len: self.max_frame_len,
            transport: self.transport,
            streams: self.streams,
        });
        if !self.lazy {
            network.bind().await?;
        }
        Ok(network)
    }
}
