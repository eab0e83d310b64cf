//! [`Gossip`]: the interface of the gossip task to the rest of discovery.

use std::sync::atomic::{AtomicUsize, Ordering};

use mosaik_gossip::MAX_CONTENT_LEN;
use tokio::sync::{Notify, mpsc, oneshot};

use super::announcement;
use crate::{
    PeerId,
    net::{CloseReason, LinkConn},
    peer::SignedPeerEntry,
};

/// The maximum number of requests that wait for the task.
const REQUESTS_MAX: usize = 16;

/// The interface of the task to the rest of discovery.
pub(in crate::discovery) struct Gossip {
    pub(super) announce: Notify,
    pub(super) neighbours: AtomicUsize,
    requests: mpsc::Sender<Request>,
}

pub(in crate::discovery) enum Request {
    /// Add an incoming connection.
    Incoming(LinkConn),
    /// Become the neighbour of a peer, even if another one must make room.
    Join(PeerId),
    /// Depart.
    Depart(oneshot::Sender<()>),
}

impl Gossip {
    pub(in crate::discovery) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, requested) = mpsc::channel(REQUESTS_MAX);
        let this = Self {
            announce: Notify::new(),
            neighbours: AtomicUsize::new(0),
            requests,
        };
        (this, requested)
    }

    /// Announces the local entry in its latest version. Returns false if that reaches no node: there is no neighbour, or
    /// the entry does not fit into a message.
    pub(in crate::discovery) fn announce(&self, local: &SignedPeerEntry) -> bool {
        self.announce.notify_one();
        let entry = announcement::of_entry(local);
        self.neighbours() > 0 && entry.len() <= MAX_CONTENT_LEN
    }

    /// Returns the number of neighbours.
    pub(in crate::discovery) fn neighbours(&self) -> usize {
        self.neighbours.load(Ordering::Relaxed)
    }

    /// Announces the departure of this node, and waits up to 850 ms until its neighbours have received it. Nothing is
    /// sent afterwards.
    pub(in crate::discovery) async fn depart(&self) {
        let (done, told) = oneshot::channel();
        if self.requests.send(Request::Depart(done)).await.is_ok() {
            // An error means that the node is shutting down anyway.
            let _ = told.await;
        }
    }

    /// Adds an incoming connection, and returns when it has ended. Dropping the future closes the connection.
    pub(in crate::discovery) async fn serve(&self, conn: LinkConn) {
        let _ended = EndOnDrop(conn.clone());
        let request = Request::Incoming(conn.clone());
        if self.requests.try_send(request).is_err() {
            conn.close(CloseReason::NoCapacity);
        }
        conn.closed().await;
    }

    /// Asks a peer whose gossip should have reached this node, and has not, to become a neighbour. Does nothing if the
    /// queue is full; the request is repeated later.
    pub(in crate::discovery) fn join(&self, peer: PeerId) {
        let _ = self.requests.try_send(Request::Join(peer));
    }
}

struct EndOnDrop(LinkConn);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        // Does nothing if the connection has ended.
        self.0.close(CloseReason::Cancelled);
    }
}
