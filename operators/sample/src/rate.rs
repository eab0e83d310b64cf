//! [`Rate`]: a configured number of records in a time; and [`Bucket`], a token bucket in exact integers that enforces
//! it.

use mosaik_operator_common::span::Span;
use mosaik_wasm_sdk::{Mistakes, OperatorConfig, Shape};
use serde::{Deserialize, Serialize};

/// The maximum number of records of a rate, and the maximum burst.
pub(crate) const COUNT_MAX: u64 = 1_000_000_000;

/// A number of records in a time, `100/s`, `5/m`, `1/10s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) count: u64,
    pub(crate) time_ms: u64,
}

impl Rate {
    fn parse(text: &str) -> Option<Self> {
        let (count, time) = text.split_once('/')?;
        if !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let count = count.parse().ok()?;
        let has_number = time.starts_with(|c: char| c.is_ascii_digit());
        let span = if has_number {
            Span::parse(time)?
        } else {
            Span::parse(&format!("1{time}"))?
        };
        let time_ms = span.as_clock_ms();
        let makes_sense = (1..=COUNT_MAX).contains(&count) && time_ms > 0;
        makes_sense.then_some(Self { count, time_ms })
    }
}

impl OperatorConfig for Rate {
    const SHAPE: &'static Shape = &Shape::Text {
        form: "rate like `100/s`, `5/m`, `1/10s`",
        limits: r#""pattern":"^[0-9]+/[0-9]*(ms|s|m|h|d|w)$""#,
    };

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let text = String::read(text, mistakes)?;
        let rate = Self::parse(&text);
        if rate.is_none() {
            mistakes.add(format_args!(
                "`{text}` is not a rate like 100/s, 5/m or 1/10s, of 1 to {COUNT_MAX} in a time greater than 0"
            ));
        }
        rate
    }
}

/// A token bucket. Each passing record takes one token. Tokens are added at the rate, up to the burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bucket {
    /// The available tokens in fractions: one token has as many as the rate's time has ms.
    parts: u128,
    /// The time up to which tokens were added, by the host's clock.
    until_ms: u64,
}

impl Bucket {
    /// Creates a full bucket.
    pub(crate) fn full(rate: Rate, burst: u64, now_ms: u64) -> Self {
        Self {
            parts: u128::from(burst) * u128::from(rate.time_ms),
            until_ms: now_ms,
        }
    }

    /// Takes a token. Returns false if there is none.
    pub(crate) fn take(&mut self, rate: Rate, burst: u64, now_ms: u64) -> bool {
        self.parts = self.at(rate, burst, now_ms);
        // A clock that goes backwards adds no tokens; time continues from there.
        self.until_ms = now_ms;
        let token = u128::from(rate.time_ms);
        match self.parts.checked_sub(token) {
            Some(rest) => {
                self.parts = rest;
                true
            }
            None => false,
        }
    }

    /// Returns true if the bucket is full, like a new one.
    pub(crate) fn is_full(&self, rate: Rate, burst: u64, now_ms: u64) -> bool {
        self.at(rate, burst, now_ms) == Self::full(rate, burst, now_ms).parts
    }

    fn at(&self, rate: Rate, burst: u64, now_ms: u64) -> u128 {
        let passed_ms = now_ms.saturating_sub(self.until_ms);
        let came = u128::from(passed_ms) * u128::from(rate.count);
        let most = Self::full(rate, burst, now_ms).parts;
        self.parts.saturating_add(came).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(text: &str) -> Rate {
        Rate::parse(text).unwrap()
    }

    #[test]
    fn what_is_a_rate() {
        for (text, count, time_ms) in [
            ("100/s", 100, 1000),
            ("5/m", 5, 60_000),
            ("1/10s", 1, 10_000),
            ("3/250ms", 3, 250),
            ("1000000000/w", COUNT_MAX, 7 * 86_400_000),
        ] {
            assert_eq!(rate(text), Rate { count, time_ms }, "{text}");
        }
        for text in [
            "",
            "/",
            "5",
            "5/",
            "/s",
            "0/s",
            "5/0s",
            "-1/s",
            "+1/s",
            "1.5/s",
            "5/year",
            "1000000001/s",
            "5/s/s",
        ] {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn tokens_come_evenly_and_up_to_the_burst() {
        let (rate, burst) = (rate("3/s"), 2);
        let mut bucket = Bucket::full(rate, burst, 0);
        let mut taken = Vec::new();
        for now_ms in 0..1_001 {
            while bucket.take(rate, burst, now_ms) {
                taken.push(now_ms);
            }
        }
        assert_eq!(taken, [0, 0, 334, 667, 1_000]);
        assert!(!bucket.is_full(rate, burst, 1_666));
        assert!(bucket.is_full(rate, burst, 1_667));
        assert!(bucket.is_full(rate, burst, u64::MAX));
    }

    #[test]
    fn a_clock_that_goes_back_brings_nothing_and_goes_on() {
        let (rate, burst) = (rate("1/s"), 1);
        let mut bucket = Bucket::full(rate, burst, 10_000);
        assert!(bucket.take(rate, burst, 10_000));
        assert!(!bucket.take(rate, burst, 5_000));
        assert!(!bucket.take(rate, burst, 5_999));
        assert!(bucket.take(rate, burst, 6_000));
    }

    proptest! {
        #[test]
        fn in_no_time_more_than_the_rate_and_the_burst_pass(
            count in 1u64..20, time_ms in 1u64..2_000, burst in 1u64..20, waits in prop::collection::vec(0u64..300, 1..150),
        ) {
            let rate = Rate { count, time_ms };
            let mut bucket = Bucket::full(rate, burst, 0);
            let (mut now_ms, mut passed, mut refused) = (0, Vec::new(), Vec::new());
            for wait in waits {
                now_ms += wait;
                if bucket.take(rate, burst, now_ms) { passed.push(now_ms) } else { refused.push((now_ms, passed.len())) }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let most = burst + (to - from) * count / time_ms;
                    prop_assert!((last - first + 1) as u64 <= most);
                }
            }
            // Conversely, no record is refused while there is a token: the tokens of some preceding time are used up.
            for (at, before) in refused {
                let used_up = (0..before).any(|first| (before - first + 1) as u64 > burst + (at - passed[first]) * count / time_ms);
                prop_assert!(used_up, "refused at {}", at);
            }
        }

        #[test]
        fn no_numbers_overflow(count in 1..=COUNT_MAX, time_ms in 1..=i64::MAX as u64, burst in 1..=COUNT_MAX, times in prop::collection::vec(any::<u64>(), 1..10)) {
            let rate = Rate { count, time_ms };
            let mut bucket = Bucket::full(rate, burst, 0);
            for now_ms in times {
                bucket.take(rate, burst, now_ms);
                bucket.is_full(rate, burst, now_ms);
            }
        }
    }
}
