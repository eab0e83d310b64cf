//! [`Frames`]: a batch of records in wire format, and its builder. No I/O.
//!
//! A frame is a 4-byte big-endian length and that many bytes. A batch of frames is one [`Bytes`]: a clone only
//! increments a reference count, a socket write uses one buffer, and passing it to an operator takes one copy.

use bytes::{BufMut, Bytes, BytesMut};

pub use crate::cursor::Cursor;

/// The length in bytes of the header of each record.
pub const HEADER_LEN: usize = 4;

/// The default maximum length of a record: 16 MiB.
pub const DEFAULT_MAX_FRAME_LEN: usize = 16 * 1024 * 1024;

/// The bytes are not a sequence of whole frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramesError {
    /// The bytes end inside a header or inside a record.
    #[error("the frame at byte {offset} is incomplete")]
    Truncated {
        /// The position of the incomplete frame.
        offset: usize,
    },
    /// A header announces a length above the limit.
    #[error("the frame at byte {offset} announces {len} bytes, above the limit of {max} bytes")]
    TooLarge {
        /// The position of the frame.
        offset: usize,
        /// The announced length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
}

/// The result of [`scan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scan {
    /// The length of all whole frames in bytes.
    pub complete_len: usize,
    /// The number of whole frames.
    pub count: usize,
    /// The total length (header included) of an incomplete frame, if its header is complete.
    pub pending_len: Option<usize>,
}

/// Finds the whole frames at the front of `bytes`.
///
/// # Errors
/// [`FramesError::TooLarge`] if a header announces more than `max_frame_len`, even if the frame is incomplete.
pub fn scan(bytes: &[u8], max_frame_len: usize) -> Result<Scan, FramesError> {
    let mut found = Scan::default();
    while let Some(header) = bytes.get(found.complete_len..found.complete_len + HEADER_LEN) {
        let len = header_len(header);
        if len > max_frame_len {
            return Err(FramesError::TooLarge {
                offset: found.complete_len,
                len,
                max: max_frame_len,
            });
        }
        let end = found.complete_len + HEADER_LEN + len;
        if end > bytes.len() {
            found.pending_len = Some(HEADER_LEN + len);
            break;
        }
        found.complete_len = end;
        found.count += 1;
    }
    Ok(found)
}

fn header_len(header: &[u8]) -> usize {
    u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize
}

/// A batch of records in one buffer, each with a 4-byte big-endian length, and their count.
///
/// Always contains whole frames. A clone shares the buffer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Frames {
    bytes: Bytes,
    count: usize,
}

impl Frames {
    /// Creates an empty batch.
    pub const fn new() -> Self {
        Self {
            bytes: Bytes::new(),
            count: 0,
        }
    }

    /// Creates a batch from bytes that must be whole frames.
    ///
    /// # Errors
    /// Returns the position of the first frame that is incomplete or longer than `max_frame_len`.
    pub fn from_wire(bytes: Bytes, max_frame_len: usize) -> Result<Self, FramesError> {
        let found = scan(&bytes, max_frame_len)?;
        if found.complete_len != bytes.len() {
            return Err(FramesError::Truncated {
                offset: found.complete_len,
            });
        }
        Ok(Self {
            bytes,
            count: found.count,
        })
    }

    /// Creates a batch from bytes that [`scan`] has found to be `count` whole frames.
    ///
    /// # Panics
    /// Panics in debug builds if the count is wrong. In release builds, the count of the batch is wrong then.
    pub fn from_scanned(bytes: Bytes, count: usize) -> Self {
        debug_assert_eq!(
            scan(&bytes, usize::MAX).map(|s| (s.complete_len, s.count)),
            Ok((bytes.len(), count))
        );
        Self { bytes, count }
    }

    /// Creates a batch of one record.
    ///
    /// # Panics
    /// Panics if the length of the record does not fit into 32 bits.
    pub fn single(datum: &[u8]) -> Self {
        let mut builder = FramesBuilder::with_capacity(HEADER_LEN + datum.len());
        builder.push(datum);
        builder.finish()
    }

    /// Returns the number of records.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Returns true if there is no record.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the length in bytes with headers.
    pub fn wire_len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the length in bytes without headers.
    pub fn payload_len(&self) -> usize {
        self.bytes.len() - self.count * HEADER_LEN
    }

