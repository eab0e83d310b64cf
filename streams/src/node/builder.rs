//! The settings of a [`Network`](super::Network).

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
};

use super::{error::Error, network::Network, settings::Settings};
use crate::{
    NetworkId,
    channel::config,
    discovery,
    frames::DEFAULT_MAX_FRAME_LEN,
    net::{SecretKey, Transport},
};

/// The minimum frame limit: an extension and a catalog entry must fit.
const MIN_MAX_FRAME_LEN: usize = 512 * 1024;

/// Configures and builds a [`Network`].
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
    streams: config::Config,
    lazy: bool,
}

impl Network {
    /// Starts a node with a new key, on loopback, without knowledge of other nodes.
    ///
    /// # Errors
    /// Fails if no socket can be opened.
    pub async fn new(id: impl Into<NetworkId>) -> Result<Self, Error> {
        Self::builder(id).build().await
    }

    /// Returns a builder for a node.
    pub fn builder(id: impl Into<NetworkId>) -> NetworkBuilder {
        NetworkBuilder::new(id.into())
    }
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
            streams: config::Config::default(),
            lazy: false,
        }
    }

    /// Sets the key that identifies the node. Default: a new key, which changes the node's id at each start.
    pub fn with_secret_key(mut self, key: impl Into<SecretKey>) -> Self {
        self.secret_key = Some(key.into());
        self
    }

    /// Sets the addresses to listen on. Port 0 selects a free port. Default: `127.0.0.1:0`, which is reachable from
    /// this machine only. An empty set creates a node that only dials.
    pub fn with_addresses(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.addresses = addresses.into_iter().collect();
        self
    }

    /// Sets the addresses that other nodes dial. Default: the listening addresses, with an unspecified address replaced
    /// by those of the machine's interfaces.
    pub fn with_advertised(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.advertised = Some(addresses.into_iter().collect());
        self
    }

    /// Sets how other nodes are discovered.
    pub fn with_discovery(mut self, config: impl Into<discovery::ConfigBuilder>) -> Self {
        self.discovery = config.into();
        self
    }

    /// Enables discovery of nodes on the local network by multicast DNS (IPv4). Default: false.
    ///
    /// Any host on the local network can announce a node. An announced node is dialled at most every 2 s, and then
    /// receives this node's entry. Mosaik nodes with `mdns_discovery` are discovered too.
    pub const fn with_mdns_discovery(mut self, mdns: bool) -> Self {
        self.mdns = mdns;
        self
    }

    /// Sets the settings that all streams of the node share.
    pub fn with_streams(mut self, config: impl Into<config::Config>) -> Self {
        self.streams = config.into();
        self
    }

    /// Sets the maximum length of a received frame in bytes, without its header. Default 16 MiB, minimum 512 KiB.
    pub const fn with_max_frame_len(mut self, max_frame_len: usize) -> Self {
        self.max_frame_len = max_frame_len;
        self
    }

    /// Sets the memory limits and congestion control of connections. Default: see [`Transport`].
    pub const fn with_transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Defers opening sockets until [`Network::bind`]. Default: false.
    pub const fn lazy(mut self, lazy: bool) -> Self {
        self.lazy = lazy;
        self
    }

    /// Builds the network. It is ready once its sockets are bound.
    ///
    /// # Errors
    /// Fails if the settings are invalid or an address cannot be listened on.
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
