//! [`ProducerControl`]: observes and reconfigures a producer from outside of its handles.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{core::Core, lag::DisconnectLagging, stats::ProducerStats, subscriber::Target};
use crate::{
    Criteria, PeerId,
    channel::{
        authorization::Requirements,
        format::Format,
        status::{ChannelConditions, ChannelInfo},
        tap::Tap,
    },
    criteria::NotSelectable,
    durable::{DurableLog, DurableStatus},
};

/// Observes a producer and changes its settings while it runs, without losing its subscribers or queues.
///
/// It does not keep the producer alive. Once the producer has ended, reading returns nothing and setting does nothing.
#[derive(Debug, Clone)]
pub struct ProducerControl(Weak<Core>);

/// A snapshot of a producer.
#[derive(Debug, Clone)]
pub struct ProducerReading {
    /// True if the online conditions are met.
    pub online: bool,
    /// The online conditions.
    pub conditions: ChannelConditions,
    /// The counters so far.
    pub stats: ProducerStats,
    /// The number of records that are accepted and not yet handed to subscribers, and their bytes with headers.
    pub queued: (usize, usize),
    /// The subscribers, local ones included.
    pub consumers: Vec<ChannelInfo>,
    /// The declared format of the records.
    pub format: Option<Format>,
    /// The log of the stream, if it is durable.
    pub log: Option<DurableStatus>,
    /// The nodes whose consumers are refused because they declare another format; at most 64.
    pub mismatches: Vec<(PeerId, Format)>,
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

    /// Returns a snapshot of the producer, or `None` if it has ended.
    pub fn read(&self) -> Option<ProducerReading> {
        let core = self.0.upgrade()?;
        Some(ProducerReading {
            online: core.board.is_online(),
            conditions: core.board.conditions(),
            stats: core.stats(),
            queued: core.intake.held(),
            consumers: core.board.list(),
            format: core.format(),
            log: core.log.as_ref().map(DurableLog::status),
            mismatches: core.mismatches().list(),
        })
    }

    /// Taps the records that are handed to subscribers from now on and that match `criteria`. Returns `None` if the
    /// producer has ended.
    ///
    /// # Errors
    /// Fails if the criteria cannot be evaluated on records of the encoding.
    pub fn tap(&self, criteria: &Criteria) -> Result<Option<Tap>, NotSelectable> {
        let Some(core) = self.0.upgrade() else {
            return Ok(None);
        };
        let tap = core.taps.add(&core.lookup, criteria)?;
        core.suspend_bypass();
        Ok(Some(tap))
    }

    /// Sets the capacity of the producer's queue and of the queue of each remote subscriber, in records and in bytes
    /// with headers, each at least 1. Records that are already queued stay, even if they exceed the new bounds.
    pub fn set_buffer(&self, records: usize, bytes: usize) {
        self.set(|core| {
            let mut live = core.live();
            (live.buffer_size, live.buffer_bytes) = (records, bytes);
            drop(live);
            core.intake.set_bounds(records, bytes);
            // A subscriber admitted in the meantime already has these bounds, or is in this list.
            for subscriber in core.advance(0).iter() {
                if let Target::Remote(remote) = &subscriber.target {
                    remote.queue.set_bounds(records, bytes);
                }
            }
        });
    }

    /// Sets the linger time, starting with the next records.
    pub fn set_linger(&self, linger: Duration) {
        self.set(|core| {
            core.live().linger = linger;
            core.suspend_bypass();
        });
    }

    /// Sets the maximum number of remote subscribers. Connected subscribers stay, even if they exceed it.
    pub fn set_max_consumers(&self, max_consumers: usize) {
        self.set(|core| core.live().max_consumers = max_consumers);
    }

    /// Sets the policy for remote subscribers that do not keep up. Applies at once, also to those that are being waited
    /// for.
    pub fn set_disconnect_lagging(&self, policy: impl Into<DisconnectLagging>) {
        self.set(|core| {
            core.lagging.send_replace(policy.into());
        });
    }

    /// Sets the online conditions and evaluates them at once. The conditions passed in are met by one subscriber.
    pub fn set_online_when(&self, conditions: impl FnOnce(ChannelConditions) -> ChannelConditions) {
        self.set(|core| core.board.set_conditions(conditions));
    }

    /// Sets the requirements on remote subscribers. Those that do not meet them are disconnected with code 10403.
    /// Publishes a new version of this node's entry, which makes refused consumers try again.
    pub fn set_requirements(&self, requirements: Requirements) {
        self.set(|core| {
            core.authorizer.replace(requirements);
            core.env.discovery.renew();
        });
    }
}
