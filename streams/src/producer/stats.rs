//! Counters of accepted, sent and dropped records.

use crate::channel::status::Counter;

/// The counters of a producer. Bytes exclude the 4-byte headers of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProducerStats {
    /// Records accepted from the application.
    pub datums: u64,
    /// The bytes of those records.
    pub bytes: u64,
    /// Records handed to connections, once per remote subscriber.
    pub sent_datums: u64,
    /// The bytes of those records.
    pub sent_bytes: u64,
    /// Records handed to consumers on this node, once per consumer.
    pub delivered_local: u64,
    /// Records that a subscriber's criteria did not select, once per subscriber.
    pub filtered: u64,
    /// Records sent again to a restarted node that had not confirmed them. It may have processed some of them before.
    pub redelivered: u64,
    /// Records sent to consumers that do not confirm, which are those of plain Mosaik. It is unknown whether they were
    /// taken.
    pub unconfirmed: u64,
    /// Records that were not delivered.
    pub dropped: Dropped,
}

/// Records that were not delivered, by reason, counted once per subscriber that missed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Records that were still held when the producer ended, because it was offline.
    pub offline: u64,
    /// Records that did not fit into a subscriber's queue, and for which the producer did not wait, or for which the
    /// subscriber was disconnected.
    pub lagging: u64,
    /// Records above the maximum length of the stream. They were returned to the sender.
    pub too_large: u64,
    /// Records for which the subscriber, the producer or the network ended first.
    pub closed: u64,
    /// Records sent while there was no subscriber, if the online conditions allow that.
    pub nobody: u64,
    /// Records that were sent, or about to be sent, to a subscriber that confirms, and were not confirmed before it was
    /// dropped: it did not reconnect in time, or was disconnected. It may have taken some of them.
    pub lost: u64,
}

impl Dropped {
    /// Returns the sum over all reasons.
    pub const fn total(&self) -> u64 {
        self.offline + self.lagging + self.too_large + self.closed + self.nobody + self.lost
    }
}

/// The running counters behind [`ProducerStats`]. The intake queue counts the accepted records.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) sent_datums: Counter,
    pub(super) sent_bytes: Counter,
    pub(super) delivered_local: Counter,
    pub(super) filtered: Counter,
    pub(super) redelivered: Counter,
    pub(super) unconfirmed: Counter,
    pub(super) offline: Counter,
    pub(super) lagging: Counter,
    pub(super) too_large: Counter,
    pub(super) closed: Counter,
    pub(super) nobody: Counter,
    pub(super) lost: Counter,
}

impl Tally {
    pub(super) fn read(&self) -> ProducerStats {
        ProducerStats {
            sent_datums: self.sent_datums.get(),
            sent_bytes: self.sent_bytes.get(),
            delivered_local: self.delivered_local.get(),
            filtered: self.filtered.get(),
            redelivered: self.redelivered.get(),
            unconfirmed: self.unconfirmed.get(),
            dropped: Dropped {
                offline: self.offline.get(),
                lagging: self.lagging.get(),
                too_large: self.too_large.get(),
                closed: self.closed.get(),
                nobody: self.nobody.get(),
                lost: self.lost.get(),
            },
            ..ProducerStats::default()
        }
    }
}

/// The result of ending a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FinishReport {
    /// True if the stream has ended; false if other handles remain.
    pub ended: bool,
    /// The number of subscribers that have read everything.
    pub complete: usize,
    /// The number of subscribers that left earlier or did not finish reading in time.
    pub incomplete: usize,
    /// The final counters of the producer.
    pub stats: ProducerStats,
}

/// Converts to the type that counters add.
pub(super) fn count(records: u64) -> usize {
    usize::try_from(records).unwrap_or(usize::MAX)
}
