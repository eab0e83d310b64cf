//! Times as milliseconds since 1970.

use std::time::{Duration, SystemTime};

/// Returns a time in milliseconds since 1970, 0 for earlier ones.
pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Returns the time of milliseconds since 1970, `None` if it cannot be represented.
pub(crate) fn from_millis(millis: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}
