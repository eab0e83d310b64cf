//! The side channel of a subscription: reports of the consumer while records flow, over a unidirectional stream of the
//! same connection. No I/O.
//!
//! ```text
//! entry = length u32 · kind u16 · value      the length counts kind and value
//! ```
//! All integers are big-endian. A reader skips unknown kinds.

use std::time::Duration;

/// The maximum length of an entry, kind and value: 64 KiB.
pub(crate) const ENTRY_LEN_MAX: usize = 64 * 1024;
/// The maximum number of entries that a producer reads per [`RATE_PERIOD`]. Further ones wait, so that QUIC holds the
/// consumer back. A consumer sends one entry per MiB taken, and otherwise one every 100 ms.
pub(crate) const ENTRIES_MAX: u32 = 4096;
/// See [`ENTRIES_MAX`].
pub(crate) const RATE_PERIOD: Duration = Duration::from_secs(1);

/// Kind: every record before this position is taken.
const TAKEN: u16 = 1;
/// Precedes the position in a consumer's last words.
const LAST_WORDS: &str = " at ";
/// Follows it if the consumer's node will return.
const RETURNS: &str = ", returns";

/// A report of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Every record before this position is taken.
    Taken(u64),
    /// An entry of a kind or form that this version does not support.
    Unknown,
}

impl Entry {
    /// Returns the payload of a frame; empty for [`Entry::Unknown`].
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

/// The final report of a consumer, sent when it closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastWords {
    /// The consumer accounts for every record before this position.
    pub(crate) position: u64,
    /// True if its node stops and may start again: records that it has not received are to be retained.
    pub(crate) returns: bool,
}

impl LastWords {
    pub(crate) fn encode(self) -> String {
        let returns = if self.returns { RETURNS } else { "" };
        format!("{LAST_WORDS}{}{returns}", self.position)
    }

    /// Returns `None` for any other text.
    pub(crate) fn decode(words: &[u8]) -> Option<Self> {
        let said = std::str::from_utf8(words).ok()?.strip_prefix(LAST_WORDS)?;
        let digits = said.strip_suffix(RETURNS).unwrap_or(said);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let position = is_number.then(|| digits.parse().ok()).flatten()?;
        let returns = digits.len() < said.len();
        Some(Self { position, returns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_fixed() {
        let taken = Entry::Taken(0x0102);
        assert_eq!(taken.encode(), b"\0\x01\0\0\0\0\0\0\x01\x02");
        assert_eq!(Entry::decode(&taken.encode()), taken);
        for (returns, bytes) in [(false, " at 17"), (true, " at 17, returns")] {
            let position = 17;
            let words = LastWords { position, returns };
            assert_eq!(words.encode(), bytes);
            assert_eq!(LastWords::decode(bytes.as_bytes()), Some(words));
        }
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
            " at 1, returns, returns",
            " at , returns",
            " at 1,",
        ] {
            assert_eq!(LastWords::decode(words.as_bytes()), None, "{words:?}");
        }
    }
}
