//! [`Frames`]: reads a batch of records in wire format without copying.

/// The length in bytes of the header of each record.
pub(crate) const HEADER_LEN: usize = 4;

/// An iterator over the records of a batch: each is a 4-byte big-endian length and that many bytes.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    rest: &'a [u8],
}

/// The bytes end inside a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedFrames {
    /// The number of bytes left where a whole frame was expected.
    pub left: usize,
}

impl std::fmt::Display for MalformedFrames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the last {} bytes of the batch are not a whole frame",
            self.left
        )
    }
}

impl std::error::Error for MalformedFrames {}

impl<'a> Frames<'a> {
    /// Reads `bytes` from the front.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns the unread bytes.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<&'a [u8], MalformedFrames>;

    /// Returns the next record. After an error the iterator is exhausted.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (header, body) = match self.rest.split_first_chunk::<HEADER_LEN>() {
            Some(parts) => parts,
            None if self.rest.is_empty() => return None,
            None => return Some(Err(self.malformed())),
        };
        let len = u32::from_be_bytes(*header) as usize;
        match body.split_at_checked(len) {
            Some((datum, rest)) => {
                self.rest = rest;
                Some(Ok(datum))
            }
            None => Some(Err(self.malformed())),
        }
    }
}

impl Frames<'_> {
    #[cold]
    fn malformed(&mut self) -> MalformedFrames {
        MalformedFrames {
            left: std::mem::take(&mut self.rest).len(),
        }
    }
}

/// Appends one record with its length.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn push_frame(frames: &mut Vec<u8>, datum: &[u8]) {
    let len = u32::try_from(datum.len()).expect("a record fits the 32-bit memory of an operator");
    frames.extend_from_slice(&len.to_be_bytes());
    frames.extend_from_slice(datum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_pushed_is_read(records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..20)) {
            let mut bytes = Vec::new();
            for datum in &records {
                push_frame(&mut bytes, datum);
            }
            let read: Vec<_> = Frames::new(&bytes).map(|d| d.map(<[u8]>::to_vec)).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(read, records);
        }

        #[test]
        fn any_bytes_come_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(Frames::new(&bytes).count() <= bytes.len());
        }
    }

    #[test]
    fn a_cut_frame_is_an_error_and_the_end() {
        let mut bytes = Vec::new();
        push_frame(&mut bytes, b"one");
        push_frame(&mut bytes, b"two");
        let mut frames = Frames::new(&bytes[..bytes.len() - 1]);
        assert_eq!(frames.next(), Some(Ok(&b"one"[..])));
        assert_eq!(frames.next(), Some(Err(MalformedFrames { left: 6 })));
        assert_eq!(frames.next(), None);
    }
}
