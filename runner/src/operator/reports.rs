//! The reports of a guest beside its answers: the outcomes of records, and its counters.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::bindings::types;
use super::host::cut;
use super::limits::Limits;

/// Outcomes of the records that are done and not rejected, as reported by the guest. Each record
/// counts in exactly one field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Records that produced output.
    pub answered: u64,
    /// Records kept in the operator's state.
    pub absorbed: u64,
    /// Records that the operator dropped on purpose, such as duplicates.
    pub filtered: u64,
}

impl Outcomes {
    /// Returns the sum of all fields.
    pub fn total(self) -> u64 {
        self.answered
            .saturating_add(self.absorbed)
            .saturating_add(self.filtered)
    }
}

impl std::ops::AddAssign for Outcomes {
    fn add_assign(&mut self, more: Self) {
        self.answered = self.answered.saturating_add(more.answered);
        self.absorbed = self.absorbed.saturating_add(more.absorbed);
        self.filtered = self.filtered.saturating_add(more.filtered);
    }
}

/// The meaning of a counter for an operator's results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CounterClass {
    /// No special meaning.
    #[default]
    Normal,
    /// Records are missing from results because of the operator's configuration, such as late or
    /// evicted ones.
    Incomplete,
    /// Records or results are lost.
    Lost,
}

impl CounterClass {
    /// Returns `normal`, `incomplete` or `lost`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Incomplete => "incomplete",
            Self::Lost => "lost",
        }
    }
}

impl From<types::CounterClass> for CounterClass {
    fn from(class: types::CounterClass) -> Self {
        match class {
            types::CounterClass::Normal => Self::Normal,
            types::CounterClass::Incomplete => Self::Incomplete,
            types::CounterClass::Lost => Self::Lost,
        }
    }
}

/// The amount added to a counter during one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The name of the counter.
    pub name: Box<str>,
    /// The class of the counter.
    pub class: CounterClass,
    /// The amount to add.
    pub delta: u64,
}

/// The reports of a guest since they were last taken.
#[derive(Debug, Default)]
pub(super) struct Reports {
    pub(super) outcomes: Outcomes,
    /// At most [`Limits::counters_max`].
    pub(super) counted: Vec<Counted>,
    /// The counter names in the life of the instance.
    names: HashSet<Box<str>>,
    refused: bool,
}

impl Reports {
    /// Adds to a counter. Returns `false`, once, if there is no room for it or its name is invalid.
    pub(super) fn count(
        &mut self,
        class: CounterClass,
        name: &str,
        delta: u64,
        limits: &Limits,
    ) -> bool {
        let mut counted = self.counted.iter_mut();
        if let Some(known) = counted.find(|counted| *counted.name == *name) {
            known.delta = known.delta.saturating_add(delta);
            return true;
        }
        if !self.names.contains(name) {
            if name.is_empty()
                || name.len() > limits.counter_name_bytes_max
                || self.names.len() >= limits.counters_max
            {
                return std::mem::replace(&mut self.refused, true);
            }
            self.names.insert(name.into());
        }
        self.counted.push(Counted {
            name: name.into(),
            class,
            delta,
        });
        true
    }

    /// Returns the log message for a counter that is ignored.
    pub(super) fn ignored(name: &str, limits: &Limits) -> String {
        let (counters_max, name_bytes_max) = (limits.counters_max, limits.counter_name_bytes_max);
        let name = cut(name, name_bytes_max);
        format!(
            "the counter `{name}` is ignored: an operator has at most {counters_max}, with names of 1 to \
             {name_bytes_max} bytes"
        )
    }
}

/// The values that `now` returned during one call, as runs of equal values, so that the call can be
/// repeated with the same clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClockTrace {
    runs: Vec<(u64, u32)>,
}

impl ClockTrace {
    /// Returns its size in bytes.
    pub fn bytes(&self) -> usize {
        self.runs.len() * size_of::<(u64, u32)>()
    }

    fn push(&mut self, now_ms: u64) {
        match self.runs.last_mut() {
            Some((last, times)) if *last == now_ms && *times < u32::MAX => *times += 1,
            _ => self.runs.push((now_ms, 1)),
        }
    }

    /// Appends the values of a later part of the same call.
    pub fn append(&mut self, mut later: Self) {
        self.runs.append(&mut later.runs);
    }
}

/// The clock of a guest.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The values returned since the trace was last taken.
    pub(super) trace: ClockTrace,
    /// The values to return instead of the time.
    replayed: Replayed,
}

/// A trace that is being repeated, and the position in it.
#[derive(Debug, Default)]
struct Replayed {
    trace: ClockTrace,
    run: usize,
    used: u32,
    /// True if its last value is repeated past its end. Otherwise, the clock then returns the time.
    stands_at_end: bool,
}

impl Replayed {
    fn next(&mut self) -> Option<u64> {
        let Some(&(value, times)) = self.trace.runs.get(self.run) else {
            let last = self.trace.runs.last().filter(|_| self.stands_at_end);
            return last.map(|(value, _)| *value);
        };
        self.used += 1;
        if self.used >= times {
            (self.run, self.used) = (self.run + 1, 0);
        }
        Some(value)
    }
}

impl Clock {
    /// Starts a new trace. The clock first returns the values of `trace`, then the time, or the
    /// last value if `stands_at_end` is true.
    pub(super) fn begin(&mut self, trace: ClockTrace, stands_at_end: bool) {
        self.replayed = Replayed {
            trace,
            stands_at_end,
            ..Replayed::default()
        };
        self.trace = ClockTrace::default();
    }

    pub(super) fn read(&mut self, now_ms: impl FnOnce() -> u64) -> u64 {
        let now_ms = self.replayed.next().unwrap_or_else(now_ms);
        self.trace.push(now_ms);
        now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_past_the_bound_are_ignored_and_reported_once() {
        let limits = Limits {
            counters_max: 2,
            counter_name_bytes_max: 3,
            ..Limits::default()
        };
        let mut reports = Reports::default();
        let lost = CounterClass::Lost;
        let known =
            ["a", "long", "b", "c", "a", ""].map(|name| reports.count(lost, name, 1, &limits));
        assert_eq!(known, [true, false, true, true, true, true]);
        let counted = reports.counted.iter().map(|c| (&*c.name, c.delta));
        assert_eq!(counted.collect::<Vec<_>>(), [("a", 2), ("b", 1)]);
        assert!(Reports::ignored("long", &limits).starts_with("the counter `lon` is ignored"));
    }

    #[test]
    fn a_clock_repeats_its_answers() {
        let mut clock = Clock::default();
        let times = [5, 5, 5, 7, 6, 6];
        for time in times {
            assert_eq!(clock.read(|| time), time);
        }
        let trace = std::mem::take(&mut clock.trace);
        assert_eq!(trace.runs, [(5, 3), (7, 1), (6, 2)]);
        for (stands_at_end, after) in [(true, 6), (false, 99)] {
            clock.begin(trace.clone(), stands_at_end);
            let again = times.map(|_| clock.read(|| 99));
            assert_eq!(again, times);
            assert_eq!(clock.trace, trace, "a third time is the same again");
            assert_eq!(clock.read(|| 99), after);
        }
        clock.begin(ClockTrace::default(), false);
        assert_eq!(clock.read(|| 98), 98);
        assert_eq!(clock.trace.runs, [(98, 1)]);
    }
}
