//! A connection to a peer and its framed streams: one bidirectional stream, or several unidirectional ones.

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use quinn::ConnectionError;

mod receiver;
mod sender;

pub(crate) use receiver::LinkReceiver;
pub(crate) use sender::LinkSender;

use super::{close::CloseReason, identity::PeerId, pending::Seat};
use crate::frames::FramesError;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A connection to a peer and the two halves of its stream. Dropping the last part closes the connection with
/// [`CloseReason::Cancelled`], unless it was closed before.
#[derive(Debug)]
pub(crate) struct Link {
    /// The connection.
    pub(crate) conn: LinkConn,
    /// The sending half.
    pub(crate) tx: LinkSender,
    /// The receiving half.
    pub(crate) rx: LinkReceiver,
}

impl Link {
    pub(super) fn new(
        conn: LinkConn,
        (send, recv): (quinn::SendStream, quinn::RecvStream),
        max_frame_len: usize,
    ) -> Self {
        Self {
            tx: LinkSender::new(send, conn.clone()),
            rx: LinkReceiver::new(recv, conn.clone(), max_frame_len, None),
            conn,
        }
    }

    /// Counts the link as silent until a whole frame has been read from it.
    pub(super) fn with_seat(mut self, seat: Seat) -> Self {
        self.rx.set_seat(seat);
        self
    }
}

/// An error from reading or writing the stream of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The connection or this direction of it has ended.
    #[error("the link ended: {0}")]
    Closed(CloseReason),
    /// A header announces a frame above the length limit.
    #[error("peer announced a frame of {len} bytes, above the limit of {max} bytes")]
    TooLarge {
        /// The announced length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
}

impl From<FramesError> for LinkError {
    fn from(error: FramesError) -> Self {
        match error {
            FramesError::TooLarge { len, max, .. } => Self::TooLarge { len, max },
            FramesError::Truncated { .. } => Self::Truncated,
        }
    }
}

/// A connection without its streams. Clones are handles to the same connection. Dropping the last one closes it with
/// [`CloseReason::Cancelled`], unless it was closed before.
#[derive(Clone)]
pub(crate) struct LinkConn(Arc<Inner>);

struct Inner {
    conn: quinn::Connection,
    peer: PeerId,
    id: u64,
    /// The first reason with which this side closed it.
    closed_by_us: OnceLock<CloseReason>,
    /// Passed to the first stream that the peer opens.
    seat: Mutex<Option<Seat>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.closed_by_us.get().is_none() {
            // Otherwise quinn would close with code 0, which peers do not understand.
            self.conn.close(
                CloseReason::Cancelled.wire_code(),
                CloseReason::Cancelled.name().as_bytes(),
            );
        }
    }
}

impl LinkConn {
    pub(super) fn new(conn: quinn::Connection, peer: PeerId) -> Self {
        Self::open(conn, peer, None)
    }

    /// Counts the connection as silent until a whole frame has been read from a stream that the peer opened.
    pub(super) fn with_seat(conn: quinn::Connection, peer: PeerId, seat: Seat) -> Self {
        Self::open(conn, peer, Some(seat))
    }

    fn open(conn: quinn::Connection, peer: PeerId, seat: Option<Seat>) -> Self {
        Self(Arc::new(Inner {
            conn,
            peer,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            closed_by_us: OnceLock::new(),
            seat: Mutex::new(seat),
        }))
    }

    /// Opens a bidirectional stream. Cancel safe.
    pub(super) async fn open_bi(
        &self,
    ) -> Result<(quinn::SendStream, quinn::RecvStream), ConnectionError> {
        self.0.conn.open_bi().await
    }

    /// Allows the peer to have `streams` unidirectional streams open at a time, and `window` bytes in flight on all of
    /// them together. By default it may open none.
    pub(crate) fn allow_uni(&self, streams: u8, window: u32) {
        self.0.conn.set_max_concurrent_uni_streams(streams.into());
        self.0.conn.set_receive_window(window.into());
    }

    /// Allows the peer to open one unidirectional stream in addition to the bidirectional one.
    pub(crate) fn allow_side_stream(&self) {
        self.0.conn.set_max_concurrent_uni_streams(1_u8.into());
    }

