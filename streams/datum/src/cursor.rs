//! [`Cursor`]: a position in a batch, for reading its records one by one.

use bytes::Bytes;

use crate::frames::{Frames, HEADER_LEN, Iter};

/// Reads the records of a batch one by one. Unlike [`Frames::iter`] it owns the batch, and it is cheaper than removing records
/// with [`Frames::split_front`].
///
/// ```
/// use mosaik_datum::{Frames, frames::Cursor};
///
/// let mut left = Cursor::from(["one", "two"].into_iter().collect::<Frames>());
/// assert_eq!(left.take_one(), Some(&b"one"[..]));
/// assert_eq!((left.count(), left.payload_len()), (1, 3));
/// assert_eq!(left.take_one(), Some(&b"two"[..]));
/// assert_eq!(left.take_one(), None);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cursor {
    bytes: Bytes,
    at: usize,
    count: usize,
}

impl Cursor {
    /// Returns the next record, if any.
    pub fn take_one(&mut self) -> Option<&[u8]> {
        let datum = Iter {
            rest: self.bytes.get(self.at..)?,
        }
        .next()?;
        self.at += HEADER_LEN + datum.len();
        self.count -= 1;
        Some(datum)
    }

    /// Returns the number of remaining records.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Returns the bytes of the remaining records, without headers.
    pub fn payload_len(&self) -> usize {
        self.bytes.len() - self.at - self.count * HEADER_LEN
    }
}

impl From<Frames> for Cursor {
    fn from(batch: Frames) -> Self {
        Self {
            count: batch.count(),
            bytes: batch.into_wire(),
            at: 0,
        }
    }
}
