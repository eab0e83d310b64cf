//! Numbers in records, and their form in aggregates: integers exactly, decimals as 64-bit floats if they are added.

use mosaik_datum::number::{Decimal, Digits, Number as Exact, is_float_of, short_integer};
use mosaik_operator_common::fields::short;
use mosaik_wasm_sdk::{Error, Result, ensure};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::io::Write as _;

/// The maximum length in bytes of a number kept as text.
const SPELLED_LEN_MAX: usize = 1024;
/// The number of characters up to which different numbers are different 64-bit floats.
const FLOAT_LEN: usize = 15;

/// A number in a record.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number<'a> {
    /// An integer.
    Whole(i128),
    /// A decimal that is the shortest form of a float.
    Float(f64),
    /// A number with more digits than the other variants can hold.
    Spelled(&'a str),
}

impl<'a> Number<'a> {
    /// Reads a number of a field that is compared.
    pub(crate) fn compared(name: &str, text: &'a str) -> Result<Self> {
        if let Some(integer) = integer(text) {
            return Ok(Self::Whole(integer));
        }
        let number: f64 = parse(name, text)?;
        let is_plain = text.len() <= FLOAT_LEN && !text.contains(['e', 'E']);
        if is_plain || is_float_of(number, text) {
            return Ok(Self::Float(number));
        }
        ensure!(
            text.len() <= SPELLED_LEN_MAX,
            "`{name}` has {} digits, more than {SPELLED_LEN_MAX}",
            text.len()
        );
        ensure!(
            Digits::of(text).is_some(),
            "`{name}` is {}, whose exponent is too long",
            short(text)
        );
        Ok(Self::Spelled(text))
    }

    /// Reads a number of a field that is added.
    pub(crate) fn added(name: &str, text: &'a str) -> Result<Self> {
        if let Some(integer) = integer(text) {
            return Ok(Self::Whole(integer));
        }
        ensure!(
            !is_integer(text),
            "`{name}` is {}, an integer beyond 128 bits, which has no exact sum here",
            short(text)
        );
        let number: f64 = parse(name, text)?;
        ensure!(
            number.is_finite(),
            "`{name}` is {}, beyond the largest 64-bit float",
            short(text)
        );
        Ok(Self::Float(number))
    }

    pub(crate) fn compare(self, other: &Kept) -> Option<Ordering> {
        if let (Self::Float(one), Kept::Float(other)) = (self, other) {
            return one.partial_cmp(&other.0);
        }
        self.exact().compare(other.as_number().exact())
    }

    fn exact(self) -> Exact<'a> {
        match self {
            Self::Whole(value) => value.into(),
            Self::Float(value) => Exact::Float(value),
            Self::Spelled(text) => Exact::Text(text),
        }
    }
}

fn parse(name: &str, text: &str) -> Result<f64> {
    match text.as_bytes().first() {
        // Rust's parser accepts all JSON numbers and rounds correctly.
        Some(b'-' | b'0'..=b'9') => Ok(text.parse()?),
        _ => Err(Error::new(format_args!(
            "`{name}` is {}, not a number",
            short(text)
        ))),
    }
}

fn integer(text: &str) -> Option<i128> {
    if let Some(value) = short_integer(text) {
        return Some(value.into());
    }
    is_integer(text).then(|| Digits::of(text)?.as_integer())?
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number kept by an aggregate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Kept {
    Whole(i128),
    Float(Bits),
    Spelled(Decimal),
}

impl Kept {
    pub(crate) fn of(number: Number<'_>) -> Self {
        match number {
            Number::Whole(value) => Self::Whole(value),
            Number::Float(value) => Self::Float(Bits(value)),
            Number::Spelled(text) => Decimal::parse(text).map_or(Self::Whole(0), Self::Spelled),
        }
    }

    pub(crate) fn as_number(&self) -> Number<'_> {
        match self {
            Self::Whole(value) => Number::Whole(*value),
            Self::Float(value) => Number::Float(value.0),
            Self::Spelled(number) => Number::Spelled(number.as_str()),
        }
    }

    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Whole(value) => write_integer(value, to),
            Self::Float(value) => write_float(value.0, to),
            Self::Spelled(number) => to.extend_from_slice(number.as_str().as_bytes()),
        }
    }
}

/// A float that is saved exactly, including infinities.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Bits(pub(crate) f64);

impl Serialize for Bits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.to_bits())
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|bits| Self(f64::from_bits(bits)))
    }
}

pub(crate) fn write_integer(number: impl fmt::Display, to: &mut Vec<u8>) {
    write!(to, "{number}").expect("writing into memory does not fail");
}

/// Writes the shortest text that parses to the same float: integers without a decimal point, infinities as null.
pub(crate) fn write_float(number: f64, to: &mut Vec<u8>) {
    const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;
    if number == 0.0 {
        to.push(b'0');
    } else if number.fract() == 0.0 && number.abs() < EXACT_BELOW {
        write_integer(number as i64, to);
    } else {
        serde_json::to_writer(to, &number).expect("a number is written into memory");
    }
}
