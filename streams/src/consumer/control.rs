//! [`ConsumerControl`]: looks on at a consumer that somebody else has, and sets what can change while it runs.

use std::sync::{Arc, Weak, atomic::Ordering};

use super::{attempts::Attempt, core::Core, stats::ConsumerStats};
use crate::{
    Criteria,
    criteria::NotSelectable,
    gate::Requirements,
    status::{ChannelConditions, ChannelInfo},
    streams::{Format, backoff::ExponentialBackoff},
    tap::Tap,
};

/// Looks on at a consumer and sets what can change while it runs, subscriptions and queue kept. Does not keep the
/// consumer: of one that is gone there is nothing to see, and nothing is set.
#[derive(Debug, Clone)]
pub struct ConsumerControl(Weak<Core>);

/// A consumer at one moment.
#[derive(Debug, Clone)]
pub struct ConsumerReading {
    /// Whether the conditions for being online are met.
    pub online: bool,
    /// Those conditions.
    pub conditions: ChannelConditions,
    /// What it has received so far.
    pub stats: ConsumerStats,
    /// Datums and bytes (headers included) that wait to be taken.
    pub queued: (usize, usize),
    /// The producers it is connected or being connected to.
    pub producers: Vec<ChannelInfo>,
    /// How it fares with every node elsewhere that offers the stream and meets its requirements.
    pub attempts: Vec<Attempt>,
    /// What the consumer takes the records for, as it declares it to producers.
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

    /// How it is now; `None` when it is gone.
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

    /// How many nodes elsewhere offer the stream and do not meet its requirements; each is judged anew. None when the
    /// consumer is gone.
    pub fn unfit(&self) -> usize {
        self.0.upgrade().map_or(0, |core| core.group.unfit())
    }

    /// Looks on at what the application takes from now on, as far as it meets these criteria. `None` when the consumer is
    /// gone.
    ///
    /// # Errors
    /// When the criteria cannot be applied to datums of the encoding.
    pub fn tap(&self, criteria: &Criteria) -> Result<Option<Tap>, NotSelectable> {
        let core = self.0.upgrade();
        core.map(|core| core.taps.add(&core.lookup, criteria))
            .transpose()
    }

    /// Other bounds of what is held for the application, in datums and in bytes with headers, each at least 1. What is
    /// held already stays, even if it is more.
    pub fn set_buffer(&self, datums: usize, bytes: usize) {
        self.set(|core| core.queue().set_bounds(datums, bytes));
    }

    /// Another bound on what is handed out at once, at least 1, from the next time on.
    pub fn set_batch_size(&self, datums: usize) {
        self.set(|core| core.batch_size.store(datums, Ordering::Relaxed));
    }

    /// Other criteria. Producers of this node, and others that understand it, select by them from their next batch on;
    /// what the rest send is selected here. What is queued already is handed out.
    ///
    /// # Errors
    /// When the criteria cannot be applied to datums of the encoding; then those of before hold.
    pub fn set_criteria(&self, criteria: Criteria) -> Result<(), NotSelectable> {
        match self.0.upgrade() {
            Some(core) => core.set_criteria(criteria),
            None => Ok(()),
        }
    }

    /// Other conditions for being online, said from such as are met by one producer, and judged at once.
    pub fn set_online_when(&self, conditions: impl FnOnce(ChannelConditions) -> ChannelConditions) {
        self.set(|core| core.board.set_conditions(conditions));
    }

    /// Other requirements of producers elsewhere: those that do not meet them are let go of with 10403, those that now
    /// do are subscribed to. They are those of every consumer that shares the subscription.
    pub fn set_requirements(&self, requirements: Requirements) {
        self.set(|core| core.group.gate.replace(requirements));
    }

    /// Another policy for spacing attempts, from the next one on, for every consumer that shares the subscription.
    pub fn set_backoff(&self, policy: ExponentialBackoff) {
        self.set(|core| core.group.set_backoff(policy));
    }
}
