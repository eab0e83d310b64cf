//! [`ConsumerControl`]: observes and reconfigures a consumer from outside of its handle.

use std::sync::{Arc, Weak, atomic::Ordering};

use super::{
    group::{Attempt, Core},
    stats::ConsumerStats,
};
use crate::{
    Criteria,
    channel::{
        authorization::Requirements,
        backoff::ExponentialBackoff,
        format::Format,
        status::{ChannelConditions, ChannelInfo},
        tap::Tap,
    },
    criteria::NotSelectable,
};

/// Observes a consumer and changes its settings while it runs, without losing its subscriptions or queue.
///
/// It does not keep the consumer alive. Once the consumer is dropped, reading returns nothing and setting does nothing.
#[derive(Debug, Clone)]
pub struct ConsumerControl(Weak<Core>);

/// A snapshot of a consumer.
#[derive(Debug, Clone)]
pub struct ConsumerReading {
    /// True if the online conditions are met.
    pub online: bool,
    /// The online conditions.
    pub conditions: ChannelConditions,
    /// The counters so far.
    pub stats: ConsumerStats,
    /// The number of queued records, and their bytes with headers.
    pub queued: (usize, usize),
    /// The producers that are connected or connecting.
    pub producers: Vec<ChannelInfo>,
    /// The connection state for each remote node that offers the stream and meets the requirements.
    pub attempts: Vec<Attempt>,
    /// The record format that the consumer declares to producers.
    pub format: Option<Format>,
}

impl ConsumerControl {
    pub(super) fn new(core: &Arc<Core>) -> Self {
        Self(Arc::downgrade(core))
    }

    fn set(&self, change: impl FnOnce(&Arc<Core>)) {
        if let Some(core) = self.0.upgrade() {
            change(&core);
        }
    }

    /// Returns a snapshot of the consumer, or `None` if it has been dropped.
    pub fn read(&self) -> Option<ConsumerReading> {
        let core = self.0.upgrade()?;
        Some(ConsumerReading {
            online: core.board.is_online(),
            conditions: core.board.conditions(),
            stats: core.tally.read(),
            queued: core.queue().held(),
            producers: core.board.list(),
            attempts: core.group.attempts.list(),
            format: core.config.format,
        })
    }

    /// Returns the number of remote nodes that offer the stream and do not meet its requirements. Evaluates the
    /// requirements for each of them. Returns 0 if the consumer has been dropped.
    pub fn unfit(&self) -> usize {
        self.0.upgrade().map_or(0, |core| core.group.unfit())
    }

    /// Taps the records that the application takes from now on and that match `criteria`. Returns `None` if the
    /// consumer has been dropped.
    ///
    /// # Errors
    /// Fails if the criteria cannot be evaluated on records of the encoding.
    pub fn tap(&self, criteria: &Criteria) -> Result<Option<Tap>, NotSelectable> {
        let core = self.0.upgrade();
        core.map(|core| core.taps.add(&core.lookup, criteria))
            .transpose()
    }

    /// Sets the capacity of the queue, in records and in bytes with headers, each at least 1. Records that are already
    /// queued stay, even if they exceed the new bounds.
    pub fn set_buffer(&self, records: usize, bytes: usize) {
        self.set(|core| core.queue().set_bounds(records, bytes));
    }

    /// Sets the maximum number of records returned at once, at least 1, starting with the next call.
    pub fn set_batch_size(&self, records: usize) {
        self.set(|core| core.batch_size.store(records, Ordering::Relaxed));
    }

    /// Sets the criteria. Producers on this node, and remote ones that support changing criteria, apply them from their
    /// next batch on; records of other producers are filtered here. Records that are already queued are still returned.
    ///
    /// # Errors
    /// Fails if the criteria cannot be evaluated on records of the encoding. The previous criteria then stay in effect.
    pub fn set_criteria(&self, criteria: Criteria) -> Result<(), NotSelectable> {
        match self.0.upgrade() {
            Some(core) => core.set_criteria(criteria),
            None => Ok(()),
        }
    }

    /// Sets the online conditions and evaluates them at once. The conditions passed in are met by one producer.
    pub fn set_online_when(&self, conditions: impl FnOnce(ChannelConditions) -> ChannelConditions) {
        self.set(|core| core.board.set_conditions(conditions));
    }

    /// Sets the requirements on remote producers. Producers that no longer meet them are disconnected with code 10403,
    /// and producers that now meet them are connected. Applies to every consumer that shares the subscription.
    pub fn set_requirements(&self, requirements: Requirements) {
        self.set(|core| core.group.authorizer.replace(requirements));
    }

    /// Sets the backoff policy from the next attempt on, for every consumer that shares the subscription.
    pub fn set_backoff(&self, policy: ExponentialBackoff) {
        self.set(|core| core.group.set_backoff(policy));
    }
}
