//! Event times: texts and numbers as they occur in data, to ms since 1970 in UTC; and [`TimeField`], where they are found.

use crate::fields::{self, Field};
use mosaik_wasm_sdk::Error;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

use crate::civil::{DAY_MS, EARLIEST_MS, LATEST_MS, days_from_civil, days_in_month};

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTime {
    /// It is written in none of the ways that are known.
    Format,
    /// There is no such day or time of day.
    Date,
    /// It is before the year 1 or after the year 9998.
    Range,
}

impl fmt::Display for NoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => {
                "is not a time like 2004-01-31, 2004-01-31T12:00:00Z, Jan 31 2004 or 31 Jan 2004"
            }
            Self::Date => "is a day or a time of day that does not exist",
            Self::Range => "is not in the years 1 to 9998",
        })
    }
}

/// The unit of times that are numbers since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub enum Unit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Microseconds.
    #[serde(rename = "us")]
    Micros,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanos,
}

/// The field with the event time, as configured: `date`, or `{field: at, unit: ms}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeField {
    /// The field.
    pub field: Field,
    /// The unit of numbers; without one their size tells.
    pub unit: Option<Unit>,
}

impl TimeField {
    /// The time that a value of the field says, in ms since 1970.
    ///
    /// # Errors
    /// Names the field, the value and what is wrong with it.
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

impl<'de> Deserialize<'de> for TimeField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct WithUnit {
            field: Field,
            unit: Option<Unit>,
        }

        struct TimeVisitor;

