//! [`Network`]: the public handle to a node, and the state that lives as long as the node.

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

/// The time for which a node that shuts down waits until its departure is sent to others.
const DEPARTURE_TIMEOUT: Duration = Duration::from_millis(1500);
/// The time for which a node that shuts down waits for its tasks, so that streams end without loss.
const TASKS_TIMEOUT: Duration = Duration::from_secs(5);

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
    pub(super) streams: streams::Config,
}

/// The state that the parts of a node share. It does not keep the node alive.
pub(crate) struct Core {
    local: LocalNode,
    discovery: Discovery,
    addresses: BTreeSet<SocketAddr>,
    advertised: Option<BTreeSet<SocketAddr>>,
    mdns: bool,
    max_frame_len: usize,
    transport: Transport,
    /// Allows one binding at a time.
    binding: tokio::sync::Mutex<()>,
    endpoint: watch::Sender<Option<Endpoint>>,
    /// The handlers that were registered before the endpoint existed.
    handlers: Mutex<Vec<(&'static [u8], Handler)>>,
    cancel: CancellationToken,
    ended: CancellationToken,
    tasks: TaskTracker,
}

impl Core {
    /// Returns the endpoint, if the network is bound and has not ended.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        self.endpoint.borrow().clone()
    }

    /// Waits for the endpoint; `None` if the network ends first. Cancel safe.
    pub(crate) async fn wait_endpoint(&self) -> Option<Endpoint> {
        let mut endpoint = self.endpoint.subscribe();
        let bound = endpoint.wait_for(Option::is_some);
        self.cancel.run_until_cancelled(bound).await?.ok()?.clone()
    }

    /// Returns the token that is cancelled when the network is shut down or its last handle is dropped.
    pub(crate) const fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Returns the tracker for tasks. The sockets are closed once its tasks have ended, or 5 s after the network was
    /// cancelled.
    pub(crate) const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// The send window of a connection in bytes.
    pub(crate) const fn send_window(&self) -> usize {
        self.transport.send_window as usize
    }

    pub(crate) const fn max_frame_len(&self) -> usize {
        self.max_frame_len
    }

    /// Returns the node's own id, key and network.
    pub(crate) const fn local(&self) -> &LocalNode {
        &self.local
    }

    /// Returns the node's discovery.
    pub(crate) const fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// Passes incoming links of a protocol to `handler`, from now on or from when the network is bound.
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

    /// Waits until the network is cancelled, then closes everything.
    async fn end(self: Arc<Self>, endpoint: Endpoint) {
        self.cancel.cancelled().await;
        self.tasks.close();
        // Peers that are not reached in time notice at the purge time. Tasks that take longer lose their links below.
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

/// A node of a network. Clones are handles to the same node. It shuts down when the last one is dropped, or on
/// [`shutdown`](Self::shutdown).
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

/// Shuts the node down when the last [`Network`] drops it.
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

    /// Opens the sockets of a network that was built [lazily](NetworkBuilder::lazy). Does nothing if they are open.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// Fails if an address cannot be listened on, or the network has been shut down.
    pub async fn bind(&self) -> Result<(), Error> {
        self.0.core.bind().await
    }

    /// Returns the listening addresses with their assigned ports. Empty before the network is bound.
    pub fn local_addrs(&self) -> BTreeSet<SocketAddr> {
        self.0
            .core
            .endpoint()
            .map(|endpoint| endpoint.local_addrs())
            .unwrap_or_default()
    }

    /// Returns the identity and addresses of this node.
    pub fn local(&self) -> &LocalNode {
        &self.0.core.local
    }

    /// Returns the id of the network.
    pub fn network_id(&self) -> &NetworkId {
        self.local().network_id()
    }

    /// Returns the discovery of other nodes.
    pub fn discovery(&self) -> &Discovery {
        &self.0.core.discovery
    }

    /// Returns the factory for this node's producers and consumers.
    pub fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// Waits until the node is bound and can be reached. Cancel safe.
    pub async fn online(&self) {
        self.local().online().await;
    }

    /// Shuts the node down: notifies its peers, ends its streams and closes its sockets. Takes up to 8 s, usually far
    /// less. Afterwards its addresses can be listened on again, and other handles of the same network are unusable.
    ///
    /// Dropping the last handle shuts the node down in the background. Dropping this future does not stop the shutdown.
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

/// The identity and addresses of a node.
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
    /// Returns the id of the node.
    pub fn id(&self) -> PeerId {
        self.0.secret_key.public()
    }

    /// Returns the address of the node. It contains no socket addresses before the node is bound.
    pub fn addr(&self) -> EndpointAddr {
        self.0.discovery.me().address().clone()
    }

    /// Returns the secret key of the node.
    pub fn secret_key(&self) -> &SecretKey {
        &self.0.secret_key
    }

    /// Returns the id of the network.
    pub fn network_id(&self) -> &NetworkId {
        &self.0.network_id
    }

    /// Waits until the node can be reached or has shut down. Cancel safe.
    pub async fn online(&self) {
        let mut bound = self.0.bound.clone();
        // In either case there is nothing left to wait for.
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
