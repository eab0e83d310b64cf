//! What a stage has done so far: counted by the stage, read by anyone.
//!
//! Every record that a stage takes in ends in exactly one of the places in [`Inputs`], so that they add up to what it took
//! in, but for records that are in flight.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde::{Deserialize, Serialize};

use super::OperatorCounters;
use crate::{
    connector::Progress,
    operator::{Counted, CounterClass, Outcomes},
};

/// Running totals of one stage. They live on when the stage is swapped or replaced under the same name.
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
    writing: Mutex<Option<Arc<Progress>>>,
}

/// What became of the records that a stage took in. Each is in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inputs {
    /// They brought output; for a source or a sink, they were handed on.
    pub answered: u64,
    /// They are or were kept in the operator's state.
    pub absorbed: u64,
    /// The operator left them out by decision.
    pub filtered: u64,
    /// They were processed by an operator that does not report what became of them.
    pub taken: u64,
    /// The operator rejected them, one by one, with a reason.
    pub rejected: u64,
    /// The operator failed on them.
    pub failed: u64,
    /// They were kept in a state that is lost.
    pub forgotten: u64,
    /// They do not fit the schema of their stream.
    pub invalid: u64,
    /// The stage still held them when it had to stop.
    pub undelivered: u64,
}

impl Inputs {
    /// All of them: the records that the stage took in, but for those in flight.
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

/// [`Counters`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Records taken in: read by a source, received by an operator or sink.
    pub datums_in: u64,
    /// Records handed on: to a stream, or to the outside.
    pub datums_out: u64,
    /// Payload bytes taken in.
    pub bytes_in: u64,
    /// Payload bytes handed on.
    pub bytes_out: u64,
    /// What became of the records taken in.
    pub inputs: Inputs,
    /// Records that were rejected, failed or invalid, with no word in the manifest of what should become of them.
    pub uncovered: u64,
    /// Records over the size limit, skipped by a source.
    pub too_large: u64,
    /// Input that a source skipped since it is not of its format.
    pub skipped: u64,
    /// Output that does not fit the schema of its stream.
    pub invalid_out: u64,
    /// Output that the stage still held when it had to stop.
    pub undelivered_out: u64,
    /// Records that waited for the stage when it ended, and that it did not take in.
    pub undelivered_queued: u64,
    /// Output that an operator sent to a port that leads nowhere.
    pub unbound: u64,
    /// Records that went to the stream that `on_error` names.
    pub dead_letters: u64,
    /// Those that should have gone there.
    pub dead_letters_undelivered: u64,
    /// Times the operator's instance was built again after a failure.
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

    pub(super) fn gave(&self, datums: usize, bytes: usize) {
        self.datums_out.fetch_add(datums as u64, Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    /// Records that a source or sink took in and handed on.
    pub(super) fn passed(&self, records: usize) {
        add(&self.answered, records as u64);
    }

    /// Records that an operator is done with and did not reject, and what it says became of them. Returns how many may be
    /// in its state.
    pub(super) fn done(&self, records: u64, outcomes: Outcomes) -> u64 {
        // One that says more than there were is not believed at all.
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

    /// Records that were kept in a state that is lost.
    pub(super) fn forgot(&self, records: u64) {
        add(&self.forgotten, records);
    }

    pub(super) fn rejected(&self, records: usize) {
        add(&self.rejected, records as u64);
    }

    /// Records that are dropped although the manifest does not say so.
    pub(super) fn uncovered(&self, records: usize) {
        add(&self.uncovered, records as u64);
    }

    /// Input that does not fit its schema.
    pub(super) fn invalid(&self, records: usize) {
        add(&self.invalid, records as u64);
    }

    /// Output that does not fit its schema.
    pub(super) fn outputs_invalid(&self, records: usize) {
        add(&self.invalid_out, records as u64);
    }

    pub(super) fn failed(&self, records: usize) {
        add(&self.failed, records as u64);
    }

    /// What a source passed over.
    pub(super) fn skipped(&self, too_large: u64, invalid: u64) {
        add(&self.too_large, too_large);
        add(&self.skipped, invalid);
    }

    /// Fields that a source handed on, although they are not of their column's kind.
    pub(super) fn mixed(&self, fields: u64) {
        if fields > 0 {
            self.of_operator.add(&[Counted {
                name: "mixed".into(),
                class: CounterClass::Normal,
                delta: fields,
            }]);
        }
    }

    /// Input that was taken and comes to nothing, since the stage had to stop.
    pub(crate) fn undelivered(&self, records: usize) {
        add(&self.undelivered, records as u64);
    }

    /// Records that waited for the stage when it ended, and that it did not take in.
    pub(crate) fn queue_undelivered(&self, records: usize) {
        add(&self.undelivered_queued, records as u64);
    }

    /// Output that was made and comes to nothing, since the stage had to stop.
    pub(super) fn outputs_undelivered(&self, records: usize) {
        add(&self.undelivered_out, records as u64);
    }

    pub(super) fn unbound(&self, records: usize) {
        add(&self.unbound, records as u64);
    }

    /// Dead-letter records that got to their stream, and that did not.
    pub(super) fn dead_letters(&self, sent: usize, undelivered: usize) {
        add(&self.dead_letters, sent as u64);
        add(&self.dead_letters_undelivered, undelivered as u64);
    }

    pub(super) fn restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    /// The counters that the operator keeps itself.
    pub fn of_operator(&self) -> &OperatorCounters {
        &self.of_operator
    }

    /// A sink writes, and this tells how that goes.
    pub(super) fn writes_with(&self, progress: Arc<Progress>) {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        *writing = Some(progress);
    }

    /// Why a sink cannot write at the moment, if that is so.
    pub fn obstacle(&self) -> Option<String> {
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        writing.as_ref()?.obstacle()
    }

    /// The totals now.
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        // What is forgotten was absorbed, or taken by an operator that does not report.
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
    /// What did not get through, by reason; the reasons that never happened left out.
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

    /// What is lost: dropped with no word in the manifest that it may be. Output to a port that leads nowhere is not.
    pub fn lost(&self) -> u64 {
        self.uncovered + self.inputs.forgotten + self.too_large + self.skipped + self.undelivered()
    }

    /// What was held, in whatever form, when the stage had to stop.
    pub fn undelivered(&self) -> u64 {
        self.inputs.undelivered
            + self.undelivered_out
            + self.undelivered_queued
            + self.dead_letters_undelivered
    }
}

/// The reasons and their counts, like `2 rejected, 1 too_large`; empty when there are none.
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
    fn a_snapshot_names_what_was_dropped_and_nothing_else() {
        let counters = Counters::default();
        assert_eq!(counters.snapshot().to_string(), "");
        counters.took(5, 50);
        counters.rejected(2);
        counters.skipped(1, 0);
        assert_eq!(counters.snapshot().to_string(), "2 rejected, 1 too_large");
        assert_eq!(counters.snapshot().datums_in, 5);
    }

    #[test]
    fn every_record_is_in_one_place() {
        let counters = Counters::default();
        let outcomes = Outcomes {
            answered: 3,
            absorbed: 4,
            filtered: 1,
        };
        counters.took(20, 0);
        assert_eq!(counters.done(10, outcomes), 4 + 2);
        // One that reports eight records of seven.
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