        impl<'de> Visitor<'de> for TimeVisitor {
            type Value = TimeField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field, or a field and a unit like {field: at, unit: ms}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TimeField, E> {
                Ok(TimeField {
                    field: Field::parse(text)?,
                    unit: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TimeField, A::Error> {
                let WithUnit { field, unit } =
                    WithUnit::deserialize(MapAccessDeserializer::new(map))?;
                Ok(TimeField { field, unit })
            }
        }

        deserializer.deserialize_any(TimeVisitor)
    }
}

/// Numbers from here up are ms (seconds reach it in the year 5138), and so on by thousands.
const SECONDS_BELOW: f64 = 1e11;

/// Reads a number since 1970; without a unit, its size tells which: below 1e11 seconds, 1e14 ms, 1e17 µs, else ns.
///
/// # Errors
/// Says why it is no time.
pub fn from_number(text: &str, unit: Option<Unit>) -> Result<i64, NoTime> {
    let number: f64 = text.parse().map_err(|_| NoTime::Format)?;
    let unit = unit.unwrap_or_else(|| match number.abs() {
        size if size < SECONDS_BELOW => Unit::Seconds,
        size if size < SECONDS_BELOW * 1e3 => Unit::Millis,
        size if size < SECONDS_BELOW * 1e6 => Unit::Micros,
        _ => Unit::Nanos,
    });
    let (times, by) = match unit {
        Unit::Seconds => (1000, 1),
        Unit::Millis => (1, 1),
        Unit::Micros => (1, 1000),
        Unit::Nanos => (1, 1_000_000),
    };
    let time_ms = match text.parse::<i64>() {
        Ok(whole) => whole
            .checked_mul(times)
            .ok_or(NoTime::Range)?
            .div_euclid(by),
        // Not `floor`: 1.001 s is 1000.9999999999999 ms.
        Err(_) => (number * times as f64 / by as f64).round() as i64,
    };
    in_range(time_ms)
}

/// Reads a text: ISO 8601 / RFC 3339, or a day with the month's English name, either with or without a time of day.
/// Without an offset it is UTC.
///
/// # Errors
/// Says why it is no time.
pub fn parse(text: &str) -> Result<i64, NoTime> {
    let text = text.trim();
    let mut reader = Reader {
        rest: text.as_bytes(),
    };
    let (year, month, day) = match text.as_bytes().first() {
        Some(b'0'..=b'9') if text.as_bytes().get(4) == Some(&b'-') => reader.iso_date()?,
        Some(_) => reader.named_date()?,
        None => return Err(NoTime::Format),
    };
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(i64::from(year), month) {
        return Err(NoTime::Date);
    }
    let midnight = days_from_civil(i64::from(year), month, day) * DAY_MS;
    let of_day = if reader.rest.is_empty() {
        0
    } else {
        reader.time_of_day()?
    };
    if !reader.rest.is_empty() {
        return Err(NoTime::Format);
    }
    in_range(midnight + of_day)
}

fn in_range(time_ms: i64) -> Result<i64, NoTime> {
    if (EARLIEST_MS..LATEST_MS).contains(&time_ms) {
        Ok(time_ms)
    } else {
        Err(NoTime::Range)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// `2004-01-31`
    fn iso_date(&mut self) -> Result<(u32, u32, u32), NoTime> {
        let year = self.digits(4, 4)?;
        self.expect(b'-')?;
        let month = self.digits(2, 2)?;
        self.expect(b'-')?;
        Ok((year, month, self.digits(2, 2)?))
    }

    /// `Jan 31 2004`, `January 31, 2004`, `31 Jan 2004`
    fn named_date(&mut self) -> Result<(u32, u32, u32), NoTime> {
        let day_first = self.rest.first().is_some_and(u8::is_ascii_digit);
        let (month, day) = if day_first {
            let day = self.digits(1, 2)?;
            self.gap()?;
            (self.month()?, day)
        } else {
            let month = self.month()?;
            self.gap()?;
            (month, self.digits(1, 2)?)
        };
        self.gap()?;
        Ok((self.digits(4, 4)?, month, day))
    }

    /// `T12:30`, ` 12:30:15.250`, with or without `Z` or `+01:00` behind
    fn time_of_day(&mut self) -> Result<i64, NoTime> {
        if !(self.skip(b'T') || self.skip(b't') || self.skip(b' ')) {
            return Err(NoTime::Format);
        }
        let hour = self.digits(2, 2)?;
        self.expect(b':')?;
        let minute = self.digits(2, 2)?;
        let second = if self.skip(b':') {
            self.digits(2, 2)?
        } else {
            0
        };
        let fraction_ms = if self.skip(b'.') || self.skip(b',') {
            self.fraction()?
        } else {
            0
        };
        // 60 is a leap second; like everyone's clock, this one repeats the second after it.
        if hour > 23 || minute > 59 || second > 60 {
            return Err(NoTime::Date);
        }
        self.skip(b' ');
        let offset_ms = self.offset()?;
        Ok(i64::from(hour * 3600 + minute * 60 + second) * 1000 + fraction_ms - offset_ms)
    }

    fn fraction(&mut self) -> Result<i64, NoTime> {
        let count = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        if digits.is_empty() {
            return Err(NoTime::Format);
        }
        Ok((0..3).fold(0, |ms, place| {
            ms * 10 + i64::from(digits.get(place).map_or(0, |digit| digit - b'0'))
        }))
    }

    fn offset(&mut self) -> Result<i64, NoTime> {
        if self.rest.is_empty() || self.skip(b'Z') || self.skip(b'z') {
            return Ok(0);
        }
        let sign = if self.skip(b'+') {
            1
        } else if self.skip(b'-') {
            -1
        } else {
            return Err(NoTime::Format);
        };
        let hours = self.digits(2, 2)?;
        self.skip(b':');
        let minutes = if self.rest.is_empty() {
            0
        } else {
            self.digits(2, 2)?
        };
        if hours > 23 || minutes > 59 {
            return Err(NoTime::Date);
        }
        Ok(sign * i64::from(hours * 60 + minutes) * 60_000)
    }

    fn month(&mut self) -> Result<u32, NoTime> {
        const MONTHS: [&str; 12] = [
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ];
        let count = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic())
            .count();
        let (name, rest) = self.rest.split_at(count);
        self.rest = rest;
        self.skip(b'.');
        let is_it = |month: &str| {
            let month = month.as_bytes();
            name.eq_ignore_ascii_case(month)
                || (name.len() == 3 && name.eq_ignore_ascii_case(&month[..3]))
        };
        let index = MONTHS
            .iter()
            .position(|month| is_it(month))
            .ok_or(NoTime::Format)?;
        Ok(index as u32 + 1)
    }

    /// Blanks, dashes and a comma between the parts of a named date.
    fn gap(&mut self) -> Result<(), NoTime> {
        let count = self
            .rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b',' | b'-'))
            .count();
        self.rest = &self.rest[count..];
        if count == 0 {
            Err(NoTime::Format)
        } else {
            Ok(())
        }
    }

