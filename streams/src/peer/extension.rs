//! Extension fields at the end of a frame. Plain Mosaik ignores trailing bytes, so it does not see them. A reader skips
//! fields with unknown tags. No I/O.
//!
//! ```text
//! extension = "MSX1" · length of the fields u32 · fields
//! field     = tag u16 · length u32 · bytes
//! ```
//! All integers are big-endian. The digit in the magic is the version; an extension of another version is ignored.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes};

/// The maximum length of an extension in bytes, including its head: 64 KiB. A longer one is ignored.
pub(crate) const MAX_LEN: usize = 64 * 1024;

const MAGIC: &[u8; 4] = b"MSX1";
const HEAD_LEN: usize = MAGIC.len() + 4;
const FIELD_HEAD_LEN: usize = 2 + 4;

/// In a consumer's handshake: the criteria to apply.
pub(crate) const CRITERIA: u16 = 1;
/// In `StartStream`: the producer applies the criteria.
pub(crate) const CRITERIA_ACK: u16 = 2;
/// The incarnation of a producer that a received count refers to.
pub(crate) const EPOCH: u16 = 3;
/// The number of records of an epoch that a consumer has received.
pub(crate) const RECEIVED: u16 = 4;
/// In a snapshot: the sender is leaving the network.
pub(crate) const DEPARTED: u16 = 6;
/// In a snapshot: the sender pushes only its own entry, and requests only the receiver's.
pub(crate) const ENTRY_PUSH: u16 = 7;
/// In a hello: the consumer can confirm records. In a start: the producer accepts confirmations.
pub(crate) const CONFIRMS: u16 = 8;
/// In a hello: where the consumer begins in the log of a durable stream. In a start: the range of the log.
pub(crate) const DURABLE: u16 = 9;
/// In hello and start: the format of the records, see [`Format`](crate::streams::Format).
pub(crate) const FORMAT: u16 = 10;
/// In a snapshot: the name of its sender.
pub(crate) const NAME: u16 = 11;
/// In the answer to a snapshot: another running node uses the dialling node's key.
pub(crate) const KEY_SHARED: u16 = 12;
/// In a snapshot: the process of its sender.
pub(crate) const PROCESS: u16 = 14;
/// In hello and retune: the number of consumers that share the subscription.
pub(crate) const CONSUMERS: u16 = 13;

/// The fields at the end of a frame. Empty if the peer is plain Mosaik.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extension {
    fields: BTreeMap<u16, Bytes>,
}

impl Extension {
    /// An extension without fields.
    pub(crate) const fn new() -> Self {
        Self {
            fields: BTreeMap::new(),
        }
    }

    /// Adds or replaces a field. Returns false and changes nothing if the extension would exceed [`MAX_LEN`].
    pub(crate) fn set(&mut self, tag: u16, bytes: impl Into<Bytes>) -> bool {
        let bytes = bytes.into();
        let freed = self
            .fields
            .get(&tag)
            .map_or(0, |old| FIELD_HEAD_LEN + old.len());
        if HEAD_LEN + self.fields_len() - freed + FIELD_HEAD_LEN + bytes.len() > MAX_LEN {
            return false;
        }
        self.fields.insert(tag, bytes);
        true
    }

    /// Returns the bytes of a field, if present.
    pub(crate) fn get(&self, tag: u16) -> Option<&[u8]> {
        self.fields.get(&tag).map(AsRef::as_ref)
    }

    /// Returns true if there is no field, as in frames of plain Mosaik.
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn fields_len(&self) -> usize {
        self.fields
            .values()
            .map(|bytes| FIELD_HEAD_LEN + bytes.len())
            .sum()
    }

    /// Appends the extension to a frame. Writes nothing if there are no fields.
    pub(crate) fn append_to(&self, frame: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        frame.put_slice(MAGIC);
        frame.put_u32(wire_len(self.fields_len()));
        for (&tag, bytes) in &self.fields {
            frame.put_u16(tag);
            frame.put_u32(wire_len(bytes.len()));
            frame.put_slice(bytes);
        }
    }

