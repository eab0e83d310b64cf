//! [`LinkSender`]: writes frames to a stream.

use bytes::Bytes;
use quinn::WriteError;

use super::{LinkConn, LinkError};
use crate::{frames::HEADER_LEN, net::close::CloseReason};

/// The half of a link that writes frames.
#[derive(Debug)]
pub(crate) struct LinkSender {
    stream: quinn::SendStream,
    conn: LinkConn,
}

impl LinkSender {
    pub(super) const fn new(stream: quinn::SendStream, conn: LinkConn) -> Self {
        Self { stream, conn }
    }

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
