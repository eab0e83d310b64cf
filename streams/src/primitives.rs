//! Small things that the public surface shares. No I/O.

use std::fmt;

use crate::{Digest, PeerId, discovery::PeerEntry};

/// Marks the way of [`IntoIterOrSingle`] that takes one value.
#[derive(Debug)]
pub struct Single;

/// Marks the way of [`IntoIterOrSingle`] that takes many.
#[derive(Debug)]
pub struct Many;

/// One or many of what converts into `T`. The second parameter is always inferred.
pub trait IntoIterOrSingle<T, Way> {
    /// The values, converted.
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

/// Displays what it holds in few characters, for logs.
#[derive(Clone, Copy)]
pub struct Short<T>(pub T);

impl fmt::Display for Short<PeerId> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Short<Digest> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<T> fmt::Display for Short<&T>
where
    T: Clone,
    Short<T>: fmt::Display,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Short(self.0.clone()), f)
    }
}

/// The peer, and how many tags, streams and tickets it has.
impl fmt::Display for Short<PeerEntry> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tags, streams) = (self.0.tags().len(), self.0.streams().len());
        write!(
            f,
            "{} ({tags} tags, {streams} streams, {} tickets)",
            self.0.id(),
            self.0.tickets().len()
        )
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
    }
}
