//! The side channel of a subscription: what the consumer reports while records flow, over a unidirectional stream of the
//! same connection. No I/O.
//!
//! ```text
//! entry = length u32 · kind u16 · value      the length counts kind and value
//! ```
//! All integers are big-endian. A reader skips kinds that it does not know.

use std::time::Duration;

/// The most bytes of an entry, kind and value: 64 KiB.
pub(crate) const ENTRY_LEN_MAX: usize = 64 * 1024;
/// The most entries that a producer reads in each [`RATE_PERIOD`]; what comes beyond waits, so that QUIC holds the consumer
/// back. A consumer sends an entry per MiB that is taken, and else one each 10 ms.
pub(crate) const ENTRIES_MAX: u32 = 4096;
/// See [`ENTRIES_MAX`].
pub(crate) const RATE_PERIOD: Duration = Duration::from_secs(1);

/// Every record before this position is taken.
const TAKEN: u16 = 1;
/// In front of the position in a consumer's last words.
const LAST_WORDS: &str = " at ";

/// What a consumer reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Every record before this position is taken.
    Taken(u64),
    /// Of a kind, or in a form, that this version does not know.
    Unknown,
}

impl Entry {
    /// The payload of a frame; empty for [`Entry::Unknown`].
    pub(crate) fn encode(self) -> Vec<u8> {
        match self {
            Self::Taken(position) => [&TAKEN.to_be_bytes()[..], &position.to_be_bytes()].concat(),
            Self::Unknown => Vec::new(),
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Self {
        match payload.split_first_chunk::<2>() {
            Some((kind, value)) if u16::from_be_bytes(*kind) == TAKEN => {
                value.try_into().map_or(Self::Unknown, |value| {
                    Self::Taken(u64::from_be_bytes(value))
                })
            }
            _ => Self::Unknown,
        }
    }
}

/// What a consumer says when it closes the connection: it answers itself for every record before this position.
pub(crate) fn last_words(position: u64) -> String {
    format!("{LAST_WORDS}{position}")
}

/// The position in a consumer's last words, if that is what they are.
pub(crate) fn read_last_words(words: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(words).ok()?.strip_prefix(LAST_WORDS)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_fixed() {
        let taken = Entry::Taken(0x0102);
        assert_eq!(taken.encode(), b"\0\x01\0\0\0\0\0\0\x01\x02");
        assert_eq!(Entry::decode(&taken.encode()), taken);
        assert_eq!(last_words(17), " at 17");
    }

    #[test]
    fn other_kinds_and_lengths_are_skipped() {
        for payload in [
            &b""[..],
            b"\0",
            b"\0\x01",
            b"\0\x01\0\0\0\0\0\0\x01",
            b"\0\x02\0\0\0\0\0\0\x01\x02",
        ] {
            assert_eq!(Entry::decode(payload), Entry::Unknown);
        }
        for words in [
            "",
            " at ",
            " at +1",
            " at 1 ",
            " at 99999999999999999999",
            "17",
        ] {
            assert_eq!(read_last_words(words.as_bytes()), None, "{words:?}");
        }
    }
}
