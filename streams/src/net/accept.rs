//! Accepts incoming connections. Each runs in its own task. A connection that has not sent its first whole frame yet
//! has a deadline, and the number of such connections is limited.

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
    close::CloseReason,
    identity::PeerId,
    link::{Link, LinkConn},
    pending::{Pending, Seat},
    tls,
};

/// Handles an incoming link of a protocol.
pub(crate) type Handler = Arc<dyn Fn(Link) -> BoxFuture<'static, ()> + Send + Sync>;

/// Handles an incoming connection of a protocol that opens its streams itself. Dropping the future must end the
/// connection.
pub(crate) type ConnHandler = Arc<dyn Fn(LinkConn) -> BoxFuture<'static, ()> + Send + Sync>;

/// The handler of a protocol.
#[derive(Clone)]
pub(super) enum Speaker {
    Link(Handler),
    Conn(ConnHandler),
}

/// The handlers by protocol name.
#[derive(Default)]
pub(super) struct Handlers(Mutex<HashMap<&'static [u8], Speaker>>);

impl Handlers {
    fn lock(&self) -> MutexGuard<'_, HashMap<&'static [u8], Speaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, alpn: &'static [u8], speaker: Speaker) {
        self.lock().insert(alpn, speaker);
    }

    /// Drops all handlers and everything they own.
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

/// The state that the accept loops of a node share.
pub(super) struct Acceptor {
    pub(super) handlers: Handlers,
    /// The connections that have not sent their first frame yet.
    pub(super) pending: Arc<Pending>,
    /// Above this number of pending or closing connections, addresses are validated first.
    pub(super) retry_above: usize,
    /// Limits the number of connections that handlers may have.
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
                // Triggered by an incoming connection, or by `None` once the endpoint is closed.
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => self.admit(&endpoint, incoming),
                    None => return,
                },
            }
        }
    }

    fn admit(self: &Arc<Self>, endpoint: &quinn::Endpoint, incoming: quinn::Incoming) {
        let open = endpoint.open_connections();
        // quinn keeps closed connections in memory for some seconds to answer stray packets. This includes connections
        // that this node dialled.
        let in_hand = self.established_max - self.established.available_permits();
        let dying = open.saturating_sub(in_hand);
        if self.pending.len() + dying >= self.retry_above
            && !incoming.remote_address_validated()
            && incoming.may_retry()
        {
            // Cannot fail: `may_retry` was checked above.
            let _ = incoming.retry();
            return;
        }
        let has_room = open < self.established_max + self.pending.max();
        let permit = self.established.clone().try_acquire_owned();
        let Some(established) = permit.ok().filter(|_| has_room) else {
            debug!(from = %incoming.remote_address(), "connection refused: too many connections");
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
            // Triggered when the connection was served or failed to open.
            () = self.serve_opened(incoming, seat) => {}
            // Triggered when there is no first frame in time, or other connections need the seat.
            () = watched.silent(sleep_until(deadline)) => {
                debug!(%from, "incoming connection timed out before its first frame");
            }
        }
    }

    async fn serve_opened(&self, incoming: quinn::Incoming, seat: Seat) {
        let from = incoming.remote_address();
        // Boxed, so that its memory is freed once the connection is open.
        if let Some(served) = Box::pin(self.open(incoming, seat)).await {
            served.await;
        } else {
            debug!(%from, "incoming connection failed to open");
        }
    }

    /// Opens the connection. Gives up when the node shuts down.
    async fn open(&self, incoming: quinn::Incoming, seat: Seat) -> Option<BoxFuture<'static, ()>> {
        let opened = self.open_first(incoming, seat);
        self.cancel.run_until_cancelled(opened).await.flatten()
    }

    /// Returns the future that serves the connection, once it is established and has the stream that its protocol
    /// needs.
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

/// Closes a connection that did not become a link, with a code that peers understand.
struct CloseOnDrop<'a>(&'a quinn::Connection);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        close(self.0, CloseReason::Cancelled);
    }
}

fn close(conn: &quinn::Connection, reason: CloseReason) {
    conn.close(reason.wire_code(), reason.name().as_bytes());
}

/// Returns the id of the peer whose key was proven in the handshake.
pub(super) fn peer_of(conn: &quinn::Connection) -> Option<PeerId> {
    let certificates = conn
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    tls::peer_of_certificate(certificates.first()?)
}
