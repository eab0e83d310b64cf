//! [`History`]: what it takes to bring a lost instance back as it was: a snapshot about once a second while the instance
//! is used, and the calls since then, to be repeated with the same clock.
//!
//! An instance that reaches the outside (HTTP, random numbers, a clock of its own) cannot be repeated, and neither can
//! one whose calls are too many to keep. It comes back from its snapshot, and the records that it had kept since then are
//! counted as forgotten.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::task::Task;
use crate::operator::{CallError, ClockTrace, Component, Instance, Interfaces, State};

/// How often a snapshot is taken while an instance is used, where the manifest does not say.
pub const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);
/// Taking snapshots costs at most one part in so many of the time.
const SNAPSHOT_SHARE: u32 = 20;
/// Bytes of the calls that are kept: 32 MiB. Past half of it a snapshot is taken early.
const JOURNAL_BYTES_MAX: usize = 32 << 20;
/// What a kept call takes beside its records.
const CALL_BYTES: usize = 256;
/// Times in a row that a restore may fail before less is restored.
const FAILURES_MAX: u32 = 3;

/// A call to be repeated.
#[derive(Debug)]
struct Call {
    task: Task,
    clock: ClockTrace,
}

/// What an instance remembers, and of how many records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) state: State,
    /// Records that the state may hold.
    pub(super) kept: u64,
}

/// The past of one instance.
#[derive(Debug)]
pub(super) struct History {
    /// Whether the operator has state at all.
    has_state: bool,
    can_repeat: bool,
    interval: Duration,
    snapshot: Option<State>,
    /// When the snapshot was taken, and how long that took.
    taken: (Instant, Duration),
    /// Input ports that had ended by then.
    ended: Vec<u32>,
    /// The calls since then; empty if they are too many.
    journal: VecDeque<Call>,
    journal_bytes: usize,
    /// Whether the journal has all calls since the snapshot.
    is_whole: bool,
    /// Calls since the snapshot.
    calls: u64,
    /// Records that the state may hold: those in the snapshot, and those since.
    kept: [u64; 2],
    failures: u32,
}

/// How an instance was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restored {
    /// In words, for the log.
    pub(super) from: String,
    /// Records that its predecessor had kept and it has not.
    pub(super) forgotten: u64,
}

impl History {
    /// Of an instance that starts from what is saved.
    pub(super) fn new(
        component: &Component,
        interval: Option<Duration>,
        saved: Option<Saved>,
    ) -> Self {
        let kept = saved.as_ref().map_or(0, |saved| saved.kept);
        Self {
            has_state: component.description().state_version > 0,
            can_repeat: component.interfaces() == Interfaces::default(),
            interval: interval.unwrap_or(SNAPSHOT_INTERVAL),
            snapshot: saved.map(|saved| saved.state),
            taken: (Instant::now(), Duration::ZERO),
            ended: Vec::new(),
            journal: VecDeque::new(),
            journal_bytes: 0,
            is_whole: true,
            calls: 0,
            kept: [kept, 0],
            failures: 0,
        }
    }

    /// Takes snapshots so often from now on.
    pub(super) fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval.unwrap_or(SNAPSHOT_INTERVAL);
    }

    /// Whether a failed call can be repeated without repeating what it did to the outside.
    pub(super) const fn can_repeat(&self) -> bool {
        self.can_repeat
    }

    /// Whether there are calls to be repeated.
    pub(super) fn is_long(&self) -> bool {
        !self.journal.is_empty()
    }

    /// Notes a call that was answered, which left so many records in the state.
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

    /// Whether it is time for a snapshot.
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

    /// Keeps what the instance knows now, after these input ports have ended.
    ///
    /// # Errors
    /// The instance's. One that refuses keeps its history, and is asked again later.
    pub(super) fn take(&mut self, instance: &mut Instance, ended: &[u32]) -> Result<(), CallError> {
        let began = Instant::now();
        let taken = instance.snapshot();
        let now = Instant::now();
        // One that cannot be saved is not asked again and again.
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
        self.snapshot = Some(saved.state);
        self.ended = ended.to_vec();
        self.forget_calls();
        self.is_whole = true;
        self.calls = 0;
        self.failures = 0;
        Ok(())
    }

    /// What the instance remembers, with the number of records that this may be about.
    pub(super) fn saved_as(&self, state: State) -> Saved {
        let [before, since] = self.kept;
        // What no entry speaks of is not remembered.
        let kept = if state.entries.is_empty() {
            0
        } else {
            before.saturating_add(since)
        };
        Saved { state, kept }
    }

    /// Makes a new instance what the lost one was, after these input ports have ended.
    ///
    /// # Errors
    /// The instance refuses the snapshot, or fails. After [`FAILURES_MAX`] times in a row less is restored: without the
    /// calls, then nothing.
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
                // The calls are still those since the snapshot, unless they are not known.
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
                    "the calls since its last snapshot are given up"
                } else {
                    self.snapshot = None;
                    self.is_whole = false;
                    self.kept = [0, self.kept[0].saturating_add(self.kept[1])];
                    "its last snapshot is given up"
                };
                Err(format!("{reason}; {given_up}"))
            }
        }
    }

    /// Gives up all that is remembered: records that are forgotten with it.
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
        let repeats = |error: CallError| format!("it cannot be brought back: {error}");
        if let Some(state) = &self.snapshot {
            instance
                .restore(state)
                .map_err(|error| format!("it does not take its last snapshot: {error}"))?;
        }
        for port in &self.ended {
            repeat(instance, &Task::Finish(*port), &ClockTrace::default()).map_err(repeats)?;
        }
        for Call { task, clock } in &self.journal {
            repeat(instance, task, clock).map_err(repeats)?;
        }
        for port in ended {
            // The call that told it may be among those that are given up. What it answered then is handed on already.
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

/// Makes a call again, whose answers are known.
fn repeat(instance: &mut Instance, task: &Task, clock: &ClockTrace) -> Result<(), CallError> {
    instance.repeat(clock.clone());
    let mut answer = task.call(instance);
    while matches!(&answer, Ok(processed) if processed.more) {
        answer = instance.resume();
    }
    match answer {
        // What was refused then is refused again.
        Ok(_) | Err(CallError::Refused(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
