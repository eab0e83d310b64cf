//! [`History`]: restores a lost instance from a snapshot, taken about once per second while the
//! instance is used, and from the calls since then, which are repeated with the same clock values.
//!
//! If an instance has external effects or inputs (HTTP, random numbers, its own clock), or if its
//! calls are too many to keep, they cannot be repeated. It is then restored from its snapshot
//! alone, and the records that it has kept since then count as forgotten.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::task::Task;
use crate::operator::{CallError, ClockTrace, Component, Instance, Interfaces, State};

/// Default interval between snapshots while an instance is used: 1 s.
pub const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);
/// Taking snapshots uses at most 1/20 of the time.
const SNAPSHOT_SHARE: u32 = 20;
/// Maximum size of the kept calls, in bytes: 32 MiB. Beyond half of it, a snapshot is taken early.
const JOURNAL_BYTES_MAX: usize = 32 << 20;
/// Size of a kept call without its records, in bytes.
const CALL_BYTES: usize = 256;
/// Number of consecutive failed restores after which less is restored: 3.
const FAILURES_MAX: u32 = 3;

/// A call to repeat.
#[derive(Debug)]
struct Call {
    task: Task,
    clock: ClockTrace,
}

/// The state of an instance, with the number of records in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) state: State,
    /// Maximum number of records in the state.
    pub(super) kept: u64,
}

/// The history of one instance.
#[derive(Debug)]
pub(super) struct History {
    /// True if the operator has state.
    has_state: bool,
    can_repeat: bool,
    interval: Duration,
    snapshot: Option<State>,
    /// The time at which the snapshot was taken, and the time that it took.
    taken: (Instant, Duration),
    /// Input ports that had ended by then.
    ended: Vec<u32>,
    /// The calls since the snapshot; empty if they are too many.
    journal: VecDeque<Call>,
    journal_bytes: usize,
    /// True if the journal contains all calls since the snapshot.
    is_whole: bool,
    /// Number of calls since the snapshot.
    calls: u64,
    /// Maximum number of records in the state: those from before the snapshot, and those since.
    kept: [u64; 2],
    failures: u32,
}

/// The result of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restored {
    /// The origin of the state in words, for the log.
    pub(super) from: String,
    /// Number of records that the previous instance had kept and the new one has not.
    pub(super) forgotten: u64,
}

impl History {
    /// Creates the history of an instance that starts from `saved`, with these input ports ended.
    pub(super) fn new(
        component: &Component,
        interval: Option<Duration>,
        saved: Option<Saved>,
        ended: Vec<u32>,
    ) -> Self {
        let kept = saved.as_ref().map_or(0, |saved| saved.kept);
        Self {
            has_state: component.description().state_version > 0,
            can_repeat: component.interfaces() == Interfaces::default(),
            interval: interval.unwrap_or(SNAPSHOT_INTERVAL),
            snapshot: saved.map(|saved| saved.state),
            taken: (Instant::now(), Duration::ZERO),
            ended,
            journal: VecDeque::new(),
            journal_bytes: 0,
            is_whole: true,
            calls: 0,
            kept: [kept, 0],
            failures: 0,
        }
    }

