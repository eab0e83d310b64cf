//! [`Backoff`]: schedules the next instance of a failing operator.

use std::time::{Duration, Instant};

/// Delays restarts: the first is immediate, and the pauses grow while the operator keeps failing.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    const PAUSE_MIN: Duration = Duration::from_millis(100);
    const PAUSE_MAX: Duration = Duration::from_secs(10);

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Records a failure and returns the pause before the next attempt.
    pub(super) fn failed(&mut self) -> Duration {
        let pause = Self::PAUSE_MIN
            .saturating_mul(1 << self.failures.min(16))
            .min(Self::PAUSE_MAX);
        let pause = if self.failures == 0 {
            Duration::ZERO
        } else {
            pause
        };
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + pause);
        pause
    }

    /// Returns the earliest time at which the next instance may be built.
    pub(super) fn not_before(&self) -> Instant {
        self.not_before.unwrap_or_else(Instant::now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_start_again_after_success() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.failed(), Duration::ZERO);
        assert_eq!(backoff.failed(), Duration::from_millis(200));
        assert!((0..100).all(|_| backoff.failed() <= Backoff::PAUSE_MAX));
        assert_eq!(backoff.failed(), Backoff::PAUSE_MAX);
        backoff.succeeded();
        assert_eq!(backoff.failed(), Duration::ZERO);
    }
}
