//! [`Env`]: the services of a node that producers and consumers use.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{config::Config, hold::Holds, protocol};
use crate::{
    NetworkId, PeerId, SecretKey,
    discovery::Discovery,
    net::{ConnectError, Handler, Host, Link},
    peer::PeerEntry,
};

/// The services of a node that producers and consumers use.
pub(crate) struct Env {
    pub(crate) local_id: PeerId,
    /// Identifies this process to remote producers.
    pub(crate) process: [u8; 16],
    pub(crate) network_id: NetworkId,
    pub(crate) discovery: Discovery,
    pub(crate) config: Config,
    /// The holds that prevent shared subscriptions from dialling.
    pub(crate) holds: Holds,
    /// Cancelled to stop every task.
    pub(crate) cancel: CancellationToken,
    host: Arc<Host>,
    runtime: tokio::runtime::Handle,
}

impl Env {
    /// Must be called inside a Tokio runtime, which runs the tasks of the streams.
    pub(crate) fn new(
        secret_key: &SecretKey,
        network_id: NetworkId,
        discovery: Discovery,
        config: Config,
        host: Arc<Host>,
    ) -> Arc<Self> {
        Arc::new(Self {
            local_id: secret_key.public(),
            process: discovery.process(),
            network_id,
            discovery,
            config,
            holds: Holds::default(),
            cancel: host.cancel().clone(),
            host,
            runtime: tokio::runtime::Handle::current(),
        })
    }

    /// Spawns a task that the node's shutdown waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.host.tasks().spawn_on(task, &self.runtime);
    }

    /// Returns the maximum length in bytes of a record from other nodes, unless a consumer sets a lower one.
    pub(crate) fn max_frame_len(&self) -> usize {
        self.host.max_frame_len()
    }

    /// Returns the maximum number of unacknowledged bytes per connection.
    pub(crate) fn send_window(&self) -> usize {
        self.host.send_window()
    }

    /// Passes incoming links of the streams protocol to `handler`.
    pub(crate) fn accept(&self, handler: Handler) {
        if let Err(error) = self.host.register(protocol::ALPN, handler) {
            tracing::error!(%error, "failed to register the streams protocol; other nodes cannot subscribe");
        }
    }

    /// Dials a node with the streams protocol, once this node is bound. Cancel safe.
    pub(crate) async fn connect(&self, peer: &PeerEntry) -> Result<Link, ConnectError> {
        let endpoint = self
            .host
            .wait_endpoint()
            .await
            .ok_or(ConnectError::EndpointClosed)?;
        endpoint.connect(peer.address(), protocol::ALPN).await
    }
}
