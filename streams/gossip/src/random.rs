//! [`Random`]: the choice of peers.

use std::cell::Cell;

/// A generator of pseudo-random numbers: SplitMix64, by Steele, Lea and Flood. Not for secrets: the same seed gives the
/// same numbers.
#[derive(Debug)]
pub struct Random(Cell<u64>);

impl Random {
    /// Creates a generator.
    pub const fn seeded(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`, which must not be zero.
    pub fn below(&self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Returns one of the values; `None` if there are none.
    pub(crate) fn pick<T: Copy>(&self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())])
    }
}
