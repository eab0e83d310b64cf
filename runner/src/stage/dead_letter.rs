//! Dead-letter records, which are sent to the stream named in `on_error`.

use mosaik_streams::{
    Frames, FramesBuilder, FramesProducer,
    frames::{DEFAULT_MAX_FRAME_LEN, HEADER_LEN},
};
use serde::Serialize;

use super::{Counters, End, Handoff};

/// Maximum size of a reason in a dead-letter record, in bytes: 1024. The rest is cut off.
const REASON_BYTES_MAX: usize = 1024;

#[derive(Clone, Copy, Serialize)]
struct DeadLetter<'a> {
    #[serde(flatten)]
    from: From<'a>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datum: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datum_base64: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datum_bytes: Option<usize>,
}

/// The stage that rejected a record.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum From<'a> {
    Operator { operator: &'a str, port: &'a str },
    Consumer { consumer: &'a str },
}

/// A record that a sink did not write.
pub(super) struct Refusal<'a> {
    pub(super) record: &'a [u8],
    pub(super) reason: &'a str,
    /// A short code of the reason, for programs.
    pub(super) code: &'a str,
    /// Number of attempts to write it.
    pub(super) attempts: u64,
}

/// Dead-letter records, and the number of those whose record is replaced by its size.
#[derive(Default)]
pub(super) struct Letters {
    builder: FramesBuilder,
    too_large: u64,
}

/// Returns rejected records as dead-letter records: JSON objects with `operator`, `port`, `reason`,
/// and the original bytes as `datum` if they are text, else as `datum_base64`. A record that is too
/// large in this form is replaced by its size, `datum_bytes`; the second value counts those.
pub(super) fn dead_letters<'a>(
    operator: &str,
    port: &str,
    refused: impl Iterator<Item = (&'a [u8], &'a str)>,
) -> Letters {
    let mut letters = Letters::default();
    for (record, reason) in refused {
        letters.add(
            record,
            DeadLetter::new(From::Operator { operator, port }, reason),
        );
    }
    letters
}

/// Returns records that a sink did not write as dead-letter records, like [`dead_letters`], with
/// `consumer`, `reason`, `code` and `attempts`.
pub(super) fn of_consumer<'a>(
    consumer: &str,
    refused: impl Iterator<Item = Refusal<'a>>,
) -> Letters {
    let mut letters = Letters::default();
    for refusal in refused {
        let letter = DeadLetter {
            code: Some(refusal.code),
            attempts: Some(refusal.attempts),
            ..DeadLetter::new(From::Consumer { consumer }, refusal.reason)
        };
        letters.add(refusal.record, letter);
    }
    letters
}

/// Sends dead-letter records. They count at the stream that they go to, not as output of the stage;
/// undelivered ones count here.
pub(super) async fn send(
    stream: &FramesProducer,
    letters: Letters,
    handoff: &Handoff,
    counters: &Counters,
) -> Result<(), End> {
    let (mut frames, too_large) = letters.finish();
    counters.skipped(too_large, 0);
    let count = frames.count();
    let sent = handoff
        .send_rest(stream, &mut frames, &Counters::default())
        .await;
    let undelivered = frames.count();
    counters.dead_letters(count - undelivered, undelivered);
    sent
}

impl<'a> DeadLetter<'a> {
    fn new(from: From<'a>, reason: &'a str) -> Self {
        Self {
            from,
            reason: &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)],
            code: None,
            attempts: None,
            datum: None,
            datum_base64: None,
            datum_bytes: None,
        }
    }
}

impl Letters {
    fn add(&mut self, record: &[u8], letter: DeadLetter<'_>) {
        let datum = std::str::from_utf8(record).ok();
        let encoded = datum
            .is_none()
            .then(|| data_encoding::BASE64.encode(record));
        let mut json = written(&DeadLetter {
            datum,
            datum_base64: encoded.as_deref(),
            ..letter
        });
        if json.len() > DEFAULT_MAX_FRAME_LEN - HEADER_LEN {
            self.too_large += 1;
            json = written(&DeadLetter {
                datum_bytes: Some(record.len()),
                ..letter
            });
        }
        self.builder.push(&json);
    }

    fn finish(mut self) -> (Frames, u64) {
        (self.builder.finish(), self.too_large)
    }
}

fn written(record: &DeadLetter<'_>) -> Vec<u8> {
    serde_json::to_vec(record).expect("strings always serialise to JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_record_contains_the_original_bytes() {
        let refused: [(&[u8], &str); 2] = [(b"{\"a\":1}", "no price"), (&[0xff, 0], "not text")];
        let (frames, too_large) = dead_letters("spread", "in", refused.into_iter()).finish();
        assert_eq!(too_large, 0);
        let dead_letters: Vec<serde_json::Value> = frames
            .iter()
            .map(|d| serde_json::from_slice(d).unwrap())
            .collect();
        assert_eq!(
            dead_letters[0],
            serde_json::json!({"operator": "spread", "port": "in", "reason": "no price", "datum": "{\"a\":1}"})
        );
        assert_eq!(dead_letters[1]["datum_base64"], "/wA=");
    }

    #[test]
    fn a_dead_letter_record_of_a_sink_has_code_and_attempts() {
        let refusal = Refusal {
            record: b"[1]",
            reason: "no row",
            code: "no_object",
            attempts: 3,
        };
        let (frames, _) = of_consumer("save", [refusal].into_iter()).finish();
        let letter: serde_json::Value =
            serde_json::from_slice(frames.iter().next().unwrap()).unwrap();
        assert_eq!(
            letter,
            serde_json::json!({"consumer": "save", "reason": "no row", "code": "no_object", "attempts": 3, "datum": "[1]"})
        );
    }

    /// Escaping makes a record of the maximum size too large for the stream.
    #[test]
    fn an_oversized_dead_letter_record_omits_the_datum() {
        let (text, bytes) = (vec![1; 4 << 20], vec![0xff; 13 << 20]);
        let refused: [(&[u8], &str); 3] = [(&text, "no"), (&bytes, "no"), (b"small", "no")];
        let (frames, too_large) = dead_letters("spread", "in", refused.into_iter()).finish();
        assert_eq!(too_large, 2);
        let sizes: Vec<serde_json::Value> = frames
            .iter()
            .map(|d| serde_json::from_slice::<serde_json::Value>(d).unwrap())
            .map(|record| record["datum_bytes"].clone())
            .collect();
        assert_eq!(
            sizes,
            [(4 << 20).into(), (13 << 20).into(), serde_json::Value::Null]
        );
        let longest = "é".repeat(5000);
        let refused = [(b"".as_slice(), &*longest)];
        let (frames, _) = dead_letters("spread", "in", refused.into_iter()).finish();
        assert!(frames.payload_len() < REASON_BYTES_MAX + 100);
    }
}
