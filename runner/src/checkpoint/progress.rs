//! [`Progress`]: when the checkpoints of a node were taken, how long they took, and why some were given up. No I/O.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::StageId;

/// Number of checkpoints given up in a row from which a warning is logged: 2. A reload gives up one.
const REPEATED: u64 = 2;
/// Minimum time between two warnings: 1 minute.
const WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// The kind of reason for which a checkpoint is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Its barrier did not pass all stages in time.
    Slow,
    /// A stage started or ended meanwhile.
    Changed,
    /// A stage could not note its state.
    Refused,
    /// A stage has failed, and its state is lost.
    Failed,
    /// The file could not be written, now or earlier.
    Unwritten,
}

impl Cause {
    /// Returns its name in statuses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Changed => "changed",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unwritten => "unwritten",
        }
    }
}

/// The reason for which a checkpoint was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The kind of reason.
    pub cause: Cause,
    /// The reason, as one clause.
    pub reason: String,
    /// The stages that no barrier has passed, if it was slow.
    pub stages: Vec<StageId>,
}

impl GivenUp {
    pub(super) const fn new(cause: Cause, reason: String) -> Self {
        Self {
            cause,
            reason,
            stages: Vec::new(),
        }
    }
}

/// The last complete checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastCheckpoint {
    /// Its number.
    pub number: u64,
    /// The time at which it was complete.
    pub taken: SystemTime,
    /// The size of the states of operators in it, in bytes.
    pub state_bytes: u64,
    /// The time from its beginning until it was durable; `None` if an earlier process took it.
    pub took: Option<Duration>,
}

/// The checkpoints of a node since its start.
#[derive(Debug, Clone)]
pub struct Progress {
    every: Duration,
    last: Option<LastCheckpoint>,
    /// The time at which the next one begins.
    due: Instant,
    /// The time at which the current one began.
    began: Option<Instant>,
    given_up: BTreeMap<Cause, u64>,
    /// The number given up since the last complete one, and the latest reason.
    in_a_row: u64,
    reason: Option<GivenUp>,
    warned: Option<Instant>,
    /// The number given up since the last warning.
    unwarned: u64,
}

/// The progress of a coordinator. Clones share it.
#[derive(Debug, Clone)]
pub struct SharedProgress(Arc<Mutex<Progress>>);

impl SharedProgress {
    pub(super) fn new(every: Duration) -> Self {
        Self(Arc::new(Mutex::new(Progress::new(every, Instant::now()))))
    }

    /// Returns a copy of the current state.
    pub fn read(&self) -> Progress {
        self.lock().clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn new(every: Duration, now: Instant) -> Self {
        Self {
            every,
            last: None,
            due: now + every,
            began: None,
            given_up: BTreeMap::new(),
            in_a_row: 0,
            reason: None,
            warned: None,
            unwarned: 0,
        }
    }

    /// Returns the time between two checkpoints.
    pub const fn every(&self) -> Duration {
        self.every
    }

    /// Returns the last complete checkpoint.
    pub const fn last(&self) -> Option<LastCheckpoint> {
        self.last
    }

    /// Returns the time until the next one begins; zero while one is being taken.
    pub fn due_in(&self) -> Duration {
        match self.began {
            Some(_) => Duration::ZERO,
            None => self.due.saturating_duration_since(Instant::now()),
        }
    }

    /// Returns the time since the beginning of the current one; `None` if none is being taken.
    pub fn running_for(&self) -> Option<Duration> {
        self.began.map(|began| began.elapsed())
    }

    /// Returns how many were given up since the start, by the kind of reason.
    pub const fn given_up(&self) -> &BTreeMap<Cause, u64> {
        &self.given_up
    }

    /// Returns the reason of the latest one that was given up, if none was complete since.
    pub const fn reason(&self) -> Option<&GivenUp> {
        self.reason.as_ref()
    }

    /// Notes the last checkpoint of an earlier process.
    pub(super) const fn continue_from(&mut self, last: LastCheckpoint) {
        self.last = Some(last);
    }

    /// Notes that the interval has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        self.due = now + self.every;
    }

    /// Notes the beginning of a checkpoint.
    pub(super) const fn begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// Notes a complete checkpoint.
    pub(super) fn complete(&mut self, last: LastCheckpoint) {
        self.last = Some(last);
        self.began = None;
        self.in_a_row = 0;
        self.reason = None;
    }

    /// Notes a checkpoint that is given up. Returns a warning if several were in a row and the last warning is at least
    /// a minute ago.
    pub(super) fn give_up(&mut self, reason: GivenUp, now: Instant) -> Option<String> {
        self.began = None;
        *self.given_up.entry(reason.cause).or_default() += 1;
        self.in_a_row += 1;
        self.unwarned += 1;
        let text = reason.reason.clone();
        self.reason = Some(reason);
        let is_recent = |warned: Instant| now.saturating_duration_since(warned) < WARNING_INTERVAL;
        if self.in_a_row < REPEATED || self.warned.is_some_and(is_recent) {
            return None;
        }
        self.warned = Some(now);
        let count = std::mem::take(&mut self.unwarned);
        let s = if count == 1 { "" } else { "s" };
        let last = self.last.map_or_else(
            || "none is complete yet".to_owned(),
            |last| format!("the last complete one is checkpoint {}", last.number),
        );
        Some(format!("gave up {count} checkpoint{s}: {text}; {last}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow() -> GivenUp {
        GivenUp::new(Cause::Slow, "no barrier has passed consumer out".to_owned())
    }

    fn complete(number: u64) -> LastCheckpoint {
        LastCheckpoint {
            number,
            taken: SystemTime::UNIX_EPOCH,
            state_bytes: 7,
            took: Some(Duration::from_millis(3)),
        }
    }

    #[test]
    fn repeated_failures_are_warned_of_once_a_minute_with_their_number() {
        let mut now = Instant::now();
        let mut progress = Progress::new(Duration::from_secs(1), now);
        assert_eq!(
            progress.give_up(slow(), now),
            None,
            "one may be due to a reload"
        );
        assert_eq!(
            progress.give_up(slow(), now).as_deref(),
            Some("gave up 2 checkpoints: no barrier has passed consumer out; none is complete yet")
        );
        for _ in 0..59 {
            now += Duration::from_secs(1);
            assert_eq!(progress.give_up(slow(), now), None);
        }
        progress.complete(complete(4));
        now += Duration::from_secs(1);
        assert_eq!(
            progress.give_up(slow(), now),
            None,
            "the first after a complete one"
        );
        assert_eq!(
            progress.give_up(slow(), now).as_deref(),
            Some(
                "gave up 61 checkpoints: no barrier has passed consumer out; \
                 the last complete one is checkpoint 4"
            )
        );
        assert_eq!(progress.given_up()[&Cause::Slow], 63);
    }

    #[test]
    fn a_complete_checkpoint_ends_the_complaint() {
        let now = Instant::now();
        let mut progress = Progress::new(Duration::from_secs(1), now);
        progress.begin(now);
        assert!(progress.running_for().is_some());
        assert_eq!(progress.due_in(), Duration::ZERO);
        progress.give_up(GivenUp::new(Cause::Changed, String::new()), now);
        assert_eq!(
            progress.reason().map(|reason| reason.cause),
            Some(Cause::Changed)
        );
        assert!(progress.running_for().is_none());
        progress.begin(now);
        progress.complete(complete(2));
        assert_eq!(
            (progress.reason(), progress.last()),
            (None, Some(complete(2)))
        );
        assert_eq!(progress.given_up().len(), 1, "it stays counted");
    }
}
