//! What a producer has taken, sent and dropped.

use crate::status::Counter;

/// What a producer has done so far. Bytes are those of datums, without their 4-byte headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProducerStats {
    /// Datums taken from the application.
    pub datums: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Datums handed to connections, once for each subscriber elsewhere.
    pub sent_datums: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Datums handed to consumers of this node, once for each.
    pub delivered_local: u64,
    /// Datums that a subscriber's criteria did not want, once for each subscriber.
    pub filtered: u64,
    /// Records sent again to the next life of a node that had not confirmed them; it may have seen some of them before.
    pub redelivered: u64,
    /// Records sent to consumers that do not confirm what they take: those of plain Mosaik. Whether they were taken is not
    /// known.
    pub unconfirmed: u64,
    /// Datums that did not arrive.
    pub dropped: Dropped,
}

/// Datums that did not arrive, by reason; counted once for each subscriber that missed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Still held for want of subscribers when the producer ended.
    pub offline: u64,
    /// A subscriber had no room, and was not waited for or was cut off.
    pub lagging: u64,
    /// Larger than the stream allows; handed back to whoever sent them.
    pub too_large: u64,
    /// A subscriber, the producer or the network went away before.
    pub closed: u64,
    /// There was nobody to send them to, and the conditions for being online allow that.
    pub nobody: u64,
    /// Sent, or about to be sent, to a subscriber that confirms what it takes, and not confirmed before it was given up: it
    /// did not come back in time, or was cut off. It may have taken some of them.
    pub lost: u64,
}

impl Dropped {
    /// All reasons together.
    pub const fn total(&self) -> u64 {
        self.offline + self.lagging + self.too_large + self.closed + self.nobody + self.lost
    }
}

/// [`ProducerStats`] while they are being counted. What was taken is counted by the queue that it is put into.
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
