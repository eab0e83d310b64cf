//! [`Cursor`]: a place in a batch, for those who take its datums one by one.

use bytes::Bytes;

use crate::frames::{Frames, HEADER_LEN, Iter};

/// The datums of a batch that are left, one after the other. Unlike [`Frames::iter`] it keeps the batch, and unlike taking
/// them off with [`Frames::split_front`] it costs nothing but the length of each.
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
    /// The next datum, if there is one.
    pub fn take_one(&mut self) -> Option<&[u8]> {
        let datum = Iter {
            rest: self.bytes.get(self.at..)?,
        }
        .next()?;
        self.at += HEADER_LEN + datum.len();
        self.count -= 1;
        Some(datum)
    }

    /// Number of datums that are left.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Bytes of those that are left, without headers.
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
