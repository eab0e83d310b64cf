//! Exponential backoff with jitter and bounds. No I/O and no clock.

use std::time::Duration;

/// The delays between a consumer's attempts to connect to a producer.
#[derive(Debug, Clone, PartialEq)]
pub struct ExponentialBackoff {
    initial_interval: Duration,
    multiplier: f64,
    randomization_factor: f64,
    max_interval: Duration,
    max_elapsed_time: Option<Duration>,
}

/// Builds an [`ExponentialBackoff`].
#[derive(Debug, Clone, Default)]
pub struct ExponentialBackoffBuilder(ExponentialBackoff);

impl Default for ExponentialBackoff {
    fn default() -> Self {
        Self {
            initial_interval: Duration::from_millis(500),
            multiplier: 1.5,
            randomization_factor: 0.5,
            max_interval: Duration::from_mins(1),
            max_elapsed_time: Some(Duration::from_mins(5)),
        }
    }
}

impl ExponentialBackoffBuilder {
    /// Creates a builder with the default values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the first delay. Default 500 ms.
    pub const fn with_initial_interval(mut self, interval: Duration) -> Self {
        self.0.initial_interval = interval;
        self
    }

    /// Sets the factor by which each delay grows; less than 1 counts as 1. Default 1.5.
    pub const fn with_multiplier(mut self, multiplier: f64) -> Self {
        self.0.multiplier = multiplier;
        self
    }

    /// Sets the fraction by which delays are randomized in either direction, 0 to 1. Default 0.5.
    pub const fn with_randomization_factor(mut self, factor: f64) -> Self {
        self.0.randomization_factor = factor;
        self
    }

    /// Sets the maximum delay, before randomization. Default 60 s.
    pub const fn with_max_interval(mut self, interval: Duration) -> Self {
        self.0.max_interval = interval;
        self
    }

    /// Sets the total delay after which attempts end; `None` for no limit. Default 5 minutes.
    pub const fn with_max_elapsed_time(mut self, elapsed: Option<Duration>) -> Self {
        self.0.max_elapsed_time = elapsed;
        self
    }

    /// Returns the policy.
    pub fn build(self) -> ExponentialBackoff {
        self.0
    }
}

impl ExponentialBackoff {
    /// Returns the sequence of delays.
    pub(crate) fn waits(&self) -> Waits {
        Waits {
            policy: self.clone(),
            next: self.initial_interval,
            waited: Duration::ZERO,
        }
    }
}

/// The delays after consecutive failures.
#[derive(Debug)]
pub(crate) struct Waits {
    policy: ExponentialBackoff,
    next: Duration,
    waited: Duration,
}

impl Waits {
    /// Starts over, after a successful attempt.
    pub(crate) fn reset(&mut self) {
        self.next = self.policy.initial_interval;
        self.waited = Duration::ZERO;
    }

    /// Switches to another policy. Delays so far still count.
    pub(crate) fn adopt(&mut self, policy: &ExponentialBackoff) {
        if self.policy != *policy {
            self.policy = policy.clone();
            self.next = self.next.min(policy.max_interval);
        }
    }

    /// `random` is from 0 to 1.
    fn draw(&mut self, random: f64) -> Option<Duration> {
        if self
            .policy
            .max_elapsed_time
            .is_some_and(|most| self.waited >= most)
        {
            return None;
        }
        let interval = self.next.min(self.policy.max_interval);
        self.next =
            Duration::try_from_secs_f64(interval.as_secs_f64() * self.policy.multiplier.max(1.0))
                .unwrap_or(Duration::MAX);
        let spread = self.policy.randomization_factor.clamp(0.0, 1.0) * (random * 2.0 - 1.0);
        let wait = Duration::try_from_secs_f64(interval.as_secs_f64() * (1.0 + spread))
            .unwrap_or(interval);
        self.waited = self.waited.saturating_add(wait);
        Some(wait)
    }
}

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let random = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
        self.draw(random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_end() {
        let policy = ExponentialBackoffBuilder::new()
            .with_initial_interval(Duration::from_secs(1))
            .with_multiplier(2.0)
            .with_max_interval(Duration::from_secs(4))
            .with_max_elapsed_time(Some(Duration::from_secs(12)))
            .build();
        let mut waits = policy.waits();
        let all: Vec<_> = std::iter::from_fn(|| waits.draw(0.5))
            .map(|wait| wait.as_secs())
            .collect();
        assert_eq!(all, [1, 2, 4, 4, 4]);
        waits.reset();
        assert_eq!(waits.draw(0.5), Some(Duration::from_secs(1)));
    }

    #[test]
    fn waits_are_spread_by_half_either_way() {
        let policy = ExponentialBackoff::default();
        assert_eq!(policy.waits().draw(0.0), Some(Duration::from_millis(250)));
        assert_eq!(policy.waits().draw(1.0), Some(Duration::from_millis(750)));
        let never_ends = ExponentialBackoffBuilder::new()
            .with_max_elapsed_time(None)
            .build();
        assert!(
            never_ends
                .waits()
                .take(1000)
                .all(|wait| wait <= Duration::from_secs(90))
        );
        assert_eq!(never_ends.waits().take(1000).count(), 1000);
    }
}
