//! Operators that go by time: the host's clock as one, and what comes too late.

use crate::civil::LATEST_MS;
use mosaik_wasm_sdk::host::{self, CounterClass};
use mosaik_wasm_sdk::{Error, Outputs, Result};

/// The host's clock as a time of a datum.
pub fn clock_time(clock_ms: u64) -> i64 {
    i64::try_from(clock_ms).map_or(LATEST_MS - 1, |time_ms| time_ms.min(LATEST_MS - 1))
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
