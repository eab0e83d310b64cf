//! A connection to a peer and its framed streams: one bidirectional stream, or several unidirectional ones.

use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use quinn::{ConnectionError, ReadError, WriteError};

use super::{close::CloseReason, identity::PeerId, pending::Seat, reassembly::Reassembly};
use crate::frames::{Frames, FramesError, HEADER_LEN};

/// The number of chunks taken by one read, each at most the payload of a packet: about 90 KiB in total.
const CHUNKS_PER_READ: usize = 64;

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
            tx: LinkSender {
                stream: send,
                conn: conn.clone(),
            },
            rx: LinkReceiver {
                stream: recv,
                conn: conn.clone(),
                pending: Reassembly::new(max_frame_len),
                seat: None,
            },
            conn,
        }
    }

    /// Counts the link as silent until a whole frame has been read from it.
    pub(super) fn with_seat(mut self, seat: Seat) -> Self {
        self.rx.seat = Some(seat);
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
            Ok(stream) => Ok(LinkSender {
                stream,
                conn: self.clone(),
            }),
            Err(error) => Err(LinkError::Closed(self.reason(&error))),
        }
    }

    /// Waits for a unidirectional stream that the peer opens. Cancel safe.
    pub(crate) async fn accept_uni(&self, max_frame_len: usize) -> Result<LinkReceiver, LinkError> {
        match self.0.conn.accept_uni().await {
            Ok(stream) => Ok(LinkReceiver {
                stream,
                conn: self.clone(),
                pending: Reassembly::new(max_frame_len),
                seat: self
                    .0
                    .seat
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take(),
            }),
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

/// The half of a link that writes frames.
#[derive(Debug)]
pub(crate) struct LinkSender {
    stream: quinn::SendStream,
    conn: LinkConn,
}

impl LinkSender {
    /// Writes chunks that are already framed, and leaves them empty. Waits while the peer does not read.
    ///
    /// Not cancel safe: if the future is dropped, a part of the bytes may have been sent, and the stream must not be
    /// used again.
    pub(crate) async fn send_wire(&mut self, chunks: &mut [Bytes]) -> Result<(), LinkError> {
        self.stream
            .write_all_chunks(chunks)
            .await
            .map_err(|error| self.error(&error))
    }

    /// Writes one frame with this payload. Not cancel safe.
    ///
    /// # Errors
    /// Link errors, and [`LinkError::TooLarge`] if the length of the payload does not fit into the header.
    pub(crate) async fn send_frame(&mut self, payload: &[u8]) -> Result<(), LinkError> {
        let too_large = LinkError::TooLarge {
            len: payload.len(),
            max: u32::MAX as usize,
        };
        let header = u32::try_from(payload.len())
            .map_err(|_| too_large)?
            .to_be_bytes();
        let mut frame = Vec::with_capacity(HEADER_LEN + payload.len());
        frame.extend_from_slice(&header);
        frame.extend_from_slice(payload);
        self.send_wire(&mut [Bytes::from(frame)]).await
    }

    /// Ends the stream after the frames that were written, which are still delivered.
    pub(crate) fn finish(&mut self) {
        // Fails only if the stream has already ended, which the connection reports.
        let _ = self.stream.finish();
    }

    /// Waits until the peer has received everything written before [`finish`](Self::finish), or has stopped the stream.
    /// Cancel safe.
    pub(crate) async fn delivered(&self) {
        // On any outcome there is nothing more to wait for.
        let _ = self.stream.stopped().await;
    }

    fn error(&self, error: &WriteError) -> LinkError {
        LinkError::Closed(match error {
            WriteError::ConnectionLost(error) => self.conn.reason(error),
            WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                self.conn.reason_or(CloseReason::UnexpectedClose)
            }
        })
    }
}

/// The half of a link that reads frames.
#[derive(Debug)]
pub(crate) struct LinkReceiver {
    stream: quinn::RecvStream,
    conn: LinkConn,
    pending: Reassembly,
    /// Held until the first whole frame if the peer dialled.
    seat: Option<Seat>,
}

impl LinkReceiver {
    /// Returns all whole frames that have arrived, at least one, or `None` once the peer has finished the stream.
    ///
    /// Cancel safe: no received data is lost. While it is not called, the peer is held back once the flow-control
    /// window is full.
    ///
    /// # Errors
    /// [`LinkError::TooLarge`] as soon as a header announces a frame above the limit, [`LinkError::Truncated`] if the
    /// stream ends inside a frame, [`LinkError::Closed`] if the connection ended. Whole frames before the error are
    /// returned first.
    pub(crate) async fn recv_frames(&mut self) -> Result<Option<Frames>, LinkError> {
        loop {
            if let Some(frames) = self.pending.take_frames()? {
                self.seat = None;
                return Ok(Some(frames));
            }
            if !self.fill().await? {
                return self.at_end();
            }
        }
    }

    /// Returns the payload of one frame. Otherwise like [`recv_frames`](Self::recv_frames), and also cancel safe.
    pub(crate) async fn recv_frame(&mut self) -> Result<Option<Bytes>, LinkError> {
        loop {
            if let Some(frame) = self.pending.take_frame()? {
                self.seat = None;
                return Ok(Some(frame));
            }
            if !self.fill().await? {
                return self.at_end();
            }
        }
    }

    /// Waits for the header of the next frame and returns the announced length, or `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// As [`recv_frame`](Self::recv_frame).
    pub(crate) async fn next_len(&mut self) -> Result<Option<usize>, LinkError> {
        loop {
            if let Some(len) = self.pending.next_len()? {
                return Ok(Some(len));
            }
            if !self.fill().await? {
                return self.at_end();
            }
        }
    }

    /// Sets the maximum length of a frame in bytes, without its header.
    pub(crate) fn set_max_frame_len(&mut self, max_frame_len: usize) {
        self.pending.set_max_frame_len(max_frame_len);
    }

    /// Reads everything that has arrived, at least one byte. Returns false at the end. Cancel safe.
    async fn fill(&mut self) -> Result<bool, LinkError> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, LinkError>> {
        // 2 KiB. A local of the poll function, so that waiting tasks do not hold it.
        let mut chunks = [const { Bytes::new() }; CHUNKS_PER_READ];
        let read = ready!(pin!(self.stream.read_chunks(&mut chunks)).poll(cx));
        Poll::Ready(match read {
            Ok(Some(count)) => {
                self.pending.extend(&mut chunks[..count]);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(ReadError::ConnectionLost(error)) => {
                Err(LinkError::Closed(self.conn.reason(&error)))
            }
            Err(_) => Err(LinkError::Closed(
                self.conn.reason_or(CloseReason::UnexpectedClose),
            )),
        })
    }

    fn at_end<T>(&self) -> Result<Option<T>, LinkError> {
        if self.pending.is_empty() {
            Ok(None)
        } else {
            Err(LinkError::Truncated)
        }
    }
}
