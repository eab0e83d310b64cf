//! [`Host`]: the sockets of a node, which may be opened later, and the tasks of the node.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    accept::Handler,
    endpoint::{BindError, Endpoint, EndpointConfig},
    identity::SecretKey,
    transport::Transport,
};

/// The time for which a node that shuts down waits for its tasks, so that streams end without loss.
const TASKS_TIMEOUT: Duration = Duration::from_secs(5);

/// The endpoint of a node, from before it is bound until after it is closed, and the tasks that the node's shutdown
/// waits for. It does not keep the node alive.
pub(crate) struct Host {
    max_frame_len: usize,
    transport: Transport,
    endpoint: watch::Sender<Option<Endpoint>>,
    /// The handlers that were registered before the endpoint existed.
    handlers: Mutex<Vec<(&'static [u8], Handler)>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Host {
    pub(crate) fn new(max_frame_len: usize, transport: Transport) -> Arc<Self> {
        Arc::new(Self {
            max_frame_len,
            transport,
            endpoint: watch::Sender::new(None),
            handlers: Mutex::default(),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Returns the endpoint, if the node is bound and has not ended.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        self.endpoint.borrow().clone()
    }

    /// Returns a watch on the endpoint.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Endpoint>> {
        self.endpoint.subscribe()
    }

    /// Waits for the endpoint; `None` if the node ends first. Cancel safe.
    pub(crate) async fn wait_endpoint(&self) -> Option<Endpoint> {
        let mut endpoint = self.endpoint.subscribe();
        let bound = endpoint.wait_for(Option::is_some);
        self.cancel.run_until_cancelled(bound).await?.ok()?.clone()
    }

    /// Returns the token that is cancelled when the node is shut down or its last handle is dropped.
    pub(crate) const fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Returns the tracker for tasks. The sockets are closed once its tasks have ended, or 5 s after the node was
    /// cancelled.
    pub(crate) const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Waits until all tasks have ended, at most 5 s. Accepts no more tasks.
    pub(crate) async fn end_tasks(&self) {
        self.tasks.close();
        // Tasks that take longer lose their links.
        let _ = timeout(TASKS_TIMEOUT, self.tasks.wait()).await;
    }

    /// The send window of a connection in bytes.
    pub(crate) const fn send_window(&self) -> usize {
        self.transport.send_window as usize
    }

    pub(crate) const fn max_frame_len(&self) -> usize {
        self.max_frame_len
    }

    /// Passes incoming links of a protocol to `handler`, from now on or from when the node is bound.
    pub(crate) fn register(&self, alpn: &'static [u8], handler: Handler) -> Result<(), BindError> {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = self.endpoint() {
            return endpoint.register(alpn, handler);
        }
        handlers.push((alpn, handler));
        Ok(())
    }

    /// Opens a socket for each address, without making the endpoint available yet.
    pub(crate) fn open(
        &self,
        secret: &SecretKey,
        addresses: &BTreeSet<SocketAddr>,
    ) -> Result<Endpoint, BindError> {
        let config = EndpointConfig {
            max_frame_len: self.max_frame_len,
            transport: self.transport,
            ..EndpointConfig::default()
        };
        Endpoint::bind(secret.clone(), addresses, config)
    }

    /// Registers the handlers with an endpoint, runs `start`, and makes the endpoint available if that succeeds.
    pub(crate) fn publish(
        &self,
        endpoint: &Endpoint,
        start: impl FnOnce() -> Result<(), BindError>,
    ) -> Result<(), BindError> {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        for (alpn, handler) in handlers.drain(..) {
            endpoint.register(alpn, handler)?;
        }
        start()?;
        self.endpoint.send_replace(Some(endpoint.clone()));
        Ok(())
    }

    /// Makes the endpoint unavailable.
    pub(crate) fn withdraw(&self) {
        self.endpoint.send_replace(None);
    }
}
