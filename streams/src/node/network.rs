//! [`Network`]: the public handle to a node, and the state that lives as long as the node.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{error::Error, settings::Settings};
use crate::{
    NetworkId,
    channel::env::Env,
    discovery::Discovery,
    net::{self, BindError, CloseReason, Endpoint, EndpointAddr, Host, PeerId, SecretKey},
    registry::Streams,
};

/// The time for which a node that shuts down waits until its departure is sent to others.
const DEPARTURE_TIMEOUT: Duration = Duration::from_millis(1500);

/// The parts of a node. It does not keep the node alive.
struct Core {
    local: LocalNode,
    host: Arc<Host>,
    discovery: Discovery,
    addresses: BTreeSet<SocketAddr>,
    advertised: Option<BTreeSet<SocketAddr>>,
    mdns: bool,
    /// Allows one binding at a time.
    binding: tokio::sync::Mutex<()>,
    ended: CancellationToken,
}

impl Core {
    async fn bind(self: &Arc<Self>) -> Result<(), Error> {
        let _one_at_a_time = self.binding.lock().await;
        if self.host.cancel().is_cancelled() {
            return Err(Error::ShutDown);
        }
        if self.host.endpoint().is_some() {
            return Ok(());
        }
        let endpoint = self.host.open(self.local.secret_key(), &self.addresses)?;
        let advertised = match &self.advertised {
            Some(advertised) => advertised.clone(),
            None => net::reachable(&endpoint.local_addrs()).map_err(BindError::Interfaces)?,
        };
        self.host.publish(&endpoint, || {
            self.discovery.start(&endpoint, advertised, self.mdns)
        })?;
        tokio::spawn(self.clone().end(endpoint));
        Ok(())
    }

    /// Waits until the network is cancelled, then closes everything.
    async fn end(self: Arc<Self>, endpoint: Endpoint) {
        self.host.cancel().cancelled().await;
        // Peers that are not reached in time notice at the purge time.
        let _ = tokio::join!(
            timeout(DEPARTURE_TIMEOUT, self.discovery.depart()),
            self.host.end_tasks(),
        );
        self.discovery.stop();
        self.host.withdraw();
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
        self.core.host.cancel().cancel();
    }
}

impl Network {
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
        let host = Host::new(max_frame_len, transport);
        let discovery = Discovery::new(network_id, secret_key.clone(), discovery, max_frame_len);
        let env = Env::new(
            &secret_key,
            network_id,
            discovery.clone(),
            streams,
            host.clone(),
        );
        let local = LocalNodeInner {
            network_id,
            secret_key,
            bound: host.watch(),
            discovery: discovery.clone(),
            cancel: host.cancel().clone(),
        };
        let core = Arc::new(Core {
            local: LocalNode(Arc::new(local)),
            host,
            discovery,
            addresses,
            advertised,
            mdns,
            binding: tokio::sync::Mutex::new(()),
            ended: CancellationToken::new(),
        });
        let streams = Streams::new(env);
        Self(Arc::new(Handle { core, streams }))
    }

    /// Opens the sockets of a network that was built [lazily](super::builder::NetworkBuilder::lazy). Does nothing if they are open.
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
            .host
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
        let is_bound = core.host.endpoint().is_some();
        core.host.cancel().cancel();
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
