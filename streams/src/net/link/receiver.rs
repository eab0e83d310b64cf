//! [`LinkReceiver`]: reads frames from a stream.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use quinn::ReadError;

use super::{LinkConn, LinkError};
use crate::{
    frames::Frames,
    net::{close::CloseReason, pending::Seat, reassembly::Reassembly},
};

/// The number of chunks taken by one read, each at most the payload of a packet: about 90 KiB in total.
const CHUNKS_PER_READ: usize = 64;

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
    pub(super) fn new(
        stream: quinn::RecvStream,
        conn: LinkConn,
        max_frame_len: usize,
        seat: Option<Seat>,
    ) -> Self {
        Self {
            stream,
            conn,
            pending: Reassembly::new(max_frame_len),
            seat,
        }
    }

    /// Counts the link as silent until a whole frame has been read.
    pub(super) fn set_seat(&mut self, seat: Seat) {
        self.seat = Some(seat);
    }

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
