//! [`Network`]: a node as its user holds it, and what lives as long as the node.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    BindError, CloseReason, Endpoint, EndpointAddr, EndpointConfig, Error, NetworkBuilder, PeerId,
    SecretKey,
    accept::Handler,
    transport::{self, Transport},
};
use crate::{
    NetworkId,
    discovery::{self, Discovery},
    streams::{self, Streams},
};

/// How long an ending node waits for others to hear of it.
const DEPARTURE_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long an ending node waits for its tasks, for streams to end without loss.
const TASKS_TIMEOUT: Duration = Duration::from_secs(5);

/// What a network is built from.
pub(super) struct Settings {
    pub(super) network_id: NetworkId,
    pub(super) secret_key: SecretKey,
    pub(super) addresses: BTreeSet<SocketAddr>,
    pub(super) advertised: Option<BTreeSet<SocketAddr>>,
    pub(super) discovery: discovery::Config,
    pub(super) mdns: bool,
    pub(super) max_frame_len: usize,
    pub(super) transport: Transport,
    pub(super) streams: streams::Config,
}

/// What the parts of a node share, and what they may hold on to: it does not keep the node alive.
pub(crate) struct Core {
    local: LocalNode,
    discovery: Discovery,
    addresses: BTreeSet<SocketAddr>,
    advertised: Option<BTreeSet<SocketAddr>>,
    mdns: bool,
    max_frame_len: usize,
    transport: Transport,
    /// One binding at a time.
    binding: tokio::sync::Mutex<()>,
    endpoint: watch::Sender<Option<Endpoint>>,
    /// Registered before there was an endpoint.
    handlers: Mutex<Vec<(&'static [u8], Handler)>>,
    cancel: CancellationToken,
    ended: CancellationToken,
    tasks: TaskTracker,
}

impl Core {
    /// The sockets, if the network is bound and has not ended.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        self.endpoint.borrow().clone()
    }

    /// Waits until there are sockets; `None` when the network ends first. Cancel safe.
    pub(crate) async fn wait_endpoint(&self) -> Option<Endpoint> {
        let mut endpoint = self.endpoint.subscribe();
        let bound = endpoint.wait_for(Option::is_some);
        self.cancel.run_until_cancelled(bound).await?.ok()?.clone()
    }

    /// Cancelled when the network ends: by shutting it down or by dropping its last handle.
    pub(crate) const fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// The sockets are closed only when the tasks spawned here have ended, or 5 s after the network was cancelled.
    pub(crate) const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// The largest frame, in bytes without header.
    pub(crate) const fn send_window(&self) -> usize {
        self.transport.send_window as usize
    }

    pub(crate) const fn max_frame_len(&self) -> usize {
        self.max_frame_len
    }

    /// The node's own id, key and network.
    pub(crate) const fn local(&self) -> &LocalNode {
        &self.local
    }

    /// The node's catalog.
    pub(crate) const fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// Hands incoming links of a protocol to `handler`, from now or from when the network is bound.
    pub(crate) fn register(&self, alpn: &'static [u8], handler: Handler) -> Result<(), BindError> {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = self.endpoint() {
            return endpoint.register(alpn, handler);
        }
        handlers.push((alpn, handler));
        Ok(())
    }

    async fn bind(self: &Arc<Self>) -> Result<(), Error> {
        let _one_at_a_time = self.binding.lock().await;
        if self.cancel.is_cancelled() {
            return Err(Error::ShutDown);
        }
        if self.endpoint().is_some() {
            return Ok(());
        }
        let config = EndpointConfig {
            max_frame_len: self.max_frame_len,
            transport: self.transport,
            ..EndpointConfig::default()
        };
        let endpoint = Endpoint::bind(self.local.0.secret_key.clone(), &self.addresses, config)?;
        let advertised = match &self.advertised {
            Some(advertised) => advertised.clone(),
            None => transport::reachable(&endpoint.local_addrs()).map_err(BindError::Interfaces)?,
        };
        {
            let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
            for (alpn, handler) in handlers.drain(..) {
                endpoint.register(alpn, handler)?;
            }
            self.discovery.start(&endpoint, advertised, self.mdns)?;
            self.endpoint.send_replace(Some(endpoint.clone()));
        }
        tokio::spawn(self.clone().end(endpoint));
        Ok(())
    }

    /// Waits for the network's end, and then closes what is open.
    async fn end(self: Arc<Self>, endpoint: Endpoint) {
        self.cancel.cancelled().await;
        self.tasks.close();
        // Whoever is not told in time finds out by the purge time, and tasks that take longer lose their links below.
        let _ = tokio::join!(
            timeout(DEPARTURE_TIMEOUT, self.discovery.depart()),
            timeout(TASKS_TIMEOUT, self.tasks.wait()),
        );
        self.discovery.stop();
        self.endpoint.send_replace(None);
        endpoint.close(CloseReason::GracefulShutdown).await;
        self.ended.cancel();
    }
}

