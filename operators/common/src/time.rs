//! Event times: converts texts and numbers found in data to ms since 1970 in UTC; and [`TimeField`], the field that
//! contains them.

use crate::fields::{self, Field};
use mosaik_wasm_sdk::{Error, OperatorConfig};
use serde_json::value::RawValue;
use std::fmt;

use crate::civil::{EARLIEST_MS, LATEST_MS};

mod number;
#[cfg(test)]
mod tests;
mod text;

pub use number::from_number;
pub use text::parse;

/// The reason for which a value is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTime {
    /// The format is not supported.
    Format,
    /// The date or time of day does not exist.
    Date,
    /// The day of the week does not fit the date, which is on this one, counted from Monday as 0.
    Weekday(u8),
    /// The time is before the year 1 or after the year 9998.
    Range,
    /// The number is unlikely to be a time, and no unit is configured.
    Implausible,
}

impl fmt::Display for NoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weekday(weekday) => {
                let weekday = WEEKDAYS.get(usize::from(*weekday)).unwrap_or(&"another");
                return write!(
                    f,
                    "has the wrong day of the week: that date is a {weekday}"
                );
            }
            Self::Format => {
                "is not a time like 2004-01-31, 2004-01-31T12:00:00Z, Jan 31 2004 or 31 Jan 2004"
            }
            Self::Date => "is a day or a time of day that does not exist",
            Self::Range => "is not in the years 1 to 9998",
            Self::Implausible => {
                "is not a likely time since 1970; set a unit, {field: …, unit: s}, to accept it, or write dates as text like 2024-05-01"
            }
        })
    }
}

/// The days of the week.
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// The unit of numeric times since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, OperatorConfig)]
pub enum Unit {
    /// Seconds.
    #[config(name = "s")]
    Seconds,
    /// Milliseconds.
    #[config(name = "ms")]
    Millis,
    /// Microseconds.
    #[config(name = "us")]
    Micros,
    /// Nanoseconds.
    #[config(name = "ns")]
    Nanos,
}

/// The configured field of the event time: `date`, or `{field: at, unit: ms}`.
#[derive(Debug, Clone, PartialEq, Eq, OperatorConfig)]
#[config(shorthand(field))]
pub struct TimeField {
    /// Field with the time.
    pub field: Field,
    /// Unit of numbers.
    #[config(unset = "by the size of the number")]
    pub unit: Option<Unit>,
}

impl TimeField {
    /// Returns the time in a value of the field, in ms since 1970.
    ///
    /// # Errors
    /// Names the field, the value and the reason.
    pub fn read(&self, raw: &RawValue) -> mosaik_wasm_sdk::Result<i64> {
        let time = match fields::text(raw) {
            Some(text) => parse(&text),
            None if raw.get() == "null" => Err(NoTime::Format),
            None => from_number(raw.get(), self.unit),
        };
        time.map_err(|error| {
            Error::new(format_args!(
                "`{}`: {} {error}",
                self.field,
                fields::short(raw.get())
            ))
        })
    }
}

fn in_range(time_ms: i64) -> Result<i64, NoTime> {
    if (EARLIEST_MS..LATEST_MS).contains(&time_ms) {
        Ok(time_ms)
    } else {
        Err(NoTime::Range)
    }
}
