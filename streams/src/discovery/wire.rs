//! The frames of catalog syncs. No I/O.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use super::{catalog::Catalog, names};
use crate::{
    PeerId,
    peer::{
        PeerEntryVersion, SignedPeerEntry, Unverified,
        extension::{DEPARTED, ENTRY_PUSH, Extension, KEY_SHARED, MAX_LEN, NAME, PROCESS},
    },
};

/// Values of the field [`ENTRY_PUSH`].
const HELLO: &[u8] = &[];
const PUSH: &[u8] = &[1];

/// The entries of a frame. Memory grows with the received entries, never with the announced number.
struct Entries(Vec<Unverified>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsTheyCome;
        impl<'de> Visitor<'de> for AsTheyCome {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("signed entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = seq.next_element()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_seq(AsTheyCome)
    }
}

/// A frame that is not a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a catalog snapshot")]
pub(super) struct Malformed;

/// The content of a sync frame.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) entries: Vec<Unverified>,
    pub(super) extension: Extension,
}

impl Snapshot {
    /// Decodes a frame. Signatures are not verified.
    pub(super) fn decode(frame: &[u8]) -> Result<Self, Malformed> {
        let (Entries(entries), tail) = postcard::take_from_bytes(frame).map_err(|_| Malformed)?;
        Ok(Self {
            entries,
            extension: Extension::parse(tail),
        })
    }

    /// Returns the sender's own entry.
    pub(super) fn of(&self, sender: &PeerId) -> Option<&Unverified> {
        self.entries.iter().find(|entry| entry.entry.id() == sender)
    }

    /// Returns true if the sender requests only the receiver's own entry.
    pub(super) fn is_push(&self) -> bool {
        self.extension.get(ENTRY_PUSH) == Some(PUSH)
    }

    /// Returns true if the sender is of this implementation.
    pub(super) fn is_ours(&self) -> bool {
        self.extension.get(ENTRY_PUSH).is_some()
    }

    /// Returns the name of the sender.
    pub(super) fn name(&self) -> Option<Arc<str>> {
        names::read(self.extension.get(NAME)?)
    }

    /// Returns the id of the sender's process; `None` for plain Mosaik.
    pub(super) fn process(&self) -> Option<[u8; 16]> {
        self.extension.get(PROCESS)?.try_into().ok()
    }

    /// Returns true if the sender reports that another running node has the receiver's key.
    pub(super) fn is_key_shared(&self) -> bool {
        self.extension.get(KEY_SHARED).is_some()
    }

    /// Returns true if the sender departs.
    pub(super) fn is_departure(&self) -> bool {
        self.extension.get(DEPARTED).is_some()
    }
}

/// The purpose of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Exchange entries; identifies this implementation.
    Hello,
    /// Request the receiver's own entry only.
    Push,
    /// Announce the departure of the sender.
    Departure,
}

/// Information about the sender and the receiver.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct About<'a> {
    /// The name of the sender.
    pub(super) name: Option<&'a str>,
    /// The id of the sender's process.
    pub(super) process: Option<[u8; 16]>,
    /// True if another running node has the receiver's key.
    pub(super) is_key_shared: bool,
}

/// Encodes a frame with as many of these entries as fit into `max_len` bytes.
pub(super) fn encode<'a>(
    entries: impl IntoIterator<Item = &'a SignedPeerEntry>,
    purpose: Purpose,
    about: About<'_>,
    max_len: usize,
) -> Vec<u8> {
    const COUNT_LEN_MAX: usize = 5;
    let room = max_len.saturating_sub(MAX_LEN + COUNT_LEN_MAX);
    let mut body = Vec::new();
    let mut count = 0u32;
    for entry in entries {
        let len = entry.encoded_len() + entry.signature().as_bytes().len();
        // The first entry is the sender's own, without which the frame is useless.
        if count > 0 && body.len() + len > room {
            break;
        }
        body =
            postcard::to_extend(entry, body).expect("an entry has only types that postcard knows");
        count += 1;
    }
    let mut frame = postcard::to_stdvec(&count).expect("postcard knows integers");
    frame.append(&mut body);
    let mut extension = Extension::new();
    match purpose {
        Purpose::Hello => extension.set(ENTRY_PUSH, HELLO),
        Purpose::Push => extension.set(ENTRY_PUSH, PUSH),
        Purpose::Departure => extension.set(ENTRY_PUSH, PUSH) && extension.set(DEPARTED, HELLO),
    };
    if let Some(name) = about.name {
        extension.set(NAME, names::shortened(name).as_bytes().to_vec());
    }
    if let Some(process) = about.process {
        extension.set(PROCESS, process.to_vec());
    }
    if about.is_key_shared {
        extension.set(KEY_SHARED, HELLO);
    }
    extension.append_to(&mut frame);
    frame
}

/// Returns all entries that the nodes of the network can read: the local one, then those of its generation. A Mosaik
/// node would discard a whole snapshot because of a single entry of another generation.
pub(super) fn all(catalog: &Catalog) -> impl Iterator<Item = &SignedPeerEntry> {
    let generation = catalog.local().generation();
    let peers = catalog
        .signed_peers()
        .filter(move |entry| entry.generation() == generation);
    std::iter::once(catalog.local()).chain(peers)
}

/// Returns the local entry, and those of `catalog` that a peer which sent the versions in `known` lacks.
pub(super) fn news<'a>(
    catalog: &'a Catalog,
    peer: &'a PeerId,
    known: &'a std::collections::HashMap<PeerId, PeerEntryVersion>,
) -> impl Iterator<Item = &'a SignedPeerEntry> {
    all(catalog).filter(move |entry| {
        let is_news = known
            .get(entry.id())
            .is_none_or(|version| *version < entry.version);
        entry.id() == catalog.local().id() || (entry.id() != peer && is_news)
    })
}
