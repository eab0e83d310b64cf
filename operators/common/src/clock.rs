//! Shared by operators that use time: the host's clock as an event time, and late records.

use crate::civil::LATEST_MS;
use crate::span::Span;
use mosaik_wasm_sdk::host::{self, CounterClass};
use mosaik_wasm_sdk::{Error, Outputs, Result};

/// Converts the host's clock to an event time.
pub fn clock_time(clock_ms: u64) -> i64 {
    i64::try_from(clock_ms).map_or(LATEST_MS - 1, |time_ms| time_ms.min(LATEST_MS - 1))
}

/// Checks event times against the host's clock. A time far ahead would close windows for all records that follow.
#[derive(Debug, Clone, Copy)]
pub struct Ahead {
    max_ms: i64,
    /// The latest time that can be accepted without reading the clock.
    checked_to: i64,
}

impl Ahead {
    /// Creates a check with this maximum time ahead.
    pub fn new(max: Span) -> Self {
        Self {
            max_ms: max.0,
            checked_to: i64::MIN,
        }
    }

    /// Checks the time of a record. Reads the clock only if the last reading does not suffice.
    ///
    /// # Errors
    /// Returns the reason for rejecting the record if its time is too far ahead, and counts it.
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

/// Counts a late record, and sends it to the port for late records.
///
/// # Errors
/// Returns the reason for rejecting it if no stream is bound to that port, or the record cannot be sent.
pub fn late(datum: &[u8], port: usize, reason: &str, out: &mut Outputs) -> Result<()> {
    host::count_as(CounterClass::Incomplete, "late", 1);
    if out.is_bound(port) {
        return out.push(port, datum);
    }
    Err(Error::new(reason))
}
