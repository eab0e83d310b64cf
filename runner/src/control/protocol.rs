//! What is said on a control socket: a 4-byte big-endian length and so many bytes of JSON, a request and then its answers.

use std::{io, path::PathBuf, time::Duration};

use mosaik_streams::Criteria;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    graph::Step,
    topology::report::{Reload, Status},
};

/// Bytes of the largest request: 64 KiB.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Bytes of the largest answer: 64 MiB, room for a datum of 16 MiB in base64.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes of a datum in an answer, as JSON writes it: all but 4 KiB for what is around it.
const SHOWN_BYTES_MAX: usize = ANSWER_BYTES_MAX - (4 << 10);
/// The most bytes that JSON makes of one: `\u001b`.
const ESCAPE_BYTES: usize = 6;
/// The longest that rates are measured for: 10 s.
pub const WINDOW_MAX: Duration = Duration::from_secs(10);

/// What a node can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// Who it is. Answered by [`Answer::Hello`].
    Hello,
    /// All about it. Answered by [`Answer::Status`].
    Status {
        /// For how many milliseconds it is looked at for rates; 0 for none, 10,000 at most.
        #[serde(default)]
        window_ms: u64,
    },
    /// Why nothing flows on a stream. Answered by [`Answer::Explained`].
    Explain {
        /// Its name in the manifest.
        stream: String,
    },
    /// Datums of a stream as they go by. Answered by [`Answer::Tapped`] again and again, until the connection is closed or
    /// [`Answer::Done`].
    Tap {
        /// Its name in the manifest.
        stream: String,
        /// Which datums, written as in a manifest. Default: all.
        #[serde(default, rename = "where")]
        criteria: Criteria,
        /// How many at most. Default: no end.
        #[serde(default)]
        limit: Option<u64>,
    },
    /// What going over to a manifest would do. Answered by [`Answer::Plan`].
    Plan {
        /// The manifest, by its absolute path.
        path: PathBuf,
    },
    /// Goes over to what its manifest says now, without waiting for anything. Answered by [`Answer::Reloaded`].
    Reload,
    /// Stops as at Ctrl-C. Answered by [`Answer::Done`] at once.
    Down,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// Who it is.
    Hello(Hello),
    /// All about it.
    Status(Box<Status>),
    /// Why nothing flows, line by line.
    Explained {
        /// The lines.
        lines: Vec<String>,
    },
    /// Some datums that went by.
    Tapped {
        /// The datums, in their order.
        datums: Vec<Shown>,
        /// How many went by unseen so far.
        missed: u64,
    },
    /// The stream that is looked on at does not run at the moment; what follows comes when it does.
    Waiting,
    /// What would be done.
    Plan {
        /// Step by step.
        steps: Vec<Step>,
        /// What the manifest perhaps does not mean, as a person reads it; empty if there is nothing.
        #[serde(default)]
        warnings: String,
    },
    /// What was done.
    Reloaded(Box<Reload>),
    /// There is nothing more to say.
    Done,
    /// It cannot be done.
    Refused {
        /// Why, in words; several lines when a manifest is wrong.
        reason: String,
    },
}

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The runner's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Its manifest, by its absolute path.
    pub manifest: PathBuf,
    /// What it is called on this machine, if it was given a name.
    pub name: Option<String>,
}

/// A datum, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// It, or its beginning when it is too large for an answer.
    #[serde(flatten)]
    pub form: Form,
    /// Only of one that is too large: how many bytes all of it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// How a datum is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// It is text, or was made JSON by its stream's schema.
    Text(String),
    /// It is not.
    Base64(String),
}

impl Shown {
    /// A datum as it is shown.
    pub fn new(datum: &[u8]) -> Self {
        Self::within(datum, SHOWN_BYTES_MAX)
    }

    /// As much of a datum as takes no more than so many bytes in an answer.
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

/// As much of a text as takes no more than so many bytes in JSON.
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

/// A message with its length before it.
pub(super) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// An answer with its length before it. One that is larger than whoever asked takes is refused instead.
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

/// The length that a frame announces.
///
/// # Errors
/// It is more than is taken.
pub(super) fn length(header: [u8; 4], max: usize) -> io::Result<usize> {
    let length = u32::from_be_bytes(header) as usize;
    if length > max {
        let reason = format!("a message of {length} bytes, more than {max}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(length)
}

/// What a frame's bytes say.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_written_as_the_docs_say() {
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

    /// An answer with one datum.
    fn tapped(shown: Shown) -> Answer {
        Answer::Tapped {
            datums: vec![shown],
            missed: u64::MAX,
        }
    }

    #[test]
    fn datums_are_shown_as_the_docs_say() {
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
    fn no_datum_is_too_large_for_an_answer() {
        // JSON makes six bytes of each of these, and base64 four of three of those.
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
    fn an_answer_that_nobody_would_take_is_refused() {
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
    fn what_is_no_request_is_refused() {
        for wrong in ["", "{}", r#"{"verb":"fly"}"#, "[1"] {
            assert!(decode::<Request>(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(length([0xff; 4], REQUEST_BYTES_MAX).is_err());
    }
}