    /// Returns the wire format of the batch.
    pub fn as_wire(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the wire format of the batch without copying.
    pub fn into_wire(self) -> Bytes {
        self.bytes
    }

    /// Iterates over the records, borrowed.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.bytes }
    }

    /// Iterates over the records, each sharing the buffer of the batch.
    pub fn datums(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.iter().map(|datum| self.bytes.slice_ref(datum))
    }

    /// Removes records from the front: at most `max_count` records and `max_wire_len` bytes with headers. A first record
    /// that exceeds `max_wire_len` is removed alone. Removes none only if `max_count` is 0. Shares the buffer.
    pub fn split_front(&mut self, max_count: usize, max_wire_len: usize) -> Self {
        if self.count <= max_count && self.bytes.len() <= max_wire_len {
            return std::mem::take(self);
        }
        let (mut end, mut count) = (0, 0);
        for datum in self.iter() {
            let next = end + HEADER_LEN + datum.len();
            if count >= max_count || (count > 0 && next > max_wire_len) {
                break;
            }
            (end, count) = (next, count + 1);
        }
        self.count -= count;
        Self {
            bytes: self.bytes.split_to(end),
            count,
        }
    }

    /// Returns the records that `keep` accepts. Shares the buffer if it accepts all, copies otherwise.
    pub fn filter(&self, mut keep: impl FnMut(&[u8]) -> bool) -> Self {
        let mut rest = self.iter();
        let mut kept_len = 0;
        for (index, datum) in rest.by_ref().enumerate() {
            if keep(datum) {
                kept_len += HEADER_LEN + datum.len();
                continue;
            }
            let mut builder =
                FramesBuilder::with_capacity(self.bytes.len() - HEADER_LEN - datum.len());
            builder.extend(&Self {
                bytes: self.bytes.slice(..kept_len),
                count: index,
            });
            rest.filter(|datum| keep(datum))
                .for_each(|datum| builder.push(datum));
            return builder.finish();
        }
        self.clone()
    }
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Frames({} records, {} bytes)",
            self.count,
            self.bytes.len()
        )
    }
}

impl<'a> IntoIterator for &'a Frames {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<D: AsRef<[u8]>> FromIterator<D> for Frames {
    fn from_iter<I: IntoIterator<Item = D>>(records: I) -> Self {
        let mut builder = FramesBuilder::new();
        records
            .into_iter()
            .for_each(|datum| builder.push(datum.as_ref()));
        builder.finish()
    }
}

/// An iterator over the records of a [`Frames`].
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (header, rest) = self.rest.split_at_checked(HEADER_LEN)?;
        let (datum, rest) = rest.split_at_checked(header_len(header))?;
        self.rest = rest;
        Some(datum)
    }
}

/// Builds a [`Frames`] record by record.
#[derive(Debug, Default)]
pub struct FramesBuilder {
    bytes: BytesMut,
    count: usize,
}

impl FramesBuilder {
    /// Creates an empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty builder with room for this many bytes, headers included.
    pub fn with_capacity(wire_len: usize) -> Self {
        Self {
            bytes: BytesMut::with_capacity(wire_len),
            count: 0,
        }
    }

    /// Adds a record.
    ///
    /// # Panics
    /// Panics if the length of the record does not fit into 32 bits. Check external input against a lower limit first.
    pub fn push(&mut self, datum: &[u8]) {
        let len = u32::try_from(datum.len())
            .expect("records are limited to far less than 4 GiB on input");
        self.bytes.reserve(HEADER_LEN + datum.len());
        self.bytes.put_u32(len);
        self.bytes.put_slice(datum);
        self.count += 1;
    }

    /// Adds a record that `write` appends in place. Adds nothing if it fails.
    ///
    /// # Errors
    /// Errors of `write`.
    ///
    /// # Panics
    /// As [`push`](Self::push).
    pub fn push_with<E>(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        self.bytes.put_u32(0);
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let len = u32::try_from(self.bytes.len() - start - HEADER_LEN)
            .expect("records are limited to far less than 4 GiB on input");
        self.bytes[start..start + HEADER_LEN].copy_from_slice(&len.to_be_bytes());
        self.count += 1;
        Ok(())
    }