    /// Opens a unidirectional stream. The peer learns of it with the first frame. Waits while the peer allows no more
    /// streams. Cancel safe.
    pub(crate) async fn open_uni(&self) -> Result<LinkSender, LinkError> {
        match self.0.conn.open_uni().await {
            Ok(stream) => Ok(LinkSender::new(stream, self.clone())),
            Err(error) => Err(LinkError::Closed(self.reason(&error))),
        }
    }

    /// Waits for a unidirectional stream that the peer opens. Cancel safe.
    pub(crate) async fn accept_uni(&self, max_frame_len: usize) -> Result<LinkReceiver, LinkError> {
        match self.0.conn.accept_uni().await {
            Ok(stream) => {
                let seat = self.0.seat.lock();
                let seat = seat.unwrap_or_else(PoisonError::into_inner).take();
                let conn = self.clone();
                Ok(LinkReceiver::new(stream, conn, max_frame_len, seat))
            }
            Err(error) => Err(LinkError::Closed(self.reason(&error))),
        }
    }

    /// Returns the id of the peer, proven by the handshake.
    pub(crate) fn peer(&self) -> PeerId {
        self.0.peer
    }

    /// Returns a number that is unique among the connections of this process.
    pub(crate) fn stable_id(&self) -> u64 {
        self.0.id
    }

    /// Closes the connection at once and discards undelivered data. Only the first reason counts.
    pub(crate) fn close(&self, reason: CloseReason) {
        // quinn would forget the reason given by the peer.
        if self.0.conn.close_reason().is_none() && self.0.closed_by_us.set(reason).is_ok() {
            self.0
                .conn
                .close(reason.wire_code(), reason.name().as_bytes());
        }
    }

    /// Like [`close`](Self::close), with bytes after the name of the reason, which the peer reads with
    /// [`last_words`](Self::last_words). Other implementations see the code only.
    pub(crate) fn close_saying(&self, reason: CloseReason, words: &[u8]) {
        if self.0.conn.close_reason().is_none() && self.0.closed_by_us.set(reason).is_ok() {
            let text = [reason.name().as_bytes(), words].concat();
            self.0.conn.close(reason.wire_code(), &text);
        }
    }

    /// Returns the bytes that the peer sent after the name of the close reason. `None` if the peer did not close the
    /// connection, or sent a name that does not match its code.
    pub(crate) fn last_words(&self) -> Option<Bytes> {
        match self.0.conn.close_reason()? {
            ConnectionError::ApplicationClosed(close) => {
                let code = close.error_code.into_inner();
                let name = CloseReason::from_wire(code, &close.reason).name();
                let is_named = close.reason.starts_with(name.as_bytes());
                is_named.then(|| close.reason.slice(name.len()..))
            }
            _ => None,
        }
    }

    /// Returns the number of sent frames that require an acknowledgement, and of received datagrams.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        let stats = self.0.conn.stats();
        let sent = stats.frame_tx;
        // With acknowledgement frequency, a probe asks for an immediate acknowledgement instead of being a ping.
        let asking = sent.stream + sent.ping + sent.immediate_ack;
        (asking, stats.udp_rx.datagrams)
    }

    /// Waits until the connection has ended, and returns the reason: the peer's code, or the one given to
    /// [`close`](Self::close) if this side closed it first. Cancel safe.
    pub(crate) async fn closed(&self) -> CloseReason {
        let error = self.0.conn.closed().await;
        self.reason(&error)
    }

    /// Returns true if the connection has ended.
    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.0.conn.close_reason().is_some()
    }

    #[cfg(test)]
    pub(super) fn quic(&self) -> &quinn::Connection {
        &self.0.conn
    }

    fn reason(&self, error: &ConnectionError) -> CloseReason {
        match (error, self.0.closed_by_us.get()) {
            (ConnectionError::LocallyClosed, Some(reason)) => *reason,
            _ => CloseReason::from_connection_error(error),
        }
    }

    /// Returns the reason for which the connection ended, or `otherwise` if it has not.
    fn reason_or(&self, otherwise: CloseReason) -> CloseReason {
        self.0
            .conn
            .close_reason()
            .map_or(otherwise, |error| self.reason(&error))
    }
}

impl fmt::Debug for LinkConn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkConn({} with {})", self.0.id, self.0.peer)
    }
}
