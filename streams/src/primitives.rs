//! Small helpers of the public API. No I/O.

use std::fmt;

use data_encoding::HEXLOWER;

pub use crate::{Bytes, BytesMut, Datum, Digest, Tag, UniqueId};

/// Marks the implementation of [`IntoIterOrSingle`] for a single value.
#[derive(Debug)]
pub struct Single;

/// Marks the implementation of [`IntoIterOrSingle`] for many values.
#[derive(Debug)]
pub struct Many;

/// One or many values that convert into `T`. The second parameter is always inferred.
pub trait IntoIterOrSingle<T, Way> {
    /// Returns the converted values.
    fn iterator(self) -> impl Iterator<Item = T>;
}

impl<T, S: Into<T>> IntoIterOrSingle<T, Single> for S {
    fn iterator(self) -> impl Iterator<Item = T> {
        std::iter::once(self.into())
    }
}

impl<T, S: IntoIterator<Item: Into<T>>> IntoIterOrSingle<T, Many> for S {
    fn iterator(self) -> impl Iterator<Item = T> {
        self.into_iter().map(Into::into)
    }
}

/// Returns 16 random bytes, which identify something.
pub(crate) fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&Digest::random().as_bytes()[..16]);
    id
}

/// Formats a value briefly, for logs: the first 10 hex digits of bytes and ids.
#[derive(Clone, Copy)]
pub struct Short<T>(pub T);

impl<T: AsRef<[u8]>> fmt::Display for Short<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.as_ref();
        f.write_str(&HEXLOWER.encode(&bytes[..bytes.len().min(5)]))
    }
}

impl<T> fmt::Debug for Short<T>
where
    Self: fmt::Display,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags<Way>(tags: impl IntoIterOrSingle<Digest, Way>) -> Vec<Digest> {
        tags.iterator().collect()
    }

    #[test]
    fn one_or_many_of_what_converts_is_taken() {
        let (a, b) = (Digest::from("a"), Digest::from("b"));
        assert_eq!(tags("a"), [a]);
        assert_eq!(tags(a), [a]);
        assert_eq!(tags(["a", "b"]), [a, b]);
        assert_eq!(tags(vec![a, b]), [a, b]);
        assert_eq!(Short(a).to_string(), a.to_string());
        assert_eq!(Short(&a).to_string(), a.to_string());
        assert_eq!(Short(b"ab").to_string(), "6162");
    }
}
