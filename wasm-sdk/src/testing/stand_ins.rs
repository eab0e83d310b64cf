//! What stands in for the host while tests run: a log, a clock and counters, one set a thread.

use std::collections::BTreeMap;

use crate::host::{CounterClass, Level, imp};

/// What this thread has counted under the name since the last call.
pub fn counted(name: &str) -> u64 {
    counted_as(name).map_or(0, |(_, total)| total)
}

/// What this thread has counted under the name since the last call, and the counter's class.
pub fn counted_as(name: &str) -> Option<(CounterClass, u64)> {
    imp::COUNTED.with_borrow_mut(|counters| counters.remove(name))
}

/// What this thread has logged since the last call; at most the last thousand lines.
pub fn logged() -> Vec<(Level, String)> {
    imp::LOGGED.with_borrow_mut(|lines| lines.drain(..).collect())
}

/// Whether what this thread logs goes to stderr too. Off by default.
pub fn log_to_stderr(on: bool) {
    imp::LOG_TO_STDERR.set(on);
}

/// Sets this thread's clock, in ms since 1970; `None` for the system's.
pub fn set_now(now_ms: Option<u64>) {
    imp::NOW.set(now_ms);
}

/// Where this thread's counters and log stand, to tell later what has come since.
#[derive(Debug, Default)]
pub(super) struct Heard {
    counters: BTreeMap<String, u64>,
    lines: u64,
}

impl Heard {
    /// As it stands now.
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

    /// What was counted since, and logged.
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