/// A node of a network. Clones are the same node; it ends with the last of them, or by [`shutdown`](Self::shutdown).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mosaik_streams::{Network, discovery};
///
/// let first = Network::new("my-network").await?;
/// let config = discovery::Config::builder().with_bootstrap(first.local().addr());
/// let second = Network::builder("my-network").with_discovery(config).build().await?;
///
/// let mut catalog = first.discovery().catalog_watch();
/// catalog.wait_for(|catalog| catalog.get(&second.local().id()).is_some()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Network(Arc<Handle>);

/// What the last [`Network`] drops.
struct Handle {
    core: Arc<Core>,
    streams: Streams,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.cancel.cancel();
    }
}

impl Network {
    /// A node with a new key, on loopback, that knows of no other.
    ///
    /// # Errors
    /// When no socket can be opened.
    pub async fn new(id: impl Into<NetworkId>) -> Result<Self, Error> {
        Self::builder(id).build().await
    }

    /// A node with settings.
    pub fn builder(id: impl Into<NetworkId>) -> NetworkBuilder {
        NetworkBuilder::new(id.into())
    }

    pub(super) fn with_settings(settings: Settings) -> Self {
        let Settings {
            network_id,
            secret_key,
            addresses,
            advertised,
            discovery,
            mdns,
            max_frame_len,
            transport,
            streams,
        } = settings;
        let cancel = CancellationToken::new();
        let discovery = Discovery::new(network_id, secret_key.clone(), discovery, max_frame_len);
        let endpoint = watch::Sender::new(None);
        let local = LocalNodeInner {
            network_id,
            secret_key,
            bound: endpoint.subscribe(),
            discovery: discovery.clone(),
            cancel: cancel.clone(),
        };
        let core = Core {
            local: LocalNode(Arc::new(local)),
            discovery,
            addresses,
            advertised,
            mdns,
            max_frame_len,
            transport,
            binding: tokio::sync::Mutex::new(()),
            endpoint,
            handlers: Mutex::default(),
            cancel,
            ended: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let core = Arc::new(core);
        let streams = Streams::new(&core, streams);
        Self(Arc::new(Handle { core, streams }))
    }

    /// Opens the sockets of a network that was built [lazily](NetworkBuilder::lazy). Does nothing when they are open.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// When an address cannot be listened on, or after the end.
    pub async fn bind(&self) -> Result<(), Error> {
        self.0.core.bind().await
    }

    /// The addresses listened on, with the ports that were assigned; none before the network is bound.
    pub fn local_addrs(&self) -> BTreeSet<SocketAddr> {
        self.0
            .core
            .endpoint()
            .map(|endpoint| endpoint.local_addrs())
            .unwrap_or_default()
    }

    /// Who this node is and where it is reached.
    pub fn local(&self) -> &LocalNode {
        &self.0.core.local
    }

    /// The network this node is part of.
    pub fn network_id(&self) -> &NetworkId {
        self.local().network_id()
    }

    /// What this node knows of others.
    pub fn discovery(&self) -> &Discovery {
        &self.0.core.discovery
    }

    /// Where this node's producers and consumers are made.
    pub fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// Waits until the node can be reached: until it is bound. Cancel safe.
    pub async fn online(&self) {
        self.local().online().await;
    }

    /// Ends the node: its peers are told, its streams end, its sockets are closed. Takes up to 8 s, mostly far less; then
    /// its addresses can be listened on again.
    /// Other handles of the same network are useless afterwards.
    ///
    /// Dropping the last handle ends the node the same way, in the background. Once begun it goes on though this future is
    /// dropped.
    pub async fn shutdown(self) {
        let core = self.0.core.clone();
        let is_bound = core.endpoint().is_some();
        core.cancel.cancel();
        if is_bound {
            core.ended.cancelled().await;
        }
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Network({} as {})", self.network_id(), self.local().id())
    }
}

/// Who this node is and where it is reached.
#[derive(Clone)]
pub struct LocalNode(Arc<LocalNodeInner>);

struct LocalNodeInner {
    network_id: NetworkId,
    secret_key: SecretKey,
    bound: watch::Receiver<Option<Endpoint>>,
    discovery: Discovery,
    cancel: CancellationToken,
}

impl LocalNode {
    /// What others know the node by.
    pub fn id(&self) -> PeerId {
        self.0.secret_key.public()
    }

    /// Where others reach the node; without addresses before it is bound.
    pub fn addr(&self) -> EndpointAddr {
        self.0.discovery.me().address().clone()
    }

    /// The key that the node proves its id with.
    pub fn secret_key(&self) -> &SecretKey {
        &self.0.secret_key
    }

    /// The network the node is part of.
    pub fn network_id(&self) -> &NetworkId {
        &self.0.network_id
    }

    /// Waits until the node can be reached, or has ended. Cancel safe.
    pub async fn online(&self) {
        let mut bound = self.0.bound.clone();
        // Either way there is nothing left to wait for.
        let _ = self
            .0
            .cancel
            .run_until_cancelled(bound.wait_for(Option::is_some))
            .await;
    }
}

impl std::fmt::Display for LocalNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalNode({})", self.id())
    }
}

impl std::fmt::Debug for LocalNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalNode({})", self.addr())
    }
}
