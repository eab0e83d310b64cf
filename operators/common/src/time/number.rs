//! Numeric times since 1970.

use super::{NoTime, Unit, in_range};
use mosaik_datum::number::{Digits, short_integer};

/// The ranges of numbers that are likely times without a unit, by the unit that their size implies: from 1973 (or July
/// 1979) to
/// 2191. Dates written as numbers lie between these ranges: 2010, 45413, 20240501, 202405011200, 20240501120000.
const LIKELY: [(i128, i128, Unit); 4] = [
    (100_000_000, 7_000_000_000, Unit::Seconds),
    (300_000_000_000, 7_000_000_000_000, Unit::Millis),
    (300_000_000_000_000, 7_000_000_000_000_000, Unit::Micros),
    (
        300_000_000_000_000_000,
        7_000_000_000_000_000_000,
        Unit::Nanos,
    ),
];

/// Converts a number since 1970 and rounds it down to ms. Without a unit, the unit is derived from its size. 0 is 1970
/// in any unit.
///
/// # Errors
/// Returns the reason for which it is not a time.
pub fn from_number(text: &str, unit: Option<Unit>) -> Result<i64, NoTime> {
    if let (Some(value), Some(unit)) = (short_integer(text), unit) {
        return whole(value, unit);
    }
    let digits = Digits::of(text).ok_or(NoTime::Format)?;
    let unit = match unit {
        Some(unit) => unit,
        None => likely(digits.floor(0).ok_or(NoTime::Implausible)?)?,
    };
    if let Some(value) = short_integer(text) {
        return whole(value, unit);
    }
    let places = match unit {
        Unit::Seconds => 3,
        Unit::Millis => 0,
        Unit::Micros => -3,
        Unit::Nanos => -6,
    };
    let time_ms = digits.floor(places).ok_or(NoTime::Range)?;
    in_range(i64::try_from(time_ms).map_err(|_| NoTime::Range)?)
}

fn likely(whole: i128) -> Result<Unit, NoTime> {
    if whole == 0 {
        return Ok(Unit::Seconds);
    }
    let found = LIKELY
        .iter()
        .find(|(from, to, _)| (*from..*to).contains(&whole));
    found.map(|(.., unit)| *unit).ok_or(NoTime::Implausible)
}

fn whole(value: i64, unit: Unit) -> Result<i64, NoTime> {
    in_range(match unit {
        Unit::Seconds => value.checked_mul(1000).ok_or(NoTime::Range)?,
        Unit::Millis => value,
        Unit::Micros => value.div_euclid(1000),
        Unit::Nanos => value.div_euclid(1_000_000),
    })
}
