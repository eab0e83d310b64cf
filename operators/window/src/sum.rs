//! [`Sum`]: sums of integers and decimals, which do not overflow.

use crate::number::{Bits, Number, write_float, write_integer};
use crate::wide::Wide;
use serde::{Deserialize, Serialize};

/// Decimals from this size on are added apart, 2^64 times smaller: 2^960. No number of them that is counted overflows.
const LARGE: f64 = f64::from_bits((1023 + 960) << 52);
/// What large decimals are multiplied by: 2^-64.
const SCALE: f64 = f64::from_bits((1023 - 64) << 52);

/// A sum: of the integers exactly, and of the decimals as floats with what rounding took from them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sum {
    whole: Wide,
    small: Floats,
    large: Floats,
}

/// A sum of floats (Neumaier).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Floats {
    total: Bits,
    lost: Bits,
}

impl Floats {
    fn add(&mut self, value: f64) {
        let (total, rounded) = sum_and_loss(self.total.0, value);
        self.total.0 = total;
        self.lost.0 += rounded;
    }

    fn merge(&mut self, other: Self) {
        self.add(other.total.0);
        self.lost.0 += other.lost.0;
    }

    fn scaled(self) -> Self {
        Self {
            total: Bits(self.total.0 * SCALE),
            lost: Bits(self.lost.0 * SCALE),
        }
    }

    fn value(self) -> f64 {
        self.total.0 + self.lost.0
    }
}

/// What numbers add up to.
enum Total {
    Whole,
    Float(f64),
    /// A float that is 2^64 times as large as this.
    Large(f64),
}

impl Sum {
    pub(crate) fn add(&mut self, number: Number<'_>) {
        match number {
            Number::Whole(value) => self.whole.add(value),
            Number::Float(value) if value.abs() >= LARGE => self.large.add(value * SCALE),
            Number::Float(value) => self.small.add(value),
            // Numbers that are added up are never read as this.
            Number::Spelled(_) => {}
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.whole.add_wide(other.whole);
        self.small.merge(other.small);
        self.large.merge(other.large);
    }

    fn total(&self) -> Total {
        if self.large.value() != 0.0 {
            let mut sum = self.large;
            sum.merge(self.small.scaled());
            sum.add(self.whole.nearest() * SCALE);
            return Total::Large(sum.value());
        }
        if self.small.value() == 0.0 {
            return Total::Whole;
        }
        let mut sum = self.small;
        if !self.whole.is_zero() {
            sum.add(self.whole.nearest());
        }
        Total::Float(sum.value())
    }

    /// Appends the sum; one beyond the largest 64-bit float with all of its digits.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        match self.total() {
            Total::Whole => write_integer(self.whole, to),
            Total::Float(sum) => write_float(sum, to),
            Total::Large(sum) if (sum / SCALE).is_finite() => write_float(sum / SCALE, to),
            Total::Large(sum) => write_large(sum, to),
        }
    }

    /// Appends the average of so many numbers.
    pub(crate) fn write_average(&self, count: u64, to: &mut Vec<u8>) {
        let by = count as f64;
        match (self.total(), self.whole.divided(count)) {
            (Total::Float(sum), _) => write_float(sum / by, to),
            // An average is no larger than its numbers; the sum may have been rounded up.
            (Total::Large(sum), _) => {
                write_float((sum / by / SCALE).clamp(f64::MIN, f64::MAX), to);
            }
            (Total::Whole, Some((whole, 0))) => write_integer(whole, to),
            (Total::Whole, Some((whole, rest))) => {
                write_float(whole as f64 + rest as f64 / by, to);
            }
            (Total::Whole, None) => write_float(self.whole.nearest() / by, to),
        }
    }
}

/// Appends all digits of 2^64 times an integer.
fn write_large(integer: f64, to: &mut Vec<u8>) {
    if integer < 0.0 {
        to.push(b'-');
    }
    let start = to.len();
    let mut carry = 0_u128;
    // With a precision, all digits are written; without one, the shortest that read back.
    for digit in format!("{:.0}", integer.abs()).bytes().rev() {
        carry += u128::from(digit - b'0') << 64;
        to.push(b'0' + (carry % 10) as u8);
        carry /= 10;
    }
    while carry > 0 {
        to.push(b'0' + (carry % 10) as u8);
        carry /= 10;
    }
    to[start..].reverse();
}

/// A sum, and what rounding took from it.
fn sum_and_loss(one: f64, other: f64) -> (f64, f64) {
    let total = one + other;
    let rounded = if one.abs() >= other.abs() {
        (one - total) + other
    } else {
        (other - total) + one
    };
    (total, rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> Sum {
        let mut sum = Sum::default();
        for value in values {
            sum.add(Number::Float(*value));
        }
        sum
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut to = Vec::new();
        write(&mut to);
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn sums_pass_the_largest_float_and_come_back() {
        const MAX: f64 = f64::MAX;
        for (values, expected) in [
            (&[1e308, 1e308, -1e308][..], "1e308"),
            (&[1e308, 1e308, -1e308, -1e308], "0"),
            (&[1e308, 1e308, -1e308, -1e308, 0.1], "0.1"),
            (&[-1e308, -1e308, 1e308, 0.5], "-1e308"),
            (&[MAX, MAX, -MAX], "1.7976931348623157e308"),
            (&[1e308, 0.1, -1e308, 0.2], "0.30000000000000004"),
        ] {
            let text = written(|to| sum(values).write(to)).replace('+', "");
            assert_eq!(text, expected, "{values:?}");
            let (first, rest) = values.split_at(1);
            let mut merged = sum(rest);
            merged.merge(&sum(first));
            assert_eq!(
                written(|to| merged.write(to))
                    .replace('+', "")
                    .parse::<f64>(),
                expected.parse()
            );
        }
    }

    #[test]
    fn a_sum_beyond_the_largest_float_has_all_its_digits() {
        // 2 * (2^1024 - 2^971)
        let twice = written(|to| sum(&[f64::MAX, f64::MAX]).write(to));
        assert_eq!(twice.len(), 309);
        assert!(twice.starts_with("3595386269724631416290548474634"));
        assert!(twice.ends_with("808052368249716736"));
        let average = written(|to| sum(&[f64::MAX; 3]).write_average(3, to));
        assert_eq!(average.parse(), Ok(f64::MAX));
        let negative = written(|to| sum(&[-f64::MAX, -f64::MAX]).write(to));
        assert_eq!(negative, format!("-{twice}"));
    }
}
