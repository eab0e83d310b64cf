//! Comparison and canonical form of JSON numbers by their exact value, for any length.
//!
//! Criteria, keys and the built-in operators all compare numbers with this module. A 64-bit float stands for its
//! shortest decimal form: `0.1` for the float nearest to a tenth. Short integers are compared as integers. Other
//! numbers are compared as floats first, and by their digits if the floats are equal.

mod decimal;
mod digits;
#[cfg(test)]
mod tests;

use std::{
    cmp::Ordering,
    io::{self, Write},
};

pub use decimal::Decimal;
pub use digits::Digits;

/// The number of decimal digits that always fit into an `i64`.
const SHORT_DIGITS: usize = 18;
/// The number of digits up to which different decimals are different `f64`.
const FLOAT_DIGITS: usize = 15;

/// A number as read from an encoding.
#[derive(Debug, Clone, Copy)]
pub enum Number<'a> {
    /// An integer.
    Int(i64),
    /// An integer of up to 128 bits.
    Wide {
        /// True if it is negative.
        negative: bool,
        /// The absolute value.
        size: u128,
    },
    /// A 64-bit float.
    Float(f64),
    /// A 32-bit float.
    Single(f32),
    /// The text of a JSON number.
    Text(&'a str),
}

impl From<i128> for Number<'_> {
    fn from(value: i128) -> Self {
        i64::try_from(value).map_or(
            Self::Wide {
                negative: value < 0,
                size: value.unsigned_abs(),
            },
            Self::Int,
        )
    }
}

impl From<u128> for Number<'_> {
    fn from(size: u128) -> Self {
        i64::try_from(size).map_or(
            Self::Wide {
                negative: false,
                size,
            },
            Self::Int,
        )
    }
}

impl<'a> Number<'a> {
    /// Creates a number from JSON text, which is not validated.
    pub fn of(text: &'a str) -> Self {
        short_integer(text).map_or(Self::Text(text), Self::Int)
    }

    /// Compares two numbers by their exact values. Returns `None` if one is not a number, or has an exponent of more
    /// than 18 digits.
    pub fn compare(self, other: Self) -> Option<Ordering> {
        if let (Self::Int(one), Self::Int(other)) = (self, other) {
            return Some(one.cmp(&other));
        }
        if matches!((self, other), (Self::Single(_), _) | (_, Self::Single(_))) {
            return self.compare_single(other);
        }
        let (one, two) = (self.nearest()?, other.nearest()?);
        // Rounding to float preserves the order, so only equal floats need a further comparison.
        match one.partial_cmp(&two)? {
            Ordering::Equal => self.compare_digits(other),
            order => Some(order),
        }
    }

    /// The shortest decimal of a 32-bit float differs from that of the equal 64-bit float.
    #[cold]
    fn compare_single(self, other: Self) -> Option<Ordering> {
        let (one, two) = (self.nearest()? as f32, other.nearest()? as f32);
        match one.partial_cmp(&two)? {
            Ordering::Equal => self.compare_digits(other),
            order => Some(order),
        }
    }

    fn nearest(self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(value as f64),
            Self::Wide { negative, size } => Some(if negative {
                -(size as f64)
            } else {
                size as f64
            }),
            Self::Float(value) => Some(value),
            Self::Single(value) => Some(f64::from(value)),
            Self::Text(text) => text.parse().ok(),
        }
    }

    #[inline]
    fn compare_digits(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Float(_), Self::Float(_)) | (Self::Single(_), Self::Single(_)) => {
                return Some(Ordering::Equal);
            }
            (Self::Text(text), Self::Float(_) | Self::Int(_))
            | (Self::Float(_) | Self::Int(_), Self::Text(text))
                if is_plain_and_short(text) =>
            {
                return Some(Ordering::Equal);
            }
            _ => {}
        }
        self.compare_spelled(other)
    }

    #[cold]
    fn compare_spelled(self, other: Self) -> Option<Ordering> {
        // Infinities have no digits, and the text of a number is never infinite.
        match (self.infinite(), other.infinite()) {
            (None, None) => {}
            (one, other) => return Some(one.unwrap_or(0).cmp(&other.unwrap_or(0))),
        }
        let (mut one, mut two) = (Buffer::new(), Buffer::new());
        let one = Digits::of(self.spelled(&mut one)?)?;
        let two = Digits::of(other.spelled(&mut two)?)?;
        Some(one.cmp(&two))
    }

    /// Returns 1 for infinity, -1 for negative infinity.
    fn infinite(self) -> Option<i8> {
        let value = match self {
            Self::Float(value) => value,
            Self::Single(value) => f64::from(value),
            _ => return None,
        };
        value
            .is_infinite()
            .then_some(if value > 0.0 { 1 } else { -1 })
    }

    fn spelled<'b>(self, buffer: &'b mut Buffer) -> Option<&'b str>
    where
        'a: 'b,
    {
        let written = match self {
            Self::Text(text) => return Some(text),
            Self::Int(value) => write!(buffer, "{value}"),
            Self::Wide { negative, size } => {
                write!(buffer, "{}{size}", if negative { "-" } else { "" })
            }
            // Of two equally near decimals, the one that JSON is written with.
            Self::Float(value) => serde_json::to_writer(&mut *buffer, &value).map_err(Into::into),
            Self::Single(value) => serde_json::to_writer(&mut *buffer, &value).map_err(Into::into),
        };
        written.ok()?;
        buffer.text()
    }
}

/// Returns true if the float's shortest decimal equals this number.
pub fn is_float_of(value: f64, text: &str) -> bool {
    Number::Float(value).compare(Number::Text(text)) == Some(Ordering::Equal)
}

/// Returns the value of an integer without exponent and with at most 18 digits.
pub fn short_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    if digits.len() > SHORT_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.parse().ok()
}

/// Returns true for a number without exponent and with so few digits that no other such number is the same float.
fn is_plain_and_short(text: &str) -> bool {
    text.len() <= FLOAT_DIGITS && !text.bytes().any(|byte| byte | 0x20 == b'e')
}

/// Appends the canonical form of a number: `1.10`, `1.1` and `11e-1` become `1.1`; `1e2`, `100` and `100.0` become
/// `100`.
///
/// # Errors
/// Fails if it is not a number, or has an exponent of more than 18 digits.
pub fn write_canonical(text: &str, to: &mut Vec<u8>) -> Result<(), NotANumber> {
    if short_integer(text).is_some() && text != "-0" {
        to.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    Digits::of(text).ok_or(NotANumber)?.write(to);
    Ok(())
}

/// The text is not a number, or its exponent has more than 18 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a number, or its exponent has more than 18 digits")]
pub struct NotANumber;

/// A buffer for any number of a fixed width.
struct Buffer {
    bytes: [u8; 40],
    len: usize,
}

impl Buffer {
    fn new() -> Self {
        Self {
            bytes: [0; 40],
            len: 0,
        }
    }

    fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes.get(..self.len)?).ok()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.len + bytes.len();
        let room = self.bytes.get_mut(self.len..end);
        room.ok_or(io::ErrorKind::StorageFull)?
            .copy_from_slice(bytes);
        self.len = end;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