    /// Adds all records of a batch with one copy.
    pub fn extend(&mut self, frames: &Frames) {
        self.bytes.extend_from_slice(&frames.bytes);
        self.count += frames.count;
    }

    /// Returns the number of records so far.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Returns true if no record was added.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the length in bytes so far, headers included.
    pub fn wire_len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the batch and resets the builder, which keeps its spare capacity.
    pub fn finish(&mut self) -> Frames {
        Frames {
            bytes: self.bytes.split().freeze(),
            count: std::mem::take(&mut self.count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)
    }

    proptest! {
        #[test]
        fn a_batch_gives_back_its_records(records in records()) {
            let frames: Frames = records.iter().collect();
            prop_assert_eq!(frames.count(), records.len());
            prop_assert_eq!(frames.payload_len(), records.iter().map(Vec::len).sum::<usize>());
            let wire = Frames::from_wire(frames.clone().into_wire(), 64).unwrap();
            prop_assert_eq!(&wire, &frames);
            prop_assert!(wire.iter().eq(records.iter().map(Vec::as_slice)));
            prop_assert!(wire.datums().eq(records.iter().cloned().map(Bytes::from)));
        }

        #[test]
        fn splitting_keeps_order_and_bounds(records in records(), max_count in 1usize..6, max_len in 0usize..100) {
            let mut rest: Frames = records.iter().collect();
            let mut seen = Vec::new();
            while !rest.is_empty() {
                let front = rest.split_front(max_count, max_len);
                prop_assert!(front.count() == 1 || (front.count() <= max_count && front.wire_len() <= max_len));
                prop_assert!(front.count() >= 1);
                seen.extend(front.iter().map(<[u8]>::to_vec));
            }
            prop_assert_eq!(seen, records);
        }

        #[test]
        fn filtering_equals_filtering_the_list(records in records(), bit in 0u32..4) {
            let keep = |d: &[u8]| d.first().is_none_or(|b| b & (1 << bit) == 0);
            let frames: Frames = records.iter().collect();
            let expected: Frames = records.iter().filter(|d| keep(d)).collect();
            prop_assert_eq!(frames.filter(keep), expected);
        }

        #[test]
        fn any_bytes_are_scanned_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), max in 0usize..300) {
            if let Ok(found) = scan(&bytes, max) {
                prop_assert!(found.complete_len <= bytes.len());
                let whole = Frames::from_wire(Bytes::copy_from_slice(&bytes[..found.complete_len]), max).unwrap();
                prop_assert_eq!(whole.count(), found.count);
            }
            let _ = Frames::from_wire(Bytes::from(bytes), max);
        }

        #[test]
        fn a_cut_batch_is_refused_at_its_last_whole_frame(records in records(), cut in 1usize..8) {
            let wire = records.iter().collect::<Frames>().into_wire();
            prop_assume!(cut < wire.len());
            let cut = wire.slice(..wire.len() - cut);
            let found = scan(&cut, 64).unwrap();
            if found.complete_len < cut.len() {
                let refused = Frames::from_wire(cut, 64);
                prop_assert_eq!(refused, Err(FramesError::Truncated { offset: found.complete_len }));
            }
        }
    }

    #[test]
    fn splitting_off_none_takes_none() {
        let batch: Frames = [b"one", b"two"].into_iter().collect();
        for max_len in [0, usize::MAX] {
            let mut rest = batch.clone();
            assert_eq!(rest.split_front(0, max_len), Frames::default());
            assert_eq!(rest, batch);
        }
    }

    #[test]
    fn a_lying_header_is_refused_before_its_bytes_arrive() {
        let header = u32::MAX.to_be_bytes();
        let refused = scan(&header, 1024);
        assert_eq!(
            refused,
            Err(FramesError::TooLarge {
                offset: 0,
                len: u32::MAX as usize,
                max: 1024
            })
        );
    }

    #[test]
    fn a_failed_write_leaves_no_trace() {
        let mut builder = FramesBuilder::new();
        builder.push(b"one");
        let failed: Result<(), &str> = builder.push_with(|buf| {
            buf.put_slice(b"half");
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!(builder.finish(), Frames::single(b"one"));
    }
}
