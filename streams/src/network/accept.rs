//! Takes incoming connections: a task for each, a deadline and a cap on those that have not yet said what they want.
//! That they have is known by their first whole frame.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use quinn::crypto::rustls::HandshakeData;
use rustls::pki_types::CertificateDer;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    CloseReason, Link, LinkConn, PeerId,
    pending::{Pending, Seat},
    tls,
};

/// What is done with a link that came in under a protocol name.
pub(crate) type Handler = Arc<dyn Fn(Link) -> BoxFuture<'static, ()> + Send + Sync>;

/// What is done with a connection that came in under a protocol name, if the protocol opens its streams itself. The
/// connection is to end when the future is dropped.
pub(crate) type ConnHandler = Arc<dyn Fn(LinkConn) -> BoxFuture<'static, ()> + Send + Sync>;

/// Who speaks a protocol.
#[derive(Clone)]
pub(super) enum Speaker {
    Link(Handler),
    Conn(ConnHandler),
}

/// Protocol names and who speaks them.
#[derive(Default)]
pub(super) struct Handlers(Mutex<HashMap<&'static [u8], Speaker>>);

impl Handlers {
    fn lock(&self) -> MutexGuard<'_, HashMap<&'static [u8], Speaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, alpn: &'static [u8], speaker: Speaker) {
        self.lock().insert(alpn, speaker);
    }

    /// Lets go of what handlers hold.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    pub(super) fn alpns(&self) -> Vec<Vec<u8>> {
        self.lock().keys().map(|alpn| alpn.to_vec()).collect()
    }

    fn get(&self, alpn: &[u8]) -> Option<Speaker> {
        self.lock().get(alpn).cloned()
    }
}

/// What the accept loops of a node share.
pub(super) struct Acceptor {
    pub(super) handlers: Handlers,
    /// Connections whose first frame is awaited.
    pub(super) pending: Arc<Pending>,
    /// With more than this many pending or dying, an address must first prove that it is its own.
    pub(super) retry_above: usize,
    /// Connections in the hands of handlers.
    pub(super) established: Arc<Semaphore>,
    pub(super) established_max: usize,
    pub(super) handshake_timeout: Duration,
    pub(super) max_frame_len: usize,
    pub(super) cancel: CancellationToken,
}

impl Acceptor {
    /// Accepts until cancelled or until the endpoint is closed.
    pub(super) async fn run(self: Arc<Self>, endpoint: quinn::Endpoint) {
        loop {
            tokio::select! {
                // Triggered when the node shuts down.
                () = self.cancel.cancelled() => return,
                // Triggered when a connection comes in, or with none once the endpoint is closed.
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => self.admit(&endpoint, incoming),
                    None => return,
                },
            }
        }
    }

    fn admit(self: &Arc<Self>, endpoint: &quinn::Endpoint, incoming: quinn::Incoming) {
        let open = endpoint.open_connections();
        // Connections that are over keep their memory for some seconds, in which quinn answers stray packets; those that
        // this node dialled are among them.
        let in_hand = self.established_max - self.established.available_permits();
        let dying = open.saturating_sub(in_hand);
        if self.pending.len() + dying >= self.retry_above
            && !incoming.remote_address_validated()
            && incoming.may_retry()
        {
            // It cannot fail: whether a retry may be sent was asked just before.
            let _ = incoming.retry();
            return;
        }
        let has_room = open < self.established_max + self.pending.max();
        let permit = self.established.clone().try_acquire_owned();
        let Some(established) = permit.ok().filter(|_| has_room) else {
            debug!(from = %incoming.remote_address(), "connection refused: too many");
            incoming.refuse();
            return;
        };
        let seat = self.pending.sit();
        tokio::spawn(self.clone().serve(incoming, seat, established));
    }

    async fn serve(
        self: Arc<Self>,
        incoming: quinn::Incoming,
        seat: Seat,
        _established: OwnedSemaphorePermit,
    ) {
        let from = incoming.remote_address();
        let deadline = Instant::now() + self.handshake_timeout;
        let watched = seat.watch();
        tokio::select! {
            // Triggered when it was served, or was not worth it.
            () = self.serve_opened(incoming, seat) => {}
            // Triggered when there is no first frame in time, or others need the seat.
            () = watched.silent(sleep_until(deadline)) => {
                debug!(%from, "an incoming connection was silent for too long");
            }
        }
    }

    async fn serve_opened(&self, incoming: quinn::Incoming, seat: Seat) {
        let from = incoming.remote_address();
        // In a box of its own, which is let go of when the connection stands.
        if let Some(served) = Box::pin(self.open(incoming, seat)).await {
            served.await;
        } else {
            debug!(%from, "an incoming connection came to nothing");
        }
    }

    /// Gives up when the node shuts down.
    async fn open(&self, incoming: quinn::Incoming, seat: Seat) -> Option<BoxFuture<'static, ()>> {
        let opened = self.open_first(incoming, seat);
        self.cancel.run_until_cancelled(opened).await.flatten()
    }

    /// What is to be done with the connection, once it is one and has the stream that its protocol needs.
    async fn open_first(
        &self,
        incoming: quinn::Incoming,
        seat: Seat,
    ) -> Option<BoxFuture<'static, ()>> {
        let conn = incoming.accept().ok()?.await.ok()?;
        let guard = CloseOnDrop(&conn);
        let alpn = conn
            .handshake_data()?
            .downcast::<HandshakeData>()
            .ok()?
            .protocol?;
        let Some(speaker) = self.handlers.get(&alpn) else {
            close(&conn, CloseReason::InvalidAlpn);
            return None;
        };
        let peer = peer_of(&conn)?;
        let served = match speaker {
            Speaker::Link(handler) => {
                let stream = conn.accept_bi().await.ok()?;
                let conn = LinkConn::new(conn.clone(), peer);
                handler(Link::new(conn, stream, self.max_frame_len).with_seat(seat))
            }
            Speaker::Conn(handler) => handler(LinkConn::with_seat(conn.clone(), peer, seat)),
        };
        std::mem::forget(guard);
        Some(served)
    }
}

/// Closes a connection that never became a link, with a code that peers understand.
struct CloseOnDrop<'a>(&'a quinn::Connection);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        close(self.0, CloseReason::Cancelled);
    }
}

fn close(conn: &quinn::Connection, reason: CloseReason) {
    conn.close(reason.wire_code(), reason.name().as_bytes());
}

/// Whose key the other side has proved to hold.
pub(super) fn peer_of(conn: &quinn::Connection) -> Option<PeerId> {
    let certificates = conn
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    tls::peer_of_certificate(certificates.first()?)
}
