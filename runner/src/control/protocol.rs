//! Messages of a control socket: one request, followed by its answers. Each is a 4-byte big-endian length and that
//! number of bytes of JSON.

use std::{io, path::PathBuf, time::Duration};

use mosaik_streams::Criteria;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    graph::{PathDelivery, Step},
    topology::report::{Reload, Status},
};

/// Maximum size of a request: 64 KiB.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Maximum size of an answer: 64 MiB, which has room for a record of 16 MiB in base64.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Maximum size of a record in an answer, as JSON: all but 4 KiB, which the rest of the answer needs.
const SHOWN_BYTES_MAX: usize = ANSWER_BYTES_MAX - (4 << 10);
/// Maximum number of bytes that JSON needs for one byte: `\u001b`.
const ESCAPE_BYTES: usize = 6;
/// Maximum time over which rates are measured: 10 s.
pub const WINDOW_MAX: Duration = Duration::from_secs(10);

/// A request to a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// Identify the node. Answered by [`Answer::Hello`].
    Hello,
    /// Report the node's status. Answered by [`Answer::Status`].
    Status {
        /// Time in milliseconds over which rates are measured: at most 10,000; 0 for no rates.
        #[serde(default)]
        window_ms: u64,
    },
    /// Explain why no records flow on a stream. Answered by [`Answer::Explained`].
    Explain {
        /// The name of the stream in the manifest.
        stream: String,
    },
    /// Copy the records of a stream as they flow. Answered by repeated [`Answer::Tapped`] until the connection is
    /// closed, or by [`Answer::Done`] at the end.
    Tap {
        /// The name of the stream in the manifest.
        stream: String,
        /// Criteria for the records, in the syntax of manifests. Default: all records.
        #[serde(default, rename = "where")]
        criteria: Criteria,
        /// Maximum number of records. Default: no limit.
        #[serde(default)]
        limit: Option<u64>,
    },
    /// Compute the changes that switching to a manifest would make. Answered by [`Answer::Plan`].
    Plan {
        /// The absolute path of the manifest.
        path: PathBuf,
    },
    /// Reload the manifest and apply its changes immediately. Answered by [`Answer::Reloaded`].
    Reload,
    /// Stop, as on Ctrl-C. Answered immediately by [`Answer::Done`].
    Down,
}

/// An answer of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// Identification of the node.
    Hello(Hello),
    /// Status of the node.
    Status(Box<Status>),
    /// Explanation of why no records flow.
    Explained {
        /// The lines of the explanation.
        lines: Vec<String>,
    },
    /// Records copied from the stream.
    Tapped {
        /// The records, in order.
        datums: Vec<Shown>,
        /// Total number of records that were not copied so far.
        missed: u64,
    },
    /// The tapped stream does not run at present. Further answers follow once it runs.
    Waiting,
    /// The changes that would be made.
    Plan {
        /// The individual steps, in order.
        steps: Vec<Step>,
        /// The paths of the manifest whose delivery class or weakest part is new.
        #[serde(default)]
        delivery: Vec<PathDelivery>,
        /// Warnings about the manifest, formatted for people; empty if there are none.
        #[serde(default)]
        warnings: String,
    },
    /// The result of a reload.
    Reloaded(Box<Reload>),
    /// No further answers follow.
    Done,
    /// The request was refused.
    Refused {
        /// The reason as text; several lines if a manifest is invalid.
        reason: String,
    },
}

/// Identification of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version of the runner.
    pub version: String,
    /// The process ID.
    pub pid: u32,
    /// The absolute path of the manifest.
    pub manifest: PathBuf,
    /// The name of the node on this machine, if it was given one.
    pub name: Option<String>,
}

/// A record, formatted for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The record, or its beginning if it is too large for an answer.
    #[serde(flatten)]
    pub form: Form,
    /// Full size in bytes of a record that is too large for an answer; otherwise `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Representation of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Text, or JSON that was converted with the stream's schema.
    Text(String),
    /// Anything else, in base64.
    Base64(String),
}

impl Shown {
    /// Formats a record, truncated to the size limit of answers.
    pub fn new(datum: &[u8]) -> Self {
        Self::within(datum, SHOWN_BYTES_MAX)
    }

    /// Formats the beginning of a record so that it takes at most `max` bytes in an answer.
    fn within(datum: &[u8], max: usize) -> Self {
        let (form, length) = if let Ok(text) = std::str::from_utf8(datum) {
            let part = beginning(text, max);
            (Form::Text(part.to_owned()), part.len())
        } else {
            let part = &datum[..datum.len().min(max / 4 * 3)];
            let text = data_encoding::BASE64.encode(part);
            (Form::Base64(text), part.len())
        };
        Self {
            form,
            bytes: (length < datum.len()).then_some(datum.len() as u64),
        }
    }
}

/// Returns the beginning of a text that takes at most `max` bytes as JSON.
fn beginning(text: &str, max: usize) -> &str {
    if text.len() <= max / ESCAPE_BYTES {
        return text;
    }
    let mut written = 0;
    for (at, letter) in text.char_indices() {
        written += match letter {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..='\u{1f}' => ESCAPE_BYTES,
            other => other.len_utf8(),
        };
        if written > max {
            return &text[..at];
        }
    }
    text
}

