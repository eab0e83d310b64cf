//! Counters of received and dropped records.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::channel::status::Counter;

/// The counters of a consumer. Bytes exclude the 4-byte headers of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConsumerStats {
    /// Records returned to the application.
    pub datums: u64,
    /// The bytes of those records.
    pub bytes: u64,
    /// Records filtered out here, from producers that do not select.
    pub filtered: u64,
    /// Records that were not returned to the application.
    pub dropped: Dropped,
    pub(super) since: Option<Instant>,
}

/// The accessors of a channel's [`Stats`](crate::status::Stats).
impl ConsumerStats {
    /// Returns the number of records returned to the application.
    pub const fn datums(&self) -> usize {
        self.datums as usize
    }

    /// Returns the bytes of those records.
    pub const fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Returns the time since the consumer was built, or `None` for statistics of no consumer.
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
            "{} records, {} bytes, {dropped} dropped in {uptime} s",
            self.datums, self.bytes
        )
    }
}

/// Records that were not returned to the application, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Records that are invalid in their encoding or cannot be decoded.
    pub malformed: u64,
    /// Records announced with a length above the limit. Their producer is disconnected.
    pub too_large: u64,
    /// Records that a producer sent while it was not connected. Counted for producers that report their position, and
    /// only without criteria.
    pub lost: u64,
    /// Records that were received and not returned to the application, because the consumer was dropped, the
    /// subscription was cut off, or the producer was disconnected for malformed records.
    pub closed: u64,
}

impl Dropped {
    /// Returns the sum over all reasons.
    pub const fn total(&self) -> u64 {
        self.malformed + self.too_large + self.lost + self.closed
    }
}

/// The running counters behind [`ConsumerStats`].
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
