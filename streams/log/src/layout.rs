//! The bytes of a segment. No I/O.
//!
//! ```text
//! segment = "mosaiklg" version u16 · 0 u16 · log[16] · base u64 · crc u32     the header, 40 bytes, then batches
//! batch   = length u32 · count u32 · position u64 · time u64 · synced u64 · crc u32 · records[length]
//! ```
//! All integers are big-endian. `base` is the position of the first record, `time` milliseconds since 1970, and
//! `synced` a position before which every record was durable when the batch was written. The checksums are CRC-32 of
//! everything else in the header or batch. That of a batch begins with the log, the base and the offset of the batch in
//! the segment, so that a copy of a batch in another place, such as in a record, is not taken for one. A batch without
//! records only says what is durable.

use super::log::LogId;

/// The version of the format.
pub const FORMAT_VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"mosaiklg";
pub(crate) const SEGMENT_HEADER_LEN: u64 = 40;
pub(crate) const BATCH_HEADER_LEN: usize = 36;
const CRC_AT: usize = 32;

/// Returns the file name of the segment with this base.
pub(crate) fn segment_name(base: u64) -> String {
    format!("{base:020}.log")
}

/// Returns the base of the segment with this file name; `None` for other files.
pub(crate) fn segment_base(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) log: LogId,
    pub(crate) base: u64,
}

/// The result of decoding a segment's header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    Header(SegmentHeader),
    OtherVersion(u16),
    Invalid,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT_VERSION.to_be_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&self.log.0);
        bytes.extend_from_slice(&self.base.to_be_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded {
        let Some((body, crc)) = bytes.split_last_chunk::<4>() else {
            return Decoded::Invalid;
        };
        let is_whole = bytes.len() as u64 == SEGMENT_HEADER_LEN && body.starts_with(MAGIC);
        if !is_whole || crc32fast::hash(body) != u32::from_be_bytes(*crc) {
            return Decoded::Invalid;
        }
        let version = u16::from_be_bytes([body[8], body[9]]);
        if version != FORMAT_VERSION {
            return Decoded::OtherVersion(version);
        }
        let mut log = [0; 16];
        log.copy_from_slice(&body[12..28]);
        let base = u64_at(body, 28);
        let log = LogId(log);
        Decoded::Header(Self { log, base })
    }
}

/// The place of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: SegmentHeader,
    pub(crate) offset: u64,
}

/// The header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// The length of the records in bytes.
    pub(crate) len: u32,
    /// The number of records.
    pub(crate) count: u32,
    /// The position of the first record.
    pub(crate) position: u64,
    /// The time at which the batch was appended, in milliseconds since 1970.
    pub(crate) time: u64,
    /// A position before which every record was durable.
    pub(crate) synced: u64,
    crc: u32,
}

impl BatchHeader {
    /// Returns the header of a batch with these records at this place.
    pub(crate) fn of(
        records: &[u8],
        place: &Place,
        (count, position): (u32, u64),
        (time, synced): (u64, u64),
    ) -> Self {
        let len = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let mut header = Self {
            len,
            count,
            position,
            time,
            synced,
            crc: 0,
        };
        header.crc = header.checksum(records, place);
        header
    }

    pub(crate) fn encode(&self) -> [u8; BATCH_HEADER_LEN] {
        let mut bytes = [0; BATCH_HEADER_LEN];
        bytes[..4].copy_from_slice(&self.len.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.count.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.position.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.time.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.synced.to_be_bytes());
        bytes[CRC_AT..].copy_from_slice(&self.crc.to_be_bytes());
        bytes
    }

    /// Decodes a header. Whether it is valid is known once [`matches`](Self::matches) has seen the records.
    pub(crate) fn decode(bytes: &[u8; BATCH_HEADER_LEN]) -> Self {
        Self {
            len: u32_at(bytes, 0),
            count: u32_at(bytes, 4),
            position: u64_at(bytes, 8),
            time: u64_at(bytes, 16),
            synced: u64_at(bytes, 24),
            crc: u32_at(bytes, CRC_AT),
        }
    }

