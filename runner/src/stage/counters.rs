//! The counts of a stage: written by the stage, readable from any thread.
//!
//! Each record that a stage receives is counted in exactly one field of [`Inputs`]. Apart from
//! records in flight, the fields therefore add up to the number of received records.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde::{Deserialize, Serialize};

use super::OperatorCounters;
use crate::operator::Outcomes;

/// Running totals of one stage. They continue when the stage is swapped or replaced under the same
/// name.
#[derive(Debug, Default)]
pub struct Counters {
    datums_in: AtomicU64,
    datums_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    answered: AtomicU64,
    absorbed: AtomicU64,
    filtered: AtomicU64,
    taken: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    forgotten: AtomicU64,
    uncovered: AtomicU64,
    too_large: AtomicU64,
    skipped: AtomicU64,
    invalid: AtomicU64,
    invalid_out: AtomicU64,
    undelivered: AtomicU64,
    undelivered_out: AtomicU64,
    undelivered_queued: AtomicU64,
    unbound: AtomicU64,
    dead_letters: AtomicU64,
    dead_letters_undelivered: AtomicU64,
    restarts: AtomicU64,
    of_operator: OperatorCounters,
    obstacle: Mutex<Option<String>>,
}

/// Outcomes of the records that a stage received. Each record counts in exactly one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inputs {
    /// Records that produced output; for a source or a sink, records that were handed on.
    pub answered: u64,
    /// Records that are or were kept in the operator's state.
    pub absorbed: u64,
    /// Records that the operator deliberately left out.
    pub filtered: u64,
    /// Records processed by an operator that does not report outcomes.
    pub taken: u64,
    /// Records that the operator rejected individually, with a reason, or that a sink cannot write.
    pub rejected: u64,
    /// Records on which the operator failed, or that a sink gave up after `max_elapsed`.
    pub failed: u64,
    /// Records kept in a state that was lost.
    pub forgotten: u64,
    /// Records that do not fit the schema of their stream.
    pub invalid: u64,
    /// Records that the stage still held when it had to stop.
    pub undelivered: u64,
}

impl Inputs {
    /// Returns the sum of all fields: the number of received records without those in flight.
    pub fn total(&self) -> u64 {
        [
            self.answered,
            self.absorbed,
            self.filtered,
            self.taken,
            self.rejected,
            self.failed,
            self.forgotten,
            self.invalid,
            self.undelivered,
        ]
        .iter()
        .sum()
    }
}

/// [`Counters`] at one point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Records received: read by a source, or received by an operator or sink.
    pub datums_in: u64,
    /// Records written: to a stream, or to an external sink.
    pub datums_out: u64,
    /// Payload bytes received.
    pub bytes_in: u64,
    /// Payload bytes written.
    pub bytes_out: u64,
    /// Outcomes of the received records.
    pub inputs: Inputs,
    /// Records that were rejected, failed or invalid without a policy for them in the manifest.
    pub uncovered: u64,
    /// Records over the size limit that a source skipped.
    pub too_large: u64,
    /// Input that a source skipped because it does not fit the source's format.
    pub skipped: u64,
    /// Output that does not fit the schema of its stream.
    pub invalid_out: u64,
    /// Output that the stage still held when it had to stop.
    pub undelivered_out: u64,
    /// Records that were queued for the stage when it ended and that it did not receive.
    pub undelivered_queued: u64,
    /// Output that an operator sent to an unbound port.
    pub unbound: u64,
    /// Records sent to the stream named in `on_error`.
    pub dead_letters: u64,
    /// Dead-letter records that did not reach that stream.
    pub dead_letters_undelivered: u64,
    /// Number of times that the operator's instance was re-created after a failure.
    pub restarts: u64,
}

fn add(counter: &AtomicU64, count: u64) {
    if count > 0 {
        counter.fetch_add(count, Relaxed);
    }
}

