//! [`ProducerControl`]: looks on at a producer that somebody else has, and sets what can change while it runs.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{core::Core, lag::DisconnectLagging, stats::ProducerStats, subscriber::Target};
use crate::{
    Criteria, PeerId,
    criteria::NotSelectable,
    gate::Requirements,
    status::{ChannelConditions, ChannelInfo},
    streams::Format,
    tap::Tap,
};

/// Looks on at a producer and sets what can change while it runs, subscribers and queues kept. Does not keep the
/// producer: of one that is gone there is nothing to see, and nothing is set.
#[derive(Debug, Clone)]
pub struct ProducerControl(Weak<Core>);

/// A producer at one moment.
#[derive(Debug, Clone)]
pub struct ProducerReading {
    /// Whether the conditions for being online are met.
    pub online: bool,
    /// Those conditions.
    pub conditions: ChannelConditions,
    /// What it has done so far.
    pub stats: ProducerStats,
    /// Datums and bytes (headers included) taken but not yet handed to subscribers.
    pub queued: (usize, usize),
    /// Its subscribers, those of this node included.
    pub consumers: Vec<ChannelInfo>,
    /// What the producer declares its records to be.
    pub format: Option<Format>,
    /// Nodes whose consumers are refused because they take the records for something else; at most 64.
    pub mismatches: Vec<(PeerId, Format)>,
}

/// The settings of a producer that can change while it runs and that nobody waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    pub(super) buffer_size: usize,
    pub(super) buffer_bytes: usize,
    pub(super) max_consumers: usize,
    pub(super) linger: Duration,
}

impl ProducerControl {
    pub(super) fn new(core: &Arc<Core>) -> Self {
        Self(Arc::downgrade(core))
    }

    fn set(&self, change: impl FnOnce(&Core)) {
        if let Some(core) = self.0.upgrade() {
            change(&core);
        }
    }

    /// How it is now; `None` when it is gone.
    pub fn read(&self) -> Option<ProducerReading> {
        let core = self.0.upgrade()?;
        Some(ProducerReading {
            online: core.board.is_online(),
            conditions: core.board.conditions(),
            stats: core.stats(),
            queued: core.intake.held(),
            consumers: core.board.list(),
            format: core.format(),
            mismatches: core.mismatches().list(),
        })
    }

    /// Looks on at what is handed to subscribers from now on, as far as it meets these criteria. `None` when the producer
    /// is gone.
    ///
    /// # Errors
    /// When the criteria cannot be applied to datums of the encoding.
    pub fn tap(&self, criteria: &Criteria) -> Result<Option<Tap>, NotSelectable> {
        let Some(core) = self.0.upgrade() else {
            return Ok(None);
        };
        let tap = core.taps.add(&core.lookup, criteria)?;
        core.hold();
        Ok(Some(tap))
    }

    /// Other bounds of what is held for the fan-out, and again for each subscriber elsewhere, in datums and in bytes with
    /// headers, each at least 1. What is held already stays, even if it is more.
    pub fn set_buffer(&self, datums: usize, bytes: usize) {
        self.set(|core| {
            let mut live = core.live();
            (live.buffer_size, live.buffer_bytes) = (datums, bytes);
            drop(live);
            core.intake.set_bounds(datums, bytes);
            // Whoever is admitted meanwhile has these bounds, or is in this list.
            for subscriber in core.advance(0).iter() {
                if let Target::Remote(remote) = &subscriber.target {
                    remote.queue.set_bounds(datums, bytes);
                }
            }
        });
    }

    /// Another time for datums to wait for more to go out with them, from the next ones on.
    pub fn set_linger(&self, linger: Duration) {
        self.set(|core| {
            core.live().linger = linger;
            core.hold();
        });
    }

    /// Another bound on subscribers elsewhere. Those there are stay, even if they are more.
    pub fn set_max_consumers(&self, max_consumers: usize) {
        self.set(|core| core.live().max_consumers = max_consumers);
    }

    /// Another way with subscribers elsewhere that do not keep up, at once: also with those that are being waited for.
    pub fn set_disconnect_lagging(&self, policy: impl Into<DisconnectLagging>) {
        self.set(|core| {
            core.lagging.send_replace(policy.into());
        });
    }

    /// Other conditions for being online, said from such as are met by one subscriber, and judged at once.
    pub fn set_online_when(&self, conditions: impl FnOnce(ChannelConditions) -> ChannelConditions) {
        self.set(|core| core.board.set_conditions(conditions));
    }

    /// Other requirements of subscribers elsewhere: those that do not meet them are cut off with 10403. Those that were
    /// refused before hear that there is news of this node, and come back.
    pub fn set_requirements(&self, requirements: Requirements) {
        self.set(|core| {
            core.gate.replace(requirements);
            core.streams.env.discovery.renew();
        });
    }
}
