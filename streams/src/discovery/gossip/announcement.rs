//! The contents of gossip messages: entries of nodes, and departures. No I/O.

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

use crate::{
    PeerId, SecretKey, Signature,
    peer::{PeerEntryVersion, SignedPeerEntry, Unverified},
};

/// A received announcement with unverified signatures.
#[derive(Debug, Deserialize)]
pub(super) enum Announcement {
    /// The entry of a node.
    Entry(Box<Unverified>),
    /// A node departs.
    Departure(Departure),
}

#[derive(Serialize)]
enum AnnouncementRef<'a> {
    Entry(&'a SignedPeerEntry),
    Departure(&'a Departure),
}

/// The statement of a node that it departs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Departure {
    pub(super) peer: PeerId,
    /// The last version of its entry.
    pub(super) version: PeerEntryVersion,
    /// RFC 3339 in UTC, the format of Mosaik.
    timestamp: String,
    signature: Signature,
}

impl Announcement {
    /// Returns `None` for bytes that are not an announcement, have trailing bytes, or are not in canonical form.
    /// Otherwise a node that forwards announcements could create different ones from them.
    pub(super) fn decode(content: &[u8]) -> Option<Self> {
        let announcement: Self = postcard::from_bytes(content).ok()?;
        let canonical = match &announcement {
            Self::Entry(entry) => {
                let tagged = postcard::to_stdvec(&(0u8, entry)).ok()?;
                tagged == content
            }
            Self::Departure(departure) => departure.encode() == content,
        };
        canonical.then_some(announcement)
    }
}

/// Encodes the announcement of an entry.
pub(super) fn of_entry(entry: &SignedPeerEntry) -> Vec<u8> {
    postcard::to_stdvec(&AnnouncementRef::Entry(entry))
        .expect("an entry has only types that postcard knows")
}

impl Departure {
    /// Creates a departure signed at `now`, in milliseconds since 1970.
    pub(super) fn new(key: &SecretKey, version: PeerEntryVersion, now: i64) -> Self {
        let peer = key.public();
        let timestamp = DateTime::from_timestamp_millis(now).unwrap_or_default();
        Self {
            peer,
            version,
            timestamp: timestamp.to_rfc3339_opts(SecondsFormat::Millis, true),
            signature: key.sign(&digest(&peer, version, timestamp.timestamp_millis())),
        }
    }

    /// Returns the time of the signature in milliseconds since 1970, if it is the peer's.
    pub(super) fn verify(&self) -> Option<i64> {
        let timestamp = DateTime::parse_from_rfc3339(&self.timestamp).ok()?;
        let ms = timestamp.timestamp_millis();
        let digest = digest(&self.peer, self.version, ms);
        self.peer.verify(&digest, &self.signature).then_some(ms)
    }

    /// Encodes the announcement.
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(&AnnouncementRef::Departure(self))
            .expect("a departure has only types that postcard knows")
    }
}

fn digest(peer: &PeerId, version: PeerEntryVersion, timestamp_ms: i64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(peer.as_bytes());
    hasher.update(&version.started_ms.to_be_bytes());
    hasher.update(&version.updated_ms.to_be_bytes());
    hasher.update(&timestamp_ms.to_be_bytes());
    *hasher.finalize().as_bytes()
}