    /// Returns true if these are possible values for a batch at or after `position` with at most `room` bytes of
    /// records. Each record has a length of 4 bytes.
    pub(crate) fn is_plausible(&self, position: u64, room: u64) -> bool {
        self.position >= position
            && self.position.checked_add(u64::from(self.count)).is_some()
            && u64::from(self.len) <= room
            && u64::from(self.count) * 4 <= u64::from(self.len)
            && self.synced <= self.position
    }

    /// Returns true if the header belongs to these records and this place, and none is damaged.
    pub(crate) fn matches(&self, records: &[u8], place: &Place) -> bool {
        self.len as usize == records.len() && self.checksum(records, place) == self.crc
    }

    /// The position after the last record.
    pub(crate) fn end(&self) -> u64 {
        self.position + u64::from(self.count)
    }

    fn checksum(&self, records: &[u8], place: &Place) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&place.segment.log.0);
        hasher.update(&place.segment.base.to_be_bytes());
        hasher.update(&place.offset.to_be_bytes());
        hasher.update(&self.encode()[..CRC_AT]);
        hasher.update(records);
        hasher.finalize()
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(value)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_be_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_fixed() {
        let header = SegmentHeader {
            log: LogId([7; 16]),
            base: 258,
        };
        let bytes = header.encode();
        assert_eq!(&bytes[..12], b"mosaiklg\0\x01\0\0");
        assert_eq!(&bytes[12..28], &[7; 16]);
        assert_eq!(&bytes[28..36], &[0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(SegmentHeader::decode(&bytes), Decoded::Header(header));
        assert_eq!(bytes.len() as u64, SEGMENT_HEADER_LEN);

        let place = Place {
            segment: header,
            offset: 40,
        };
        let batch = BatchHeader::of(b"\0\0\0\x01a", &place, (1, 3), (4, 2));
        let bytes = batch.encode();
        assert_eq!(&bytes[..8], &[0, 0, 0, 5, 0, 0, 0, 1]);
        assert_eq!(
            &bytes[8..32],
            &[
                0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2
            ]
        );
        assert_eq!(BatchHeader::decode(&bytes), batch);
        assert!(batch.matches(b"\0\0\0\x01a", &place));
        assert!(!batch.matches(b"\0\0\0\x01b", &place));
        for other in [
            Place {
                offset: 41,
                ..place
            },
            Place {
                segment: SegmentHeader { base: 0, ..header },
                ..place
            },
            Place {
                segment: SegmentHeader {
                    log: LogId([8; 16]),
                    ..header
                },
                ..place
            },
        ] {
            assert!(!batch.matches(b"\0\0\0\x01a", &other));
        }
    }

    #[test]
    fn every_changed_bit_of_a_header_is_noticed() {
        let header = SegmentHeader {
            log: LogId([7; 16]),
            base: 258,
        };
        for bit in 0..SEGMENT_HEADER_LEN as usize * 8 {
            let mut bytes = header.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes), Decoded::Invalid, "{bit}");
        }
        let records = b"\0\0\0\x01a";
        let place = Place {
            segment: header,
            offset: 40,
        };
        for bit in 0..BATCH_HEADER_LEN * 8 {
            let mut bytes = BatchHeader::of(records, &place, (1, 3), (4, 2)).encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !BatchHeader::decode(&bytes).matches(records, &place),
                "{bit}"
            );
        }
    }

    #[test]
    fn a_name_is_that_of_a_segment_or_none() {
        assert_eq!(segment_base(&segment_name(42)), Some(42));
        for other in [
            "42.log",
            "00000000000000000042.tmp",
            "x",
            "+0000000000000000042.log",
            "99999999999999999999.log",
        ] {
            assert_eq!(segment_base(other), None, "{other}");
        }
    }
}