    fn digits(&mut self, least: usize, most: usize) -> Result<u32, NoTime> {
        let count = self
            .rest
            .iter()
            .take(most)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if count < least {
            return Err(NoTime::Format);
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(digits
            .iter()
            .fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }

    fn expect(&mut self, byte: u8) -> Result<(), NoTime> {
        if self.skip(byte) {
            Ok(())
        } else {
            Err(NoTime::Format)
        }
    }

    fn skip(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const Y2004: i64 = 1_072_915_200_000;

    #[test]
    fn texts() {
        for text in [
            "2004-01-01",
            "2004-01-01T00:00Z",
            "2004-01-01 00:00:00",
            "2004-01-01T01:00:00+01:00",
            "2003-12-31T23:00:00.000-0100",
            "2004-01-01t00:00:00z",
            "Jan 1 2004",
            "Jan 01, 2004",
            "january 1 2004",
            "1 Jan 2004",
            "1-JAN-2004 00:00",
            "Jan. 1 2004 00:00:00 Z",
            " 2004-01-01 ",
        ] {
            assert_eq!(parse(text), Ok(Y2004), "{text}");
        }
        assert_eq!(parse("2004-01-01T00:00:01.2345Z"), Ok(Y2004 + 1234));
        assert_eq!(parse("2004-02-29"), Ok(Y2004 + 59 * DAY_MS));
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "x",
            "2004",
            "2004-1-1",
            "2004-01-01T",
            "2004-01-01T00",
            "Jann 1 2004",
            "Jan1 2004",
            "2004-01-01 00:00 CET",
            "01/02/2004",
            "é",
        ] {
            assert_eq!(parse(text), Err(NoTime::Format), "{text}");
        }
        for text in [
            "2003-02-29",
            "2004-13-01",
            "2004-00-01",
            "Feb 30 2004",
            "2004-01-01T24:00",
            "2004-01-01T00:00+24:00",
        ] {
            assert_eq!(parse(text), Err(NoTime::Date), "{text}");
        }
        assert_eq!(parse("9999-01-01"), Err(NoTime::Range));
        assert_eq!(parse("0000-12-31"), Err(NoTime::Range));
    }

    #[test]
    fn numbers() {
        assert_eq!(from_number("1072915200", None), Ok(Y2004));
        assert_eq!(from_number("1072915200000", None), Ok(Y2004));
        assert_eq!(from_number("1072915200000999", None), Ok(Y2004));
        assert_eq!(from_number("1072915200000999999", None), Ok(Y2004));
        assert_eq!(from_number("1072915200.001", None), Ok(Y2004 + 1));
        assert_eq!(from_number("-1", None), Ok(-1000));
        assert_eq!(from_number("-1", Some(Unit::Micros)), Ok(-1));
        assert_eq!(from_number("86400000", Some(Unit::Millis)), Ok(DAY_MS));
        assert_eq!(from_number("1e400", None), Err(NoTime::Range));
        assert_eq!(
            from_number("99999999999999", Some(Unit::Seconds)),
            Err(NoTime::Range)
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_likely_text_panics(text in "[0-9JanMy]{0,5}[- :T,.]{0,2}[0-9]{0,4}[- :T,.]{0,2}[0-9:+Z-]{0,12}") {
            let _ = parse(&text);
            let _ = from_number(&text, None);
        }
    }
}