    /// Parses the bytes after a frame's own content. Never fails: invalid bytes count as no extension, because other
    /// implementations may append anything. If a tag occurs twice, the first field is used.
    pub(crate) fn parse(tail: &[u8]) -> Self {
        Self::parse_whole(tail).unwrap_or_default()
    }

    fn parse_whole(tail: &[u8]) -> Option<Self> {
        let (len, rest) = take_u32(tail.strip_prefix(MAGIC)?)?;
        let mut rest = rest.get(..len)?;
        if HEAD_LEN + len > MAX_LEN {
            return None;
        }
        let mut fields = BTreeMap::new();
        while !rest.is_empty() {
            let (tag, after) = rest.split_first_chunk::<2>()?;
            let (len, after) = take_u32(after)?;
            let (bytes, after) = after.split_at_checked(len)?;
            fields
                .entry(u16::from_be_bytes(*tag))
                .or_insert_with(|| Bytes::copy_from_slice(bytes));
            rest = after;
        }
        Some(Self { fields })
    }
}

fn take_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_be_bytes(*head)).ok()?, rest))
}

fn wire_len(len: usize) -> u32 {
    u32::try_from(len).expect("an extension is at most 64 KiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(extension: &Extension) -> Vec<u8> {
        let mut bytes = Vec::new();
        extension.append_to(&mut bytes);
        bytes
    }

    #[test]
    fn the_bytes_are_fixed() {
        let mut extension = Extension::new();
        assert_eq!(encode(&extension), b"");
        assert!(extension.set(EPOCH, b"abc".to_vec()));
        assert!(extension.set(CRITERIA_ACK, Bytes::new()));
        assert_eq!(
            encode(&extension),
            b"MSX1\0\0\0\x0f\0\x02\0\0\0\0\0\x03\0\0\0\x03abc"
        );
    }

    #[test]
    fn another_version_unknown_tags_and_garbage_do_no_harm() {
        assert!(Extension::parse(b"MSX2\0\0\0\0").is_empty());
        assert!(Extension::parse(b"MSX1\0\0\0\x07\0\x02\0\0\0\x02a").is_empty());
        let known =
            Extension::parse(b"MSX1\0\0\0\x0d\xff\xff\0\0\0\x01?\0\x02\0\0\0\0 and more behind");
        assert_eq!(
            (known.get(CRITERIA_ACK), known.get(CRITERIA)),
            (Some(&b""[..]), None)
        );
    }

    #[test]
    fn it_stays_within_its_bound() {
        let mut extension = Extension::new();
        let most = MAX_LEN - HEAD_LEN - FIELD_HEAD_LEN;
        assert!(!extension.set(CRITERIA, vec![0; most + 1]));
        assert!(extension.set(CRITERIA, vec![0; most]));
        assert!(extension.set(CRITERIA, vec![1; most]));
        assert!(!extension.set(EPOCH, Bytes::new()));
        assert_eq!(encode(&extension).len(), MAX_LEN);
        assert_eq!(Extension::parse(&encode(&extension)), extension);
        let mut longer = b"MSX1".to_vec();
        longer.put_u32(wire_len(MAX_LEN));
        longer.resize(2 * MAX_LEN, 0);
        assert!(Extension::parse(&longer).is_empty());
    }

    proptest! {
        #[test]
        fn fields_come_back(fields in prop::collection::btree_map(any::<u16>(), prop::collection::vec(any::<u8>(), 0..50), 0..10)) {
            let mut extension = Extension::new();
            for (tag, bytes) in &fields {
                prop_assert!(extension.set(*tag, bytes.clone()));
            }
            prop_assert_eq!(Extension::parse(&encode(&extension)), extension.clone());
            for (tag, bytes) in &fields {
                prop_assert_eq!(extension.get(*tag), Some(&bytes[..]));
            }
        }

        #[test]
        fn any_tail_is_read_without_a_panic(mut tail in prop::collection::vec(any::<u8>(), 0..80), magic in any::<bool>()) {
            if magic {
                tail.splice(..0, b"MSX1\0\0\0\x20".iter().copied());
            }
            let _ = Extension::parse(&tail);
        }
    }
}
