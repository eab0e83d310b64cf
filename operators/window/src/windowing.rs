//! [`Windowing`]: the kind of windows, and the windows that contain a time.

use crate::every::Every;
use mosaik_wasm_sdk::{Result, bail, ensure};

/// The maximum number of windows that contain one time.
const OVERLAP_MAX: i64 = 400;

/// The kind of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Windowing {
    /// Windows that start by `every` and have the length `length`.
    Every {
        /// The distance between their starts.
        every: Every,
        /// Their length, at least the distance to the next start.
        length: Every,
    },
    /// A window that ends when no record has arrived for this many ms.
    Session(i64),
}

impl Windowing {
    /// Creates windows of this length that start by `every`.
    pub(crate) fn every(every: Every, length: Every) -> Result<Self> {
        let (apart, long) = match (every, length) {
            (Every::Fixed { len_ms, .. }, Every::Fixed { len_ms: length, .. }) => (len_ms, length),
            (Every::Months(months), Every::Months(length)) => (months, length),
            _ => bail!(
                "windows of months, quarters or years must start by months, quarters or years"
            ),
        };
        ensure!(
            long >= apart,
            "shorter than `every`, so that records between the windows would be in none"
        );
        let overlap = (long + apart - 1) / apart;
        ensure!(
            overlap <= OVERLAP_MAX,
            "each record would be in {overlap} windows, more than {OVERLAP_MAX}"
        );
        Ok(Self::Every { every, length })
    }

    /// Writes the windows that contain a time to `windows`, by start, each with its end. For sessions, this is the
    /// window that contains only this record.
    pub(crate) fn holding(self, time_ms: i64, windows: &mut Vec<(i64, i64)>) {
        windows.clear();
        match self {
            Self::Session(gap_ms) => windows.push((time_ms, time_ms + gap_ms)),
            Self::Every { every, length } => {
                let mut start = every.window(time_ms).0;
                loop {
                    let end = length.after(start);
                    if end <= time_ms {
                        break;
                    }
                    windows.push((start, end));
                    start = every.window(start - 1).0;
                }
                windows.reverse();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaik_operator_common::civil::{EARLIEST_MS, LATEST_MS};
    use mosaik_wasm_sdk::parse_config;
    use proptest::prelude::*;

    fn every(text: &str) -> Every {
        parse_config(&format!("\"{text}\"")).unwrap()
    }

    proptest! {
        #[test]
        fn exactly_the_windows_that_hold_a_time(time in EARLIEST_MS..LATEST_MS, which in 0usize..7) {
            let (apart, long) = [
                ("hour", "hour"), ("1m", "1h"), ("7m", "20m"), ("month", "year"), ("quarter", "year"), ("day", "week"), ("week", "30d"),
            ][which];
            let (apart, long) = (every(apart), every(long));
            let windowing = Windowing::every(apart, long).unwrap();
            let mut windows = Vec::new();
            windowing.holding(time, &mut windows);
            // All windows around the time, checked one by one.
            let mut start = apart.window(time - 800 * 86_400_000).0;
            let mut expected = Vec::new();
            while start <= time {
                let end = long.after(start);
                if time < end {
                    expected.push((start, end));
                }
                start = apart.window(start).1;
            }
            prop_assert_eq!(windows, expected);
        }
    }
}
