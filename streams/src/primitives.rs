//! Small helpers of the public API. No I/O.

use std::fmt;

use data_encoding::HEXLOWER;

pub use crate::{Bytes, BytesMut, Datum, Digest, Tag, UniqueId};
use crate::{
    discovery::Event,
    peer::{PeerEntry, SignedPeerEntry},
};

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

/// Formats a value briefly, for logs: the first 10 hex digits of bytes and ids.
#[derive(Clone, Copy)]
pub struct Short<T>(pub T);

impl<T: AsRef<[u8]>> fmt::Display for Short<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.as_ref();
        f.write_str(&HEXLOWER.encode(&bytes[..bytes.len().min(5)]))
    }
}

/// Formats the peer, and its numbers of tags, streams and tickets.
impl fmt::Display for Short<&PeerEntry> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tags, streams) = (self.0.tags().len(), self.0.streams().len());
        write!(
            f,
            "{} ({tags} tags, {streams} streams, {} tickets)",
            Short(self.0.id()),
            self.0.tickets().len()
        )
    }
}

impl fmt::Display for Short<&SignedPeerEntry> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Short::<&PeerEntry>(self.0).fmt(f)
    }
}

/// Formats the event and the peer.
impl fmt::Display for Short<&Event> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Event::PeerDiscovered(entry) => write!(f, "discovered {}", Short(entry)),
            Event::PeerUpdated(entry) => write!(f, "updated {}", Short(entry)),
            Event::PeerDeparted(peer) => write!(f, "departed {}", Short(peer)),
        }
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
    use crate::SecretKey;

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

    #[test]
    fn peers_and_what_happens_to_them_are_shown_in_short() {
        let peer = SecretKey::from_bytes([7; 32]).public();
        let entry = PeerEntry::new("net", peer.into()).add_tag("a");
        let short = &peer.to_string()[..10];
        assert_eq!(Short(peer).to_string(), short);
        let shown = format!("{short} (1 tags, 0 streams, 0 tickets)");
        assert_eq!(Short(&entry).to_string(), shown);
        assert_eq!(
            Short(&Event::PeerUpdated(entry)).to_string(),
            format!("updated {shown}")
        );
        assert_eq!(
            format!("{:?}", Short(&Event::PeerDeparted(peer))),
            format!("departed {short}")
        );
    }
}
