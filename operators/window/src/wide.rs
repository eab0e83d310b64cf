//! [`Wide`]: sums of integers that cannot overflow.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A 192-bit integer: the sum of up to 2^64 integers of 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Wide {
    high: i64,
    low: u128,
}

impl Wide {
    pub(crate) fn add(&mut self, value: i128) {
        self.add_wide(Self {
            high: if value < 0 { -1 } else { 0 },
            low: value.cast_unsigned(),
        });
    }

    pub(crate) fn add_wide(&mut self, other: Self) {
        let (low, carry) = self.low.overflowing_add(other.low);
        self.low = low;
        self.high = self
            .high
            .wrapping_add(other.high)
            .wrapping_add(i64::from(carry));
    }

    pub(crate) fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// Returns the nearest 64-bit float, or one of its neighbours.
    pub(crate) fn nearest(self) -> f64 {
        let (negative, parts) = self.parts();
        let size = parts.iter().fold(0.0, |size, part| {
            size * 18_446_744_073_709_551_616.0 + *part as f64
        });
        if negative { -size } else { size }
    }

    /// Divides by `by` and returns quotient and remainder; `None` if the quotient does not fit.
    pub(crate) fn divided(self, by: u64) -> Option<(i128, i128)> {
        let (negative, parts) = self.parts();
        let (parts, rest) = divide(parts, by);
        let [0, high, low] = parts else { return None };
        let size = u128::from(high) << 64 | u128::from(low);
        Some(if negative {
            (0_i128.checked_sub_unsigned(size)?, -i128::from(rest))
        } else {
            (i128::try_from(size).ok()?, i128::from(rest))
        })
    }

    /// Returns the sign and the absolute value, in parts of 64 bits.
    fn parts(self) -> (bool, [u64; 3]) {
        let negative = self.high < 0;
        let (mut high, mut low) = (self.high.cast_unsigned(), self.low);
        if negative {
            (high, low) = (!high, !low);
            let (sum, carry) = low.overflowing_add(1);
            (high, low) = (high.wrapping_add(u64::from(carry)), sum);
        }
        (negative, [high, (low >> 64) as u64, low as u64])
    }
}

/// Divides and returns the remainder as well.
fn divide(parts: [u64; 3], by: u64) -> ([u64; 3], u64) {
    let mut rest = 0;
    let divided = parts.map(|part| {
        let part = u128::from(rest) << 64 | u128::from(part);
        rest = (part % u128::from(by)) as u64;
        (part / u128::from(by)) as u64
    });
    (divided, rest)
}

impl fmt::Display for Wide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHUNK: u64 = 1_000_000_000_000_000_000;
        let (negative, mut parts) = self.parts();
        let mut chunks = Vec::new();
        while chunks.is_empty() || parts != [0; 3] {
            let (divided, rest) = divide(parts, CHUNK);
            parts = divided;
            chunks.push(rest);
        }
        if negative {
            f.write_str("-")?;
        }
        for (index, chunk) in chunks.iter().rev().enumerate() {
            if index == 0 {
                write!(f, "{chunk}")?;
            } else {
                write!(f, "{chunk:018}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(values: &[i128]) -> Wide {
        let mut sum = Wide::default();
        for value in values {
            sum.add(*value);
        }
        sum
    }

    #[test]
    fn sums_go_beyond_128_bits() {
        for (values, written) in [
            (vec![], "0"),
            (
                vec![i128::MAX; 3],
                "510423550381407695195061911147652317181",
            ),
            (
                vec![i128::MIN; 3],
                "-510423550381407695195061911147652317184",
            ),
            (vec![i128::MAX, 1, i128::MIN], "0"),
            (vec![-1], "-1"),
        ] {
            assert_eq!(sum(&values).to_string(), written);
        }
        assert_eq!(sum(&[i128::MAX; 8]).divided(4), None);
        assert_eq!(sum(&[i128::MAX; 4]).divided(4), Some((i128::MAX, 0)));
        assert_eq!(sum(&[i128::MIN; 2]).divided(2), Some((i128::MIN, 0)));
    }

    proptest! {
        #[test]
        fn it_is_what_128_bits_make_of_it(values in prop::collection::vec(any::<i64>(), 0..20), by in 1u64..) {
            let values: Vec<i128> = values.into_iter().map(i128::from).collect();
            let (wide, exact) = (sum(&values), values.iter().sum::<i128>());
            prop_assert_eq!(wide.to_string(), exact.to_string());
            prop_assert_eq!(wide.divided(by), Some((exact / i128::from(by), exact % i128::from(by))));
            prop_assert_eq!(wide.is_zero(), exact == 0);
            prop_assert!((wide.nearest() - exact as f64).abs() <= exact.abs() as f64 * 1e-15);
        }
    }
}
