//! What a consumer has received and what it missed.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::status::Counter;

/// What a consumer has done so far. Bytes are those of datums, without their 4-byte headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConsumerStats {
    /// Datums handed to the application.
    pub datums: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Datums that came and were not wanted, from producers that do not select.
    pub filtered: u64,
    /// Datums that were not handed out.
    pub dropped: Dropped,
    pub(super) since: Option<Instant>,
}

/// As of one channel's [`Stats`](crate::status::Stats).
impl ConsumerStats {
    /// Datums handed to the application.
    pub const fn datums(&self) -> usize {
        self.datums as usize
    }

    /// Their bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// How long ago the consumer was built; `None` of statistics that are of none.
    pub fn uptime(&self) -> Option<Duration> {
        self.since.map(|since| since.elapsed())
    }
}

impl fmt::Display for ConsumerStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dropped = self.dropped.total();
        let uptime = self.uptime().unwrap_or_default().as_secs();
        write!(
            f,
            "{} datums, {} bytes, {dropped} dropped in {uptime} s",
            self.datums, self.bytes
        )
    }
}

/// Datums that were not handed to the application, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Not what their encoding says, or not decodable.
    pub malformed: u64,
    /// Announced as larger than is taken; its producer is not listened to any more.
    pub too_large: u64,
    /// Sent by a producer while it could not be heard. Known of producers that count, and without criteria.
    pub lost: u64,
    /// Received, but not handed out when the consumer was dropped, its subscription cut off, or a producer of malformed
    /// datums turned away.
    pub closed: u64,
}

impl Dropped {
    /// All reasons together.
    pub const fn total(&self) -> u64 {
        self.malformed + self.too_large + self.lost + self.closed
    }
}

/// [`ConsumerStats`] while they are being counted.
#[derive(Debug)]
pub(super) struct Tally {
    since: Instant,
    pub(super) datums: Counter,
    pub(super) bytes: Counter,
    pub(super) filtered: Counter,
    pub(super) malformed: Counter,
    pub(super) too_large: Counter,
    pub(super) lost: Counter,
    pub(super) closed: Counter,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            datums: Counter::default(),
            bytes: Counter::default(),
            filtered: Counter::default(),
            malformed: Counter::default(),
            too_large: Counter::default(),
            lost: Counter::default(),
            closed: Counter::default(),
        }
    }

    pub(super) fn read(&self) -> ConsumerStats {
        ConsumerStats {
            datums: self.datums.get(),
            bytes: self.bytes.get(),
            filtered: self.filtered.get(),
            dropped: Dropped {
                malformed: self.malformed.get(),
                too_large: self.too_large.get(),
                lost: self.lost.get(),
                closed: self.closed.get(),
            },
            since: Some(self.since),
        }
    }
}
