//! Operators that go by time: the host's clock as one, and what comes too late.

use crate::civil::{DAY_MS, LATEST_MS};
use crate::span::Span;
use mosaik_wasm_sdk::host::{self, CounterClass};
use mosaik_wasm_sdk::{Error, Outputs, Result};

/// The host's clock as a time of a datum.
pub fn clock_time(clock_ms: u64) -> i64 {
    i64::try_from(clock_ms).map_or(LATEST_MS - 1, |time_ms| time_ms.min(LATEST_MS - 1))
}

/// Holds event times to the host's clock: one far ahead of it would close windows for all that follow.
#[derive(Debug, Clone, Copy)]
pub struct Ahead {
    max_ms: i64,
    /// The latest time that needs no look at the clock.
    checked_to: i64,
}

impl Ahead {
    /// How far times may be ahead by default: a day.
    pub const DEFAULT: Span = Span(DAY_MS);

    /// Times may be so far ahead.
    pub fn new(max: Option<Span>) -> Self {
        Self {
            max_ms: max.unwrap_or(Self::DEFAULT).0,
            checked_to: i64::MIN,
        }
    }

    /// Checks the time of a datum. Asks for the clock only if the last answer leaves it open.
    ///
    /// # Errors
    /// The reason, which rejects the datum, when its time is too far ahead. It is counted.
    pub fn check(&mut self, time_ms: i64) -> Result<()> {
        if time_ms <= self.checked_to {
            return Ok(());
        }
        self.checked_to = clock_time(host::now()).saturating_add(self.max_ms);
        if time_ms <= self.checked_to {
            return Ok(());
        }
        host::count_as(CounterClass::Incomplete, "too_far_ahead", 1);
        Err(Error::new(
            "its time is further ahead of the clock than `max_ahead`",
        ))
    }
}

/// Counts a datum that comes too late, and sends it to the port for such.
///
/// # Errors
/// The reason, which rejects it, when no stream is bound to that port; also when the datum cannot be sent.
pub fn late(datum: &[u8], port: usize, reason: &str, out: &mut Outputs) -> Result<()> {
    host::count_as(CounterClass::Incomplete, "late", 1);
    if out.is_bound(port) {
        return out.push(port, datum);
    }
    Err(Error::new(reason))
}
