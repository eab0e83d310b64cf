//! [`FilePosition`]: the position of a file source in a checkpoint.

use serde::{Deserialize, Serialize};

use super::fingerprint::{FileMark, file_time};
use crate::connector::{
    Position, ResumeError,
    format::{
        csv::Header,
        place::{ColumnPlace, Place},
    },
};

/// The place up to which a file was read, through its rotations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FilePosition {
    /// The path as messages name it.
    pub(super) path: String,
    /// The time of the position, in nanoseconds since 1970.
    pub(super) at: u64,
    /// `None` if a followed file did not exist yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<FileMark>,
    /// Offset of the first byte that belongs to no record before the position.
    pub(super) offset: u64,
    #[serde(flatten)]
    pub(super) place: Place,
    /// Only zero bytes were found at the start of the content, which are skipped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) zeros: bool,
    /// The file was read to its end, and is not read again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ended: bool,
    /// The first successors of the file that were known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) waiting: Vec<ReadFile>,
    /// Predecessors of the file that were read to their end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) left: Vec<ReadFile>,
}

/// A file other than the current one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadFile {
    #[serde(flatten)]
    pub(super) mark: FileMark,
    /// Its columns, for `csv` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) columns: Vec<ColumnPlace>,
}

impl ReadFile {
    pub(super) fn new(mark: FileMark, header: Option<&Header>) -> Self {
        Self {
            mark,
            columns: header.map(Header::place).unwrap_or_default(),
        }
    }
}

impl FilePosition {
    /// Creates a position before the start of a file that does not exist yet.
    pub(super) fn new(path: String, place: Place) -> Self {
        Self {
            path,
            at: file_time(),
            file: None,
            offset: 0,
            place,
            zeros: false,
            ended: false,
            waiting: Vec::new(),
            left: Vec::new(),
        }
    }

    pub(super) fn to_json(&self) -> Option<Position> {
        serde_json::to_value(self).ok()
    }

    /// Reads a position of an earlier process. `shown` is the name of the file in messages.
    pub(super) fn of_json(shown: &str, position: &Position) -> Result<Self, ResumeError> {
        let read = Self::deserialize(position);
        read.map_err(|error| ResumeError::foreign(shown, &error))
    }
}
