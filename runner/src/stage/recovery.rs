//! What happens when an operator refuses a datum or fails: the policy, the letter to the dead, the next instance.

use std::time::{Duration, Instant};

use mosaik_streams::{Frames, FramesBuilder, FramesProducer};
use serde::Serialize;

use crate::operator::{Component, Instance, OpenError, Setup, State};

/// What to do with datums that an operator refuses, and with those of a batch during which it failed.
#[derive(Debug, Clone)]
pub enum OnError {
    /// Count them, say so in the log, go on.
    Skip,
    /// Fail the stage.
    Stop,
    /// Go on with a new instance, also after a mere refusal.
    Restart,
    /// Send them to a stream, with operator, port and reason.
    To(FramesProducer),
}

/// All it takes to build an operator's instance anew.
#[derive(Clone)]
pub struct Blueprint {
    /// The compiled component.
    pub component: Component,
    /// What an instance is opened with.
    pub setup: Setup,
}

impl std::fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blueprint")
            .field("name", &self.setup.name)
            .finish_non_exhaustive()
    }
}

impl Blueprint {
    /// Builds an instance. Blocks while the guest opens, within its limits.
    ///
    /// # Errors
    /// The guest refuses its configuration, or fails.
    pub fn instantiate(&self) -> Result<Instance, OpenError> {
        self.component.instantiate(self.setup.clone())
    }

    /// Builds so many instances. Blocks as [`instantiate`](Self::instantiate) for each.
    ///
    /// # Errors
    /// The guest refuses its configuration, or fails.
    pub fn instances(&self, count: usize) -> Result<Vec<Instance>, OpenError> {
        (0..count).map(|_| self.instantiate()).collect()
    }
}

/// Brings back an operator that failed: at once at first, then after growing pauses while it keeps failing.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// What the instance knew when it was made.
    pub(super) last_state: Option<State>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Recovery {
    const PAUSE_MIN: Duration = Duration::from_millis(100);
    const PAUSE_MAX: Duration = Duration::from_secs(10);

    /// Of an instance that has this state.
    pub(super) fn knowing(state: Option<State>) -> Self {
        Self {
            last_state: state,
            ..Self::default()
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Notes a failure and says when to try again.
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

    /// When the next instance may be built.
    pub(super) fn not_before(&self) -> Instant {
        self.not_before.unwrap_or_else(Instant::now)
    }
}

#[derive(Serialize)]
struct Letter<'a> {
    operator: &'a str,
    port: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    datum: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datum_base64: Option<String>,
}

/// The datums as they go to a stream of rejected ones: JSON objects with `operator`, `port`, `reason`, and the original
/// bytes as `datum` if they are text, else as `datum_base64`.
pub(super) fn letters<'a>(
    operator: &str,
    port: &str,
    refused: impl Iterator<Item = (&'a [u8], &'a str)>,
) -> Frames {
    let mut builder = FramesBuilder::new();
    for (bytes, reason) in refused {
        let datum = std::str::from_utf8(bytes).ok();
        let datum_base64 = datum.is_none().then(|| data_encoding::BASE64.encode(bytes));
        let letter = Letter {
            operator,
            port,
            reason,
            datum,
            datum_base64,
        };
        let json = serde_json::to_vec(&letter).expect("strings always serialise to JSON");
        builder.push(&json);
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_start_anew_after_success() {
        let mut recovery = Recovery::default();
        assert_eq!(recovery.failed(), Duration::ZERO);
        assert_eq!(recovery.failed(), Duration::from_millis(200));
        assert!((0..100).all(|_| recovery.failed() <= Recovery::PAUSE_MAX));
        assert_eq!(recovery.failed(), Recovery::PAUSE_MAX);
        recovery.succeeded();
        assert_eq!(recovery.failed(), Duration::ZERO);
    }

    #[test]
    fn a_letter_carries_the_original_bytes_whether_text_or_not() {
        let refused: [(&[u8], &str); 2] = [(b"{\"a\":1}", "no price"), (&[0xff, 0], "not text")];
        let frames = letters("spread", "in", refused.into_iter());
        let letters: Vec<serde_json::Value> = frames
            .iter()
            .map(|d| serde_json::from_slice(d).unwrap())
            .collect();
        assert_eq!(
            letters[0],
            serde_json::json!({"operator": "spread", "port": "in", "reason": "no price", "datum": "{\"a\":1}"})
        );
        assert_eq!(letters[1]["datum_base64"], "/wA=");
    }
}
