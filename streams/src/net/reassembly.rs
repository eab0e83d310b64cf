//! Assembles frames from the chunks in which they arrive. No I/O.

use bytes::{Buf, Bytes, BytesMut};

use crate::frames::{Frames, FramesError, HEADER_LEN, scan};

/// The minimum length of a chunk that is passed on without copying. A shorter one may be a slice of a receive buffer of
/// up to 64 KiB, which a queued record would keep alive; copying it costs less than receiving it did.
const ZERO_COPY_MIN: usize = 8 * 1024;

/// Received bytes that were not returned yet: at most the chunks of one read and one incomplete frame.
#[derive(Debug)]
pub(crate) struct Reassembly {
    /// Copied bytes. Contains everything unless `chunk` does.
    buffer: BytesMut,
    /// A long chunk, uncopied. Only used while `buffer` is empty.
    chunk: Bytes,
    max_frame_len: usize,
}

impl Reassembly {
    /// Creates an empty reassembly that refuses frames of more than `max_frame_len` bytes.
    pub(crate) fn new(max_frame_len: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            chunk: Bytes::new(),
            max_frame_len,
        }
    }

    pub(crate) fn set_max_frame_len(&mut self, max_frame_len: usize) {
        self.max_frame_len = max_frame_len;
    }

    /// Returns true if no bytes are held.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.chunk.is_empty()
    }

    /// Adds received chunks and leaves them empty. Memory grows with the received bytes, never with the length that a
    /// header announces.
    pub(crate) fn extend(&mut self, chunks: &mut [Bytes]) {
        if let [chunk] = chunks
            && chunk.len() >= ZERO_COPY_MIN
            && self.is_empty()
        {
            self.chunk = std::mem::take(chunk);
            return;
        }
        let held = std::mem::take(&mut self.chunk);
        self.buffer
            .reserve(held.len() + chunks.iter().map(Bytes::len).sum::<usize>());
        self.buffer.extend_from_slice(&held);
        for chunk in chunks {
            self.buffer.extend_from_slice(&std::mem::take(chunk));
        }
    }

    fn bytes(&self) -> &[u8] {
        if self.chunk.is_empty() {
            &self.buffer
        } else {
            &self.chunk
        }
    }

    fn split_to(&mut self, len: usize) -> Bytes {
        if self.chunk.is_empty() {
            self.buffer.split_to(len).freeze()
        } else {
            self.chunk.split_to(len)
        }
    }

    /// Returns all whole frames, if any. Frames before one that exceeds the limit are returned first.
    pub(crate) fn take_frames(&mut self) -> Result<Option<Frames>, FramesError> {
        let found = match scan(self.bytes(), self.max_frame_len) {
            Err(FramesError::TooLarge { offset, .. }) if offset > 0 => {
                scan(&self.bytes()[..offset], self.max_frame_len)?
            }
            found => found?,
        };
        if found.count == 0 {
            return Ok(None);
        }
        Ok(Some(Frames::from_scanned(
            self.split_to(found.complete_len),
            found.count,
        )))
    }

    /// Returns the length announced by the first frame, if its header has arrived.
    pub(crate) fn next_len(&self) -> Result<Option<usize>, FramesError> {
        let Some(header) = self.bytes().first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*header) as usize;
        if len > self.max_frame_len {
            return Err(FramesError::TooLarge {
                offset: 0,
                len,
                max: self.max_frame_len,
            });
        }
        Ok(Some(len))
    }

    /// Returns the payload of the first frame, if it is complete.
    pub(crate) fn take_frame(&mut self) -> Result<Option<Bytes>, FramesError> {
        let Some(len) = self.next_len()? else {
            return Ok(None);
        };
        if self.bytes().len() < HEADER_LEN + len {
            return Ok(None);
        }
        let mut frame = self.split_to(HEADER_LEN + len);
        frame.advance(HEADER_LEN);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 1..12),
            cuts in prop::collection::vec(1usize..20_000, 1..8),
            one_by_one in any::<bool>(),
        ) {
            let mut wire = records.iter().collect::<Frames>().into_wire();
            let mut reassembly = Reassembly::new(9000);
            let mut seen: Vec<Vec<u8>> = Vec::new();
            for (round, cut) in cuts.iter().cycle().enumerate() {
                if wire.is_empty() {
                    break;
                }
                let mut piece = wire.split_to(wire.len().min(*cut));
                let mut chunks: Vec<Bytes> = Vec::new();
                let parts = if round % 2 == 0 { 1 } else { 3 };
                while !piece.is_empty() {
                    chunks.push(piece.split_to(piece.len().div_ceil(parts)));
                }
                reassembly.extend(&mut chunks);
                if one_by_one {
                    while let Some(frame) = reassembly.take_frame().unwrap() {
                        seen.push(frame.to_vec());
                    }
                }
                if let Some(frames) = reassembly.take_frames().unwrap() {
                    prop_assert!(!frames.is_empty());
                    seen.extend(frames.iter().map(<[u8]>::to_vec));
                }
            }
            prop_assert_eq!(seen, records);
            prop_assert!(reassembly.is_empty());
        }
    }

    #[test]
    fn a_long_chunk_is_not_copied() {
        let wire = Frames::from_iter([vec![7; 5000], vec![8; 5000]]).into_wire();
        let start = wire.as_ptr();
        let mut reassembly = Reassembly::new(8000);
        reassembly.extend(&mut [wire.slice(..wire.len() - 1)]);
        let frames = reassembly.take_frames().unwrap().unwrap();
        assert_eq!((frames.count(), frames.as_wire().as_ptr()), (1, start));
        reassembly.extend(&mut [wire.slice(wire.len() - 1..)]);
        assert_eq!(
            reassembly.take_frames().unwrap().unwrap(),
            Frames::single(&[8; 5000])
        );
    }

    #[test]
    fn a_lying_header_is_refused_after_the_frames_before_it_and_costs_no_memory() {
        let mut reassembly = Reassembly::new(64);
        reassembly.extend(&mut [
            Frames::single(b"fine").into_wire(),
            Bytes::from_static(&[0xff; 4]),
        ]);
        assert_eq!(
            reassembly.take_frames().unwrap(),
            Some(Frames::single(b"fine"))
        );
        let refused = FramesError::TooLarge {
            offset: 0,
            len: u32::MAX as usize,
            max: 64,
        };
        assert_eq!(reassembly.take_frames(), Err(refused));
        assert_eq!(reassembly.take_frame(), Err(refused));
        assert!(reassembly.buffer.capacity() < 1024);
    }
}
