//! [`Digits`]: the digits, decimal point and sign of a number.

use std::{cmp::Ordering, io::Write};

/// The maximum number of digits of an exponent.
const EXPONENT_DIGITS: usize = 18;
/// The maximum number of trailing zeros written out; beyond, an exponent is used.
const ZEROS_BEHIND: usize = 40;
/// The maximum number of zeros written out after the decimal point; beyond, an exponent is used.
const ZEROS_BEFORE: usize = 5;

/// A number as `0.DIGITS` times a power of ten, borrowed from its text.
#[derive(Debug, Clone, Copy)]
pub struct Digits<'a> {
    negative: bool,
    /// From the first to the last digit that is not zero. May contain the decimal point.
    significant: &'a [u8],
    /// The position of the decimal point: 0 before the first digit, 1 after it.
    point: i64,
}

impl<'a> Digits<'a> {
    /// Parses a JSON number. Returns `None` if it is not one, or its exponent has more than 18 digits.
    pub fn of(text: &'a str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest.as_bytes()),
            None => (false, text.as_bytes()),
        };
        let end = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (mantissa, exponent) = text.split_at(end.unwrap_or(text.len()));
        let whole = mantissa
            .iter()
            .position(|byte| *byte == b'.')
            .unwrap_or(mantissa.len());
        let is_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        let fraction_is_one = whole == mantissa.len() || is_digits(&mantissa[whole + 1..]);
        if !is_digits(&mantissa[..whole]) || !fraction_is_one {
            return None;
        }
        let is_not_zero = |byte: &u8| matches!(byte, b'1'..=b'9');
        let (Some(first), Some(last)) = (
            mantissa.iter().position(is_not_zero),
            mantissa.iter().rposition(is_not_zero),
        ) else {
            is_exponent(exponent)?;
            return Some(Self {
                negative: false,
                significant: &[],
                point: 0,
            });
        };
        let before = i64::try_from(whole).ok()? - i64::try_from(first).ok()?;
        // After the decimal point, the point itself is not a digit.
        let before = if first > whole { before + 1 } else { before };
        Some(Self {
            negative,
            significant: &mantissa[first..=last],
            point: before + read_exponent(exponent)?,
        })
    }

    fn iter(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.significant
            .iter()
            .copied()
            .filter(|byte| *byte != b'.')
    }

    fn count(&self) -> usize {
        let point = usize::from(self.significant.contains(&b'.'));
        self.significant.len() - point
    }

    /// Returns the number of digits before the decimal point; 0 for numbers below one.
    fn whole(&self) -> usize {
        usize::try_from(self.point).unwrap_or(if self.point < 0 { 0 } else { usize::MAX })
    }

    /// Returns the number as an integer, if it is one and fits.
    pub fn as_integer(&self) -> Option<i128> {
        (self.count() <= self.whole()).then(|| self.floor(0))?
    }

    /// Returns the largest integer that is at most the number times ten to the power of `places`; `None` if it does not
    /// fit.
    pub fn floor(&self, places: i32) -> Option<i128> {
        let point = self.point + i64::from(places);
        let whole = usize::try_from(point.max(0)).ok()?;
        if whole > 39 && !self.significant.is_empty() {
            return None;
        }
        let mut value: i128 = 0;
        let mut digits = self.iter();
        for _ in 0..if self.significant.is_empty() {
            0
        } else {
            whole
        } {
            let digit = i128::from(digits.next().unwrap_or(b'0') - b'0');
            let digit = if self.negative { -digit } else { digit };
            value = value.checked_mul(10)?.checked_add(digit)?;
        }
        if self.negative && digits.next().is_some() {
            value = value.checked_sub(1)?;
        }
        Some(value)
    }

    /// Appends the canonical form.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        let count = self.count();
        if count == 0 {
            to.push(b'0');
            return;
        }
        if self.negative {
            to.push(b'-');
        }
        let whole = self.whole();
        if whole >= count && whole - count <= ZEROS_BEHIND {
            to.extend(self.iter());
            to.extend(std::iter::repeat_n(b'0', whole - count));
        } else if whole > 0 && whole < count {
            to.extend(self.iter().take(whole));
            to.push(b'.');
            to.extend(self.iter().skip(whole));
        } else if let Some(zeros) = self.zeros_before() {
            to.extend_from_slice(b"0.");
            to.extend(std::iter::repeat_n(b'0', zeros));
            to.extend(self.iter());
        } else {
            to.extend(self.iter().take(1));
            if count > 1 {
                to.push(b'.');
                to.extend(self.iter().skip(1));
            }
            write!(to, "e{}", self.point - 1).expect("writing into memory does not fail");
        }
    }

    /// Returns the number of zeros between the decimal point and the first digit, if they are written out.
    fn zeros_before(&self) -> Option<usize> {
        let zeros = usize::try_from(self.point.checked_neg()?).ok()?;
        (zeros <= ZEROS_BEFORE).then_some(zeros)
    }
}

impl Ord for Digits<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.significant.is_empty(), number.negative) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => -1,
        };
        sign(self).cmp(&sign(other)).then_with(|| {
            let size = self.point.cmp(&other.point);
            let size = size.then_with(|| self.iter().cmp(other.iter()));
            if self.negative { size.reverse() } else { size }
        })
    }
}

impl PartialOrd for Digits<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Digits<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Digits<'_> {}

/// Returns the sign and digits of `e+12`; `None` if it is not an exponent. An empty exponent is 0.
fn is_exponent(text: &[u8]) -> Option<(bool, &[u8])> {
    let Some((_, text)) = text.split_first() else {
        return Some((false, b"0"));
    };
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let is_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_digits.then_some((negative, digits))
}

fn read_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = is_exponent(text)?;
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    let digits = &digits[zeros..];
    if digits.len() > EXPONENT_DIGITS {
        return None;
    }
    let value = digits
        .iter()
        .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(if negative { -value } else { value })
}
