//! Stand-ins for the host in tests: a log, a clock and counters, one set per thread.

use std::collections::BTreeMap;

use crate::host::{CounterClass, Level, imp};

/// Returns this thread's total of a counter since the last call.
pub fn counted(name: &str) -> u64 {
    counted_as(name).map_or(0, |(_, total)| total)
}

/// Returns this thread's total of a counter since the last call, and its class.
pub fn counted_as(name: &str) -> Option<(CounterClass, u64)> {
    imp::COUNTED.with_borrow_mut(|counters| counters.remove(name))
}

/// Returns the lines that this thread has logged since the last call, at most the last 1000.
pub fn logged() -> Vec<(Level, String)> {
    imp::LOGGED.with_borrow_mut(|lines| lines.drain(..).collect())
}

/// Copies this thread's log to stderr. Off by default.
pub fn log_to_stderr(on: bool) {
    imp::LOG_TO_STDERR.set(on);
}

/// Sets this thread's clock, in ms since 1970; `None` for the system clock.
pub fn set_now(now_ms: Option<u64>) {
    imp::NOW.set(now_ms);
}

/// A snapshot of this thread's counters and log, to compute later changes.
#[derive(Debug, Default)]
pub(super) struct Heard {
    counters: BTreeMap<String, u64>,
    lines: u64,
}

impl Heard {
    /// Returns the current snapshot.
    pub(super) fn now() -> Self {
        Self {
            counters: imp::COUNTED.with_borrow(|counters| {
                let totals = counters
                    .iter()
                    .map(|(name, (_, total))| (name.clone(), *total));
                totals.collect()
            }),
            lines: imp::LINES.get(),
        }
    }

    /// Returns the changes since the snapshot.
    pub(super) fn since(&self) -> (BTreeMap<String, u64>, Vec<(Level, String)>) {
        let counters = imp::COUNTED.with_borrow(|counters| {
            let since = counters.iter().map(|(name, (_, total))| {
                let before = self.counters.get(name).copied().unwrap_or_default();
                (name.clone(), total.saturating_sub(before))
            });
            since.filter(|(_, delta)| *delta > 0).collect()
        });
        let lines = usize::try_from(imp::LINES.get() - self.lines).unwrap_or(usize::MAX);
        let log = imp::LOGGED.with_borrow(|logged| {
            let before = logged.len().saturating_sub(lines);
            logged.iter().skip(before).cloned().collect()
        });
        (counters, log)
    }
}