impl Counters {
    pub(super) fn took(&self, datums: usize, bytes: usize) {
        self.datums_in.fetch_add(datums as u64, Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
    }

    /// Takes back what [`took`](Self::took) has counted: the next process reads it again.
    pub(super) fn took_back(&self, datums: usize, bytes: usize) {
        self.datums_in.fetch_sub(datums as u64, Relaxed);
        self.bytes_in.fetch_sub(bytes as u64, Relaxed);
    }

    pub(super) fn gave(&self, datums: usize, bytes: usize) {
        self.datums_out.fetch_add(datums as u64, Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    /// Counts records that a source or sink received and handed on.
    pub(super) fn passed(&self, records: usize) {
        add(&self.answered, records as u64);
    }

    /// Counts records that an operator has completed and did not reject, with their reported
    /// outcomes. Returns the number of them that may be in its state.
    pub(super) fn done(&self, records: u64, outcomes: Outcomes) -> u64 {
        // If the outcomes exceed the number of records, all of them are ignored.
        let outcomes = if outcomes.total() > records {
            Outcomes::default()
        } else {
            outcomes
        };
        let taken = records - outcomes.total();
        add(&self.answered, outcomes.answered);
        add(&self.absorbed, outcomes.absorbed);
        add(&self.filtered, outcomes.filtered);
        add(&self.taken, taken);
        outcomes.absorbed + taken
    }

    /// Counts records kept in a state that was lost.
    pub(super) fn forgot(&self, records: u64) {
        add(&self.forgotten, records);
    }

    pub(super) fn rejected(&self, records: usize) {
        add(&self.rejected, records as u64);
    }

    /// Counts records that are dropped without permission in the manifest.
    pub(super) fn uncovered(&self, records: usize) {
        add(&self.uncovered, records as u64);
    }

    /// Counts input that does not fit its schema.
    pub(super) fn invalid(&self, records: usize) {
        add(&self.invalid, records as u64);
    }

    /// Counts output that does not fit its schema.
    pub(super) fn outputs_invalid(&self, records: usize) {
        add(&self.invalid_out, records as u64);
    }

    pub(super) fn failed(&self, records: usize) {
        add(&self.failed, records as u64);
    }

    /// Counts input that a source skipped.
    pub(super) fn skipped(&self, too_large: u64, invalid: u64) {
        add(&self.too_large, too_large);
        add(&self.skipped, invalid);
    }

    /// Counts received input that is lost because the stage had to stop.
    pub(crate) fn undelivered(&self, records: usize) {
        add(&self.undelivered, records as u64);
    }

    /// Counts records that were queued for the stage when it ended and that it did not receive.
    pub(crate) fn queue_undelivered(&self, records: usize) {
        add(&self.undelivered_queued, records as u64);
    }

    /// Counts produced output that is lost because the stage had to stop.
    pub(super) fn outputs_undelivered(&self, records: usize) {
        add(&self.undelivered_out, records as u64);
    }

    pub(super) fn unbound(&self, records: usize) {
        add(&self.unbound, records as u64);
    }

    /// Counts dead-letter records that reached their stream, and those that did not.
    pub(super) fn dead_letters(&self, sent: usize, undelivered: usize) {
        add(&self.dead_letters, sent as u64);
        add(&self.dead_letters_undelivered, undelivered as u64);
    }

    pub(super) fn restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    /// Returns the operator's own counters.
    pub fn of_operator(&self) -> &OperatorCounters {
        &self.of_operator
    }

    /// Sets the reason why a sink currently cannot write, if there is one.
    pub(super) fn set_obstacle(&self, reason: Option<String>) {
        let mut obstacle = self.obstacle.lock().unwrap_or_else(PoisonError::into_inner);
        *obstacle = reason;
    }

    /// Returns the reason why a sink currently cannot write, if there is one.
    pub fn obstacle(&self) -> Option<String> {
        let obstacle = self.obstacle.lock();
        obstacle.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the current totals.
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        // Forgotten records were counted as absorbed, or as taken if the operator does not report
        // outcomes.
        let forgotten = read(&self.forgotten);
        let (absorbed, taken) = (read(&self.absorbed), read(&self.taken));
        let forgotten_taken = forgotten.saturating_sub(absorbed).min(taken);
        Snapshot {
            datums_in: read(&self.datums_in),
            datums_out: read(&self.datums_out),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
            inputs: Inputs {
                answered: read(&self.answered),
                absorbed: absorbed.saturating_sub(forgotten),
                filtered: read(&self.filtered),
                taken: taken - forgotten_taken,
                rejected: read(&self.rejected),
                failed: read(&self.failed),
                forgotten: forgotten.min(absorbed) + forgotten_taken,
                invalid: read(&self.invalid),
                undelivered: read(&self.undelivered),
            },
            uncovered: read(&self.uncovered),
            too_large: read(&self.too_large),
            skipped: read(&self.skipped),
            invalid_out: read(&self.invalid_out),
            undelivered_out: read(&self.undelivered_out),
            undelivered_queued: read(&self.undelivered_queued),
            unbound: read(&self.unbound),
            dead_letters: read(&self.dead_letters),
            dead_letters_undelivered: read(&self.dead_letters_undelivered),
            restarts: read(&self.restarts),
        }
    }
}

impl Snapshot {
    /// Returns the number of dropped records by reason, without the reasons whose count is zero.
    pub fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("rejected", self.inputs.rejected),
            ("failed", self.inputs.failed),
            ("forgotten", self.inputs.forgotten),
            ("too_large", self.too_large),
            (
                "invalid",
                self.skipped + self.inputs.invalid + self.invalid_out,
            ),
            ("undelivered", self.undelivered()),
            ("unbound", self.unbound),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
    }

    /// Returns the number of lost records: those dropped without permission in the manifest. Output
    /// to an unbound port does not count.
    pub fn lost(&self) -> u64 {
        self.uncovered + self.inputs.forgotten + self.too_large + self.skipped + self.undelivered()
    }

    /// Returns the number of records, in any form, that the stage held when it had to stop.
    pub fn undelivered(&self) -> u64 {
        self.inputs.undelivered
            + self.undelivered_out
            + self.undelivered_queued
            + self.dead_letters_undelivered
    }
}

/// Formats the reasons and their counts, such as `2 rejected, 1 too_large`; empty if there are
/// none.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (reason, count)) in self.dropped().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_of_counters_names_only_drops_that_occurred() {
        let counters = Counters::default();
        assert_eq!(counters.snapshot().to_string(), "");
        counters.took(5, 50);
        counters.rejected(2);
        counters.skipped(1, 0);
        assert_eq!(counters.snapshot().to_string(), "2 rejected, 1 too_large");
        assert_eq!(counters.snapshot().datums_in, 5);
    }

    #[test]
    fn every_record_is_counted_once() {
        let counters = Counters::default();
        let outcomes = Outcomes {
            answered: 3,
            absorbed: 4,
            filtered: 1,
        };
        counters.took(20, 0);
        assert_eq!(counters.done(10, outcomes), 4 + 2);
        // Reports eight outcomes for seven records.
        assert_eq!(counters.done(7, outcomes), 7);
        counters.rejected(1);
        counters.failed(2);
        let before = counters.snapshot().inputs;
        assert_eq!((before.absorbed, before.taken, before.total()), (4, 9, 20));
        counters.forgot(6);
        let after = counters.snapshot().inputs;
        assert_eq!((after.absorbed, after.taken, after.forgotten), (0, 7, 6));
        assert_eq!(after.total(), 20);
    }
}
