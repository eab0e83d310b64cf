//! What happens when an operator refuses a datum or fails: the policy, the letter to the dead, the next instance.

use std::time::{Duration, Instant};

use mosaik_streams::{
    Frames, FramesBuilder, FramesProducer,
    frames::{DEFAULT_MAX_FRAME_LEN, HEADER_LEN},
};
use serde::Serialize;

use crate::operator::{Component, Instance, OpenError, Setup, State};

/// Times in a row that a snapshot may be refused before it is given up: a time-out on a busy machine is one, too.
const RESTORES_MAX: u32 = 3;
/// Bytes of a reason in a letter; the rest is cut off.
const REASON_BYTES_MAX: usize = 1024;

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

/// What an operator knew at some time.
#[derive(Debug)]
struct Saved {
    state: State,
    at: Instant,
}

/// Brings back an operator that failed: at once at first, then after growing pauses while it keeps failing.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// What the instance knew when it was made, or at the last checkpoint.
    saved: Option<Saved>,
    /// Times in a row that this was refused.
    refusals: u32,
    failures: u32,
    not_before: Option<Instant>,
}

impl Recovery {
    const PAUSE_MIN: Duration = Duration::from_millis(100);
    const PAUSE_MAX: Duration = Duration::from_secs(10);

    /// Of an instance that has this state.
    pub(super) fn knowing(state: Option<State>) -> Self {
        let mut recovery = Self::default();
        recovery.save(state);
        recovery
    }

    /// Keeps what the instance knows now, for the next instance; `None` is nothing at all.
    pub(super) fn save(&mut self, state: Option<State>) {
        self.refusals = 0;
        self.saved = state.map(|state| Saved {
            state,
            at: Instant::now(),
        });
    }

    /// What was kept.
    pub(super) fn saved(&self) -> Option<&State> {
        self.saved.as_ref().map(|saved| &saved.state)
    }

    /// Gives a new instance what was kept. Says what it starts from.
    ///
    /// # Errors
    /// The instance refuses it, or fails. After [`RESTORES_MAX`] times it is given up, and the next one starts empty.
    pub(super) fn restore(&mut self, instance: &mut Instance) -> Result<String, String> {
        let Some(saved) = &self.saved else {
            return Ok("empty state".to_owned());
        };
        match instance.restore(&saved.state) {
            Ok(()) => {
                self.refusals = 0;
                let age = saved.at.elapsed();
                Ok(format!("its last snapshot, {:.1}s old", age.as_secs_f64()))
            }
            Err(error) => {
                self.refusals += 1;
                let given_up = self.refusals >= RESTORES_MAX;
                if given_up {
                    self.save(None);
                }
                let then = if given_up { ", which is given up" } else { "" };
                Err(format!("it does not take its last snapshot{then}: {error}"))
            }
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
    #[serde(skip_serializing_if = "Option::is_none")]
    datum_bytes: Option<usize>,
}

/// The datums as they go to a stream of rejected ones: JSON objects with `operator`, `port`, `reason`, and the original
/// bytes as `datum` if they are text, else as `datum_base64`. One that a stream has no room for in this form leaves its
/// size, as `datum_bytes`; the second number says how many those are.
pub(super) fn letters<'a>(
    operator: &str,
    port: &str,
    refused: impl Iterator<Item = (&'a [u8], &'a str)>,
) -> (Frames, u64) {
    let mut builder = FramesBuilder::new();
    let mut too_large = 0;
    for (bytes, reason) in refused {
        let datum = std::str::from_utf8(bytes).ok();
        let datum_base64 = datum.is_none().then(|| data_encoding::BASE64.encode(bytes));
        let mut letter = Letter {
            operator,
            port,
            reason: &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)],
            datum,
            datum_base64,
            datum_bytes: None,
        };
        let mut json = written(&letter);
        if json.len() > DEFAULT_MAX_FRAME_LEN - HEADER_LEN {
            too_large += 1;
            (letter.datum, letter.datum_base64) = (None, None);
            letter.datum_bytes = Some(bytes.len());
            json = written(&letter);
        }
        builder.push(&json);
    }
    (builder.finish(), too_large)
}

fn written(letter: &Letter<'_>) -> Vec<u8> {
    serde_json::to_vec(letter).expect("strings always serialise to JSON")
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
        let (frames, too_large) = letters("spread", "in", refused.into_iter());
        assert_eq!(too_large, 0);
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

    /// A datum of the largest size a stream takes is larger once it is escaped.
    #[test]
    fn a_letter_that_no_stream_takes_leaves_its_datum_out() {
        let (text, bytes) = (vec![1; 4 << 20], vec![0xff; 13 << 20]);
        let refused: [(&[u8], &str); 3] = [(&text, "no"), (&bytes, "no"), (b"small", "no")];
        let (frames, too_large) = letters("spread", "in", refused.into_iter());
        assert_eq!(too_large, 2);
        let sizes: Vec<serde_json::Value> = frames
            .iter()
            .map(|d| serde_json::from_slice::<serde_json::Value>(d).unwrap())
            .map(|letter| letter["datum_bytes"].clone())
            .collect();
        assert_eq!(
            sizes,
            [(4 << 20).into(), (13 << 20).into(), serde_json::Value::Null]
        );
        let longest = "é".repeat(5000);
        let (frames, _) = letters("spread", "in", [(b"".as_slice(), &*longest)].into_iter());
        assert!(frames.payload_len() < REASON_BYTES_MAX + 100);
    }
}
