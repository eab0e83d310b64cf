//! What nodes tell each other by gossip: their entries, and that they leave. No I/O.

use std::net::SocketAddr;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

use super::{super::entry::Unverified, wire::PeerData};
use crate::{
    PeerId, SecretKey, Signature,
    discovery::{PeerEntryVersion, SignedPeerEntry},
};

/// Addresses of one peer that are taken from gossip.
const ADDRESSES_MAX: usize = 8;

/// An announcement as it came, no signature checked.
#[derive(Debug, Deserialize)]
pub(super) enum Announcement {
    /// A node's entry.
    Entry(Box<Unverified>),
    /// A node leaves.
    Departure(Departure),
}

#[derive(Serialize)]
enum AnnouncementRef<'a> {
    Entry(&'a SignedPeerEntry),
    Departure(&'a Departure),
}

/// A node's word that it leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Departure {
    pub(super) peer: PeerId,
    /// The last version of its entry.
    pub(super) version: PeerEntryVersion,
    /// RFC 3339 in UTC, as Mosaik writes it.
    timestamp: String,
    signature: Signature,
}

impl Announcement {
    /// `None` for what is none, for what has more after it, and for what could be said in fewer bytes: whoever passes
    /// announcements on could make new ones of those that there are.
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

/// The bytes that announce an entry.
pub(super) fn of_entry(entry: &SignedPeerEntry) -> Vec<u8> {
    postcard::to_stdvec(&AnnouncementRef::Entry(entry))
        .expect("an entry has only types that postcard knows")
}

impl Departure {
    /// Signed as of `now`, in milliseconds since 1970.
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

    /// When it was signed, in milliseconds since 1970, if it was signed by the peer.
    pub(super) fn verify(&self) -> Option<i64> {
        let timestamp = DateTime::parse_from_rfc3339(&self.timestamp).ok()?;
        let ms = timestamp.timestamp_millis();
        let digest = digest(&self.peer, self.version, ms);
        self.peer.verify(&digest, &self.signature).then_some(ms)
    }

    /// The bytes that announce it.
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

/// How a node is reached, as iroh-gossip tells it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Addresses {
    relay: Option<String>,
    pub(super) direct: Vec<SocketAddr>,
}

impl Addresses {
    pub(super) fn encode(addrs: impl IntoIterator<Item = SocketAddr>) -> PeerData {
        let this = Self {
            relay: None,
            direct: addrs.into_iter().take(ADDRESSES_MAX).collect(),
        };
        let bytes = postcard::to_stdvec(&this).expect("postcard knows addresses");
        PeerData(bytes.into())
    }

    /// None for what says none.
    pub(super) fn decode(data: &PeerData) -> Vec<SocketAddr> {
        let addresses: Self = postcard::from_bytes(&data.0).unwrap_or_default();
        let usable = |addr: &SocketAddr| addr.port() != 0 && !addr.ip().is_unspecified();
        let direct = addresses.direct.into_iter().filter(usable);
        direct.take(ADDRESSES_MAX).collect()
    }
}
