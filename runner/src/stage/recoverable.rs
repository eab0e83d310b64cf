//! [`Recoverable`]: an instance of an operator with its history, from which it is restored after a
//! failure.

use std::time::Duration;

use mosaik_streams::Frames;

use super::{
    Blueprint, Counters,
    history::{History, Restored, Saved},
    task::{Progress, Task},
};
use crate::operator::{CallError, Component, Instance};

/// An instance of an operator that is restored after failures.
#[derive(Debug)]
pub(super) struct Recoverable {
    /// `None` after a failure, until the next instance is built.
    instance: Option<Instance>,
    history: History,
    /// Input ports that have ended and whose end this instance or a previous one has processed.
    ended: Vec<u32>,
}

impl Recoverable {
    /// Takes an instance with the state in `saved`, and the interval between snapshots, if the
    /// manifest sets one. `ended` lists the input ports whose end the instance has processed.
    pub(super) fn new(
        component: &Component,
        interval: Option<Duration>,
        (instance, saved): (Instance, Option<Saved>),
        ended: Vec<u32>,
    ) -> Self {
        Self {
            instance: Some(instance),
            history: History::new(component, interval, saved, ended.clone()),
            ended,
        }
    }

    /// Returns the instance, unless it is lost.
    pub(super) const fn instance(&mut self) -> Option<&mut Instance> {
        self.instance.as_mut()
    }

    /// Returns true if the instance is lost and not restored yet.
    pub(super) const fn is_lost(&self) -> bool {
        self.instance.is_none()
    }

    /// Drops the instance.
    pub(super) fn lose(&mut self) {
        self.instance = None;
    }

    /// Returns true if the end of an input port was processed.
    pub(super) fn has_ended(&self, port: u32) -> bool {
        self.ended.contains(&port)
    }

    /// Sets the interval between snapshots.
    pub(super) fn set_interval(&mut self, interval: Option<Duration>) {
        self.history.set_interval(interval);
    }

    /// Returns true if a failed call can be repeated without repeating external effects.
    pub(super) const fn can_repeat(&self) -> bool {
        self.history.can_repeat()
    }

    /// Returns true if a restore has calls to repeat.
    pub(super) fn has_calls_to_repeat(&self) -> bool {
        self.history.is_long()
    }

    /// Returns true if retrying the records of a batch one by one can save some of them. A single
    /// record cannot be split, and a partly handed-on answer cannot be repeated if the guest has
    /// external effects.
    pub(super) fn is_worth_retrying(
        &self,
        batch: &Frames,
        progress: &Progress,
        error: &CallError,
    ) -> bool {
        let is_splittable = error.is_fatal() || matches!(error, CallError::BatchTooLarge { .. });
        let can_repeat = self.can_repeat() || !progress.has_handed_on();
        batch.count() > 1 && is_splittable && can_repeat
    }

    /// Counts the outcome of a completed task and adds it to the history. Returns the number of
    /// records that are done and not rejected.
    pub(super) fn complete(
        &mut self,
        task: &Task,
        first: u32,
        progress: &Progress,
        counters: &Counters,
    ) -> usize {
        let records = task.records();
        let done = records - progress.rejected_among(first, records);
        let kept = counters.done(done as u64, progress.outcomes);
        counters.of_operator().add(&progress.counted);
        if let Task::Finish(port) = task
            && !self.has_ended(*port)
        {
            // Must precede the next snapshot, which records the ports that have ended by then.
            self.ended.push(*port);
        }
        self.note(task, kept);
        done
    }

    /// Adds a call that the instance has answered or refused to the history.
    pub(super) fn note(&mut self, task: &Task, kept: u64) {
        if let Some(instance) = &mut self.instance {
            let clock = instance.take_clock();
            self.history.note(task, clock, kept);
        }
    }

    /// Builds the next instance and restores the state of the lost one.
    ///
    /// # Errors
    /// The reason why it cannot be built or restored, as one sentence.
    pub(super) fn restore(&mut self, blueprint: &Blueprint) -> Result<Restored, String> {
        let built = blueprint.instantiate();
        let mut instance = built.map_err(|error| error.to_string())?;
        let restored = self.history.restore(&mut instance, &self.ended)?;
        self.instance = Some(instance);
        Ok(restored)
    }

    /// Returns the state, which is also the snapshot of the history from then on, or `None` if the
    /// instance is lost. A failed instance is lost.
    pub(super) fn snapshot(&mut self) -> Option<Result<Saved, CallError>> {
        let taken = self.history.take(self.instance.as_mut()?, &self.ended);
        Some(taken.map_err(|error| self.failed(error)))
    }

    /// Takes a snapshot for the history if one is due.
    ///
    /// # Errors
    /// The instance refuses and keeps its history, or fails and is lost.
    pub(super) fn save_if_due(&mut self) -> Result<(), CallError> {
        if self.history.is_due() {
            self.save()
        } else {
            Ok(())
        }
    }

    /// Takes a snapshot for the history.
    ///
    /// # Errors
    /// The instance refuses and keeps its history, or fails and is lost.
    pub(super) fn save(&mut self) -> Result<(), CallError> {
        let Some(instance) = &mut self.instance else {
            return Ok(());
        };
        let saved = self.history.take(instance, &self.ended);
        saved.map(drop).map_err(|error| self.failed(error))
    }

    /// Discards the history and returns the number of records forgotten with it.
    pub(super) fn forget(&mut self) -> u64 {
        self.history.give_up()
    }

    fn failed(&mut self, error: CallError) -> CallError {
        if error.is_fatal() {
            self.lose();
        }
        error
    }
}
