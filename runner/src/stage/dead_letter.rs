//! Dead-letter records, which are sent to the stream named in `on_error`.

use mosaik_streams::{
    Frames, FramesBuilder,
    frames::{DEFAULT_MAX_FRAME_LEN, HEADER_LEN},
};
use serde::Serialize;

/// Maximum size of a reason in a dead-letter record, in bytes: 1024. The rest is cut off.
const REASON_BYTES_MAX: usize = 1024;

#[derive(Serialize)]
struct DeadLetter<'a> {
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

/// Returns rejected records as dead-letter records: JSON objects with `operator`, `port`, `reason`,
/// and the original bytes as `datum` if they are text, else as `datum_base64`. A record that is too
/// large in this form is replaced by its size, `datum_bytes`; the second value counts those.
pub(super) fn dead_letters<'a>(
    operator: &str,
    port: &str,
    refused: impl Iterator<Item = (&'a [u8], &'a str)>,
) -> (Frames, u64) {
    let mut builder = FramesBuilder::new();
    let mut too_large = 0;
    for (bytes, reason) in refused {
        let datum = std::str::from_utf8(bytes).ok();
        let datum_base64 = datum.is_none().then(|| data_encoding::BASE64.encode(bytes));
        let mut record = DeadLetter {
            operator,
            port,
            reason: &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)],
            datum,
            datum_base64,
            datum_bytes: None,
        };
        let mut json = written(&record);
        if json.len() > DEFAULT_MAX_FRAME_LEN - HEADER_LEN {
            too_large += 1;
            (record.datum, record.datum_base64) = (None, None);
            record.datum_bytes = Some(bytes.len());
            json = written(&record);
        }
        builder.push(&json);
    }
    (builder.finish(), too_large)
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
        let (frames, too_large) = dead_letters("spread", "in", refused.into_iter());
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

    /// Escaping makes a record of the maximum size too large for the stream.
    #[test]
    fn an_oversized_dead_letter_record_omits_the_datum() {
        let (text, bytes) = (vec![1; 4 << 20], vec![0xff; 13 << 20]);
        let refused: [(&[u8], &str); 3] = [(&text, "no"), (&bytes, "no"), (b"small", "no")];
        let (frames, too_large) = dead_letters("spread", "in", refused.into_iter());
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
        let (frames, _) = dead_letters("spread", "in", [(b"".as_slice(), &*longest)].into_iter());
        assert!(frames.payload_len() < REASON_BYTES_MAX + 100);
    }
}