/// Encodes a message, preceded by its length.
pub(super) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Encodes an answer, preceded by its length. An answer above the size limit is replaced by a refusal.
pub(super) fn encode_answer(answer: &Answer) -> io::Result<Vec<u8>> {
    encode_within(answer, ANSWER_BYTES_MAX)
}

fn encode_within(answer: &Answer, max: usize) -> io::Result<Vec<u8>> {
    let frame = encode(answer)?;
    let length = frame.len() - 4;
    if length <= max {
        return Ok(frame);
    }
    let reason = format!("the answer has {length} bytes, more than the {max} that it may have");
    encode(&Answer::Refused { reason })
}

/// Returns the length in the header of a frame.
///
/// # Errors
/// The length exceeds `max`.
pub(super) fn length(header: [u8; 4], max: usize) -> io::Result<usize> {
    let length = u32::from_be_bytes(header) as usize;
    if length > max {
        let reason = format!("a message of {length} bytes, more than {max}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(length)
}

/// Decodes the bytes of a frame.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_match_the_documentation() {
        let tap = r#"{"verb":"tap","stream":"raw","where":{"city":"Oslo"},"limit":3}"#;
        let request: Request = decode(tap.as_bytes()).unwrap();
        let Request::Tap {
            stream,
            criteria,
            limit,
        } = &request
        else {
            panic!("{request:?}");
        };
        assert_eq!((stream.as_str(), *limit), ("raw", Some(3)));
        assert_eq!(*criteria, Criteria::field("city").eq("Oslo"));
        let frame = encode(&request).unwrap();
        let header = [frame[0], frame[1], frame[2], frame[3]];
        assert_eq!(length(header, 1 << 10).unwrap(), frame.len() - 4);
        assert_eq!(decode::<Request>(&frame[4..]).unwrap(), request);
        assert!(decode::<Request>(br#"{"verb":"status"}"#).is_ok());
    }

    /// Returns an answer with one record.
    fn tapped(shown: Shown) -> Answer {
        Answer::Tapped {
            datums: vec![shown],
            missed: u64::MAX,
        }
    }

    #[test]
    fn tapped_records_match_the_documentation() {
        let shown = |datum: &[u8], max| {
            serde_json::to_string(&Shown::within(datum, max)).expect("it can be written")
        };
        assert_eq!(shown(b"abc", 9), r#"{"text":"abc"}"#);
        assert_eq!(shown(b"\xffbc", 9), r#"{"base64":"/2Jj"}"#);
        assert_eq!(
            shown(b"abcdefghij", 9),
            r#"{"text":"abcdefghi","bytes":10}"#
        );
        assert_eq!(
            shown(b"\xffbcdefgh", 9),
            r#"{"base64":"/2JjZGVm","bytes":8}"#
        );
        let cut = Shown::within("\"\u{1}é\n".as_bytes(), 9);
        assert_eq!(cut.form, Form::Text("\"\u{1}".into()), "8 bytes, with é 10");
        assert_eq!(cut.bytes, Some(5));
        for shown in [cut, Shown::new(b"abc"), Shown::new(b"\xff")] {
            let answer = tapped(shown);
            let frame = encode(&answer).unwrap();
            assert_eq!(decode::<Answer>(&frame[4..]).unwrap(), answer);
        }
    }

    #[test]
    fn any_record_fits_into_an_answer() {
        // JSON takes six bytes for each byte of the first record, and base64 four bytes for three of the second.
        for datum in [vec![1_u8; 16 << 20], vec![0xff; 60 << 20]] {
            let shown = Shown::new(&datum);
            assert_eq!(shown.bytes, Some(datum.len() as u64));
            let length = encode(&tapped(shown)).unwrap().len() - 4;
            assert!(length <= ANSWER_BYTES_MAX, "{length} bytes");
            assert!(length > SHOWN_BYTES_MAX, "{length} bytes are too few");
        }
        let large = Shown::new(&[b'x'].repeat(16 << 20));
        assert_eq!(large.bytes, None, "there is room for all of it");
    }

    #[test]
    fn an_answer_above_the_limit_is_refused() {
        let answer = Answer::Explained {
            lines: vec!["x".repeat(200)],
        };
        let whole = encode_within(&answer, 1000).unwrap();
        assert_eq!(decode::<Answer>(&whole[4..]).unwrap(), answer);
        let instead = encode_within(&answer, 200).unwrap();
        let Answer::Refused { reason } = decode(&instead[4..]).unwrap() else {
            panic!("it was sent");
        };
        assert!(reason.contains("more than the 200"), "{reason}");
    }

    #[test]
    fn invalid_requests_are_refused() {
        for wrong in ["", "{}", r#"{"verb":"fly"}"#, "[1"] {
            assert!(decode::<Request>(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(length([0xff; 4], REQUEST_BYTES_MAX).is_err());
    }
}
