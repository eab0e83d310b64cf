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
/// Bytes of the largest answer: 64 MiB, room for the largest datum in base64.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
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
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// It is text, or was made JSON by its stream's schema.
    Text(String),
    /// It is not.
    Base64(String),
}

impl Shown {
    /// A datum as it is shown.
    pub fn new(datum: &[u8]) -> Self {
        match std::str::from_utf8(datum) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(data_encoding::BASE64.encode(datum)),
        }
    }
}

/// A message with its length before it.
pub(super) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
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

    #[test]
    fn what_is_no_request_is_refused() {
        for wrong in ["", "{}", r#"{"verb":"fly"}"#, "[1"] {
            assert!(decode::<Request>(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(length([0xff; 4], REQUEST_BYTES_MAX).is_err());
    }
}
