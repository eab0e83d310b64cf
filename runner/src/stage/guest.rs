//! Forwards the log lines of an operator to the node's log, at a bounded rate.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::operator::{Events, Level};

/// Maximum number of log lines of one operator per second: 1,000. Further lines are counted, and
/// their number is logged.
const LINES_MAX: u32 = 1000;
/// Maximum size of those lines, in bytes: 1 MiB per second.
const LOG_BYTES_MAX: usize = 1024 * 1024;
/// The period to which these bounds apply.
const SECOND: Duration = Duration::from_secs(1);

/// Receives the events of one operator's instances.
#[derive(Debug)]
pub struct Guest {
    operator: String,
    pace: Mutex<Pace>,
}

/// The number and size of the lines logged in the current period.
#[derive(Debug)]
struct Pace {
    since: Instant,
    lines: u32,
    bytes: usize,
    dropped: u64,
}

impl Pace {
    /// Returns true if a line of `bytes` bytes may be logged now, and the number of lines dropped
    /// in the previous period.
    fn admit(&mut self, now: Instant, bytes: usize) -> (bool, u64) {
        let mut missed = 0;
        if now.saturating_duration_since(self.since) >= SECOND {
            missed = self.dropped;
            *self = Self::at(now);
        }
        if self.lines >= LINES_MAX || self.bytes.saturating_add(bytes) > LOG_BYTES_MAX {
            self.dropped += 1;
            return (false, missed);
        }
        self.lines += 1;
        self.bytes += bytes;
        (true, missed)
    }

    const fn at(since: Instant) -> Self {
        Self {
            since,
            lines: 0,
            bytes: 0,
            dropped: 0,
        }
    }
}

impl Guest {
    /// Creates the receiver for the operator of this name.
    pub fn new(operator: impl Into<String>) -> Self {
        Self {
            operator: operator.into(),
            pace: Mutex::new(Pace::at(Instant::now())),
        }
    }

    fn tell_missed(&self, missed: u64) {
        if missed > 0 {
            tracing::warn!(
                operator = self.operator,
                "dropped {missed} log lines of the operator: it may log {LINES_MAX} lines and {LOG_BYTES_MAX} bytes per second"
            );
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let pace = self.pace.get_mut().unwrap_or_else(PoisonError::into_inner);
        let missed = std::mem::take(&mut pace.dropped);
        self.tell_missed(missed);
    }
}

impl Events for Guest {
    fn log(&self, level: Level, message: &str) {
        let (admitted, missed) = self
            .pace
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(Instant::now(), message.len());
        self.tell_missed(missed);
        if !admitted {
            return;
        }
        let operator = self.operator.as_str();
        match level {
            Level::Trace => tracing::trace!(operator, "{message}"),
            Level::Debug => tracing::debug!(operator, "{message}"),
            Level::Info => tracing::info!(operator, "{message}"),
            Level::Warn => tracing::warn!(operator, "{message}"),
            Level::Error => tracing::error!(operator, "{message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_are_limited_per_second_and_counted() {
        let start = Instant::now();
        let mut pace = Pace::at(start);
        let admitted = (0..5000).filter(|_| pace.admit(start, 10).0).count();
        assert_eq!(admitted, 1000);
        assert_eq!(pace.admit(start + SECOND, 10), (true, 4000));
        assert_eq!(pace.admit(start + SECOND, LOG_BYTES_MAX), (false, 0));
        assert_eq!(pace.admit(start + SECOND, LOG_BYTES_MAX - 10), (true, 0));
        assert_eq!(pace.admit(start + 2 * SECOND, 10), (true, 1));
    }
}