    /// Sets the interval between snapshots.
    pub(super) fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval.unwrap_or(SNAPSHOT_INTERVAL);
    }

    /// Returns true if a failed call can be repeated without repeating external effects.
    pub(super) const fn can_repeat(&self) -> bool {
        self.can_repeat
    }

    /// Returns true if there are calls to repeat.
    pub(super) fn is_long(&self) -> bool {
        !self.journal.is_empty()
    }

    /// Records an answered call, which added `kept` records to the state.
    pub(super) fn note(&mut self, task: &Task, clock: ClockTrace, kept: u64) {
        if !self.has_state {
            return;
        }
        self.calls += 1;
        self.kept[1] = self.kept[1].saturating_add(kept);
        if !self.is_whole {
            return;
        }
        self.journal_bytes += task.bytes() + clock.bytes() + CALL_BYTES;
        if self.can_repeat && self.journal_bytes <= JOURNAL_BYTES_MAX {
            let task = task.clone();
            self.journal.push_back(Call { task, clock });
        } else {
            self.forget_calls();
        }
    }

    /// Returns true if a snapshot is due.
    pub(super) fn is_due(&self) -> bool {
        if self.calls == 0 {
            return false;
        }
        let (at, took) = self.taken;
        let age = at.elapsed();
        let is_early = !self.is_whole || self.journal_bytes > JOURNAL_BYTES_MAX / 2;
        let affordable = took.saturating_mul(SNAPSHOT_SHARE);
        let wait = if is_early && self.can_repeat {
            affordable
        } else {
            affordable.max(self.interval)
        };
        age >= wait
    }

    /// Takes a snapshot of the instance, and returns it. `ended` lists the input ports that have ended.
    ///
    /// # Errors
    /// The error of the instance. If it refuses, its history is kept, and the snapshot is retried
    /// later.
    pub(super) fn take(
        &mut self,
        instance: &mut Instance,
        ended: &[u32],
    ) -> Result<Saved, CallError> {
        let began = Instant::now();
        let taken = instance.snapshot();
        let now = Instant::now();
        // After an error, the next attempt waits at least one interval.
        let took = now - began;
        self.taken = (now, took);
        let state = match taken {
            Ok(state) => state,
            Err(error) => {
                self.taken.1 = took.max(self.interval);
                return Err(error);
            }
        };
        tracing::debug!(bytes = state.len(), ?took, "snapshot");
        let saved = self.saved_as(state);
        self.kept = [saved.kept, 0];
        self.snapshot = Some(saved.state.clone());
        self.ended = ended.to_vec();
        self.forget_calls();
        self.is_whole = true;
        self.calls = 0;
        self.failures = 0;
        Ok(saved)
    }

    /// Returns the state together with the number of records that it may contain.
    fn saved_as(&self, state: State) -> Saved {
        let [before, since] = self.kept;
        // A state without entries contains no records.
        let kept = if state.entries.is_empty() {
            0
        } else {
            before.saturating_add(since)
        };
        Saved { state, kept }
    }

    /// Restores the state of the lost instance in a new one. `ended` lists the input ports that
    /// have ended.
    ///
    /// # Errors
    /// The instance refuses the snapshot, or fails. After [`FAILURES_MAX`] consecutive failures,
    /// less is restored: first without the calls, then nothing.
    pub(super) fn restore(
        &mut self,
        instance: &mut Instance,
        ended: &[u32],
    ) -> Result<Restored, String> {
        match self.try_restore(instance, ended) {
            Ok(from) => {
                self.failures = 0;
                let forgotten = if self.is_whole {
                    0
                } else {
                    std::mem::take(&mut self.kept[1])
                };
                // The journal still holds the calls since the snapshot, if they can be repeated.
                self.is_whole = self.can_repeat || !self.has_state;
                self.calls = self.journal.len() as u64;
                Ok(Restored { from, forgotten })
            }
            Err(reason) => {
                self.failures += 1;
                if self.failures < FAILURES_MAX {
                    return Err(reason);
                }
                self.failures = 0;
                let given_up = if self.is_long() {
                    self.forget_calls();
                    "the calls since its last snapshot are discarded"
                } else {
                    self.snapshot = None;
                    self.is_whole = false;
                    self.kept = [0, self.kept[0].saturating_add(self.kept[1])];
                    "its last snapshot is discarded"
                };
                Err(format!("{reason}; {given_up}"))
            }
        }
    }

    /// Discards the history and returns the number of records forgotten with it.
    pub(super) fn give_up(&mut self) -> u64 {
        self.snapshot = None;
        self.journal.clear();
        self.journal_bytes = 0;
        let [before, since] = std::mem::take(&mut self.kept);
        before.saturating_add(since)
    }

    fn is_finish_kept(&self, port: u32) -> bool {
        let mut tasks = self.journal.iter().map(|call| &call.task);
        tasks.any(|task| matches!(task, Task::Finish(finished) if *finished == port))
    }

    fn forget_calls(&mut self) {
        self.journal = VecDeque::new();
        self.journal_bytes = 0;
        self.is_whole = false;
    }

    fn try_restore(&self, instance: &mut Instance, ended: &[u32]) -> Result<String, String> {
        let repeats = |error: CallError| format!("it cannot be restored: {error}");
        if let Some(state) = &self.snapshot {
            instance
                .restore(state)
                .map_err(|error| format!("it rejects its last snapshot: {error}"))?;
        }
        for port in &self.ended {
            repeat(instance, &Task::Finish(*port), &ClockTrace::default()).map_err(repeats)?;
        }
        for Call { task, clock } in &self.journal {
            repeat(instance, task, clock).map_err(repeats)?;
        }
        for port in ended {
            // The call that ended the port may have been discarded. Its answer has already been
            // handed on.
            if !self.ended.contains(port) && !self.is_finish_kept(*port) {
                repeat(instance, &Task::Finish(*port), &ClockTrace::default()).map_err(repeats)?;
            }
        }
        instance.forget_reports();
        let age = self.taken.0.elapsed().as_secs_f64();
        Ok(match (self.has_state, &self.snapshot, self.is_whole) {
            (false, ..) => "no state".to_owned(),
            (_, None, true) => format!("empty state and {} calls since", self.journal.len()),
            (_, None, false) => "empty state".to_owned(),
            (_, Some(_), true) => format!(
                "its last snapshot, {age:.1}s old, and {} calls since",
                self.journal.len()
            ),
            (_, Some(_), false) => format!("its last snapshot, {age:.1}s old"),
        })
    }
}

/// Repeats the end of an input whose answers are known.
///
/// # Errors
/// The instance fails.
pub(super) fn repeat_end(instance: &mut Instance, port: u32) -> Result<(), CallError> {
    repeat(instance, &Task::Finish(port), &ClockTrace::default())?;
    instance.forget_reports();
    Ok(())
}

/// Repeats a call whose answers are known.
fn repeat(instance: &mut Instance, task: &Task, clock: &ClockTrace) -> Result<(), CallError> {
    instance.repeat(clock.clone());
    let mut answer = task.call(instance);
    while matches!(&answer, Ok(processed) if processed.more) {
        answer = instance.resume();
    }
    match answer {
        // A call that was refused before is refused again.
        Ok(_) | Err(CallError::Refused(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
