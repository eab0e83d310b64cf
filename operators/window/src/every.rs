//! [`Every`]: a calendar unit or a duration, for the distance and length of windows.

use mosaik_operator_common::civil::{DAY_MS, civil_from_days, days_from_civil};
use mosaik_operator_common::span::{Span, Wait};
use mosaik_wasm_sdk::{Mistakes, OperatorConfig, Shape};

/// A calendar unit or a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Every {
    /// Calendar months. Windows start at multiples of this many months since year 0.
    Months(i64),
    /// Milliseconds. Windows start at multiples of the length since `origin_ms`.
    Fixed {
        /// The length.
        len_ms: i64,
        /// The start of one window.
        origin_ms: i64,
    },
}

impl Every {
    /// Returns the window that contains a time: its start, and the start of the next one.
    pub(crate) fn window(self, time_ms: i64) -> (i64, i64) {
        match self {
            Self::Fixed { len_ms, origin_ms } => {
                let start = time_ms - (time_ms - origin_ms).rem_euclid(len_ms);
                (start, start + len_ms)
            }
            Self::Months(count) => {
                let months = month_of(time_ms).div_euclid(count) * count;
                (month_start(months), month_start(months + count))
            }
        }
    }

    /// Returns the end of a window with this start. For months, it must be the start of one.
    pub(crate) fn after(self, start_ms: i64) -> i64 {
        match self {
            Self::Fixed { len_ms, .. } => start_ms + len_ms,
            Self::Months(count) => month_start(month_of(start_ms) + count),
        }
    }
}

/// Returns the month that contains a time, counted from the start of year 0.
fn month_of(time_ms: i64) -> i64 {
    let (year, month, _) = civil_from_days(time_ms.div_euclid(DAY_MS));
    year * 12 + i64::from(month) - 1
}

fn month_start(months: i64) -> i64 {
    days_from_civil(months.div_euclid(12), months.rem_euclid(12) as u32 + 1, 1) * DAY_MS
}

/// A Monday: the start of a week.
const MONDAY_MS: i64 = 4 * DAY_MS;

impl Every {
    fn parse(text: &str) -> Option<Self> {
        let fixed = |len_ms| Self::Fixed {
            len_ms,
            origin_ms: 0,
        };
        Some(match text {
            "year" => Self::Months(12),
            "quarter" => Self::Months(3),
            "month" => Self::Months(1),
            "week" => Self::Fixed {
                len_ms: 7 * DAY_MS,
                origin_ms: MONDAY_MS,
            },
            "day" => fixed(DAY_MS),
            "hour" => fixed(3_600_000),
            "minute" => fixed(60_000),
            "second" => fixed(1000),
            other => fixed(Span::parse(other).filter(|span| span.0 > 0)?.0),
        })
    }
}

impl OperatorConfig for Every {
    const SHAPE: &'static Shape = &Shape::Either(&[
        &Shape::Words(&[
            "year", "quarter", "month", "week", "day", "hour", "minute", "second",
        ]),
        Wait::SHAPE,
    ]);

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let text = String::read(text, mistakes)?;
        let every = Self::parse(&text);
        if every.is_none() {
            mistakes.add(format_args!(
                "`{text}` is neither year, quarter, month, week, day, hour, minute, second nor a duration like 90s, 15m, 1h, 7d"
            ));
        }
        every
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaik_operator_common::civil::{EARLIEST_MS, LATEST_MS, write_rfc3339};
    use mosaik_operator_common::time;
    use proptest::prelude::*;

    fn every(text: &str) -> Every {
        Every::parse(text).unwrap()
    }

    #[test]
    fn calendar_windows() {
        let time = time::parse("2004-02-29T12:34:56.789Z").unwrap();
        let window = |text| {
            let (start, end) = every(text).window(time);
            [start, end].map(|time| {
                let mut text = Vec::new();
                write_rfc3339(time, &mut text);
                String::from_utf8(text).unwrap().replace("T00:00:00Z", "")
            })
        };
        assert_eq!(window("year"), ["2004-01-01", "2005-01-01"]);
        assert_eq!(window("quarter"), ["2004-01-01", "2004-04-01"]);
        assert_eq!(window("month"), ["2004-02-01", "2004-03-01"]);
        assert_eq!(window("week"), ["2004-02-23", "2004-03-01"]);
        assert_eq!(window("day"), ["2004-02-29", "2004-03-01"]);
        assert_eq!(
            window("hour"),
            ["2004-02-29T12:00:00Z", "2004-02-29T13:00:00Z"]
        );
        assert_eq!(
            window("15m"),
            ["2004-02-29T12:30:00Z", "2004-02-29T12:45:00Z"]
        );
        assert_eq!(
            window("500ms"),
            ["2004-02-29T12:34:56.500Z", "2004-02-29T12:34:57Z"]
        );
    }

    #[test]
    fn what_is_no_length() {
        for text in [
            "fortnight",
            "",
            "0s",
            "-1s",
            "1",
            "1.5h",
            "9999999999d",
            "99999999999999999999s",
        ] {
            assert_eq!(Every::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn windows_hold_their_times_and_meet(time in EARLIEST_MS..LATEST_MS, which in 0usize..9) {
            let every = every(["year", "quarter", "month", "week", "day", "hour", "7d", "13m", "1ms"][which]);
            let (start, end) = every.window(time);
            prop_assert!(start <= time && time < end);
            prop_assert_eq!(every.window(start), (start, end));
            prop_assert_eq!(every.window(end - 1), (start, end));
            prop_assert_eq!(every.window(end).0, end);
        }
    }
}
