//! The errors of a log.

use std::io;

/// An error from opening a log.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk reported an error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A file was written by another version of the program.
    #[error("{file}: format {found}, this version reads format {expected}")]
    OtherVersion {
        /// The name of the segment.
        file: String,
        /// Its format.
        found: u16,
        /// The format of this version.
        expected: u16,
    },
    /// No segment has a valid header.
    #[error("{file}: damaged: the header of the segment cannot be read")]
    NoHeader {
        /// The name of the oldest segment.
        file: String,
    },
    /// The folder contains segments of two logs.
    #[error("{file}: a segment of another log")]
    OtherLog {
        /// The name of the segment.
        file: String,
    },
}

/// An error from appending to a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk has no room for the records. Nothing was appended.
    #[error("the disk is full")]
    Full,
    /// The disk reported an error. Nothing was appended.
    #[error("{0}")]
    Io(io::Error),
    /// A cut would divide records that were appended together.
    #[error("the position is inside a batch")]
    InsideBatch,
    /// A sync failed earlier, or a write could not be undone, so that the file may differ from what this process knows.
    /// The log accepts nothing more.
    #[error("the log accepts no more records: {0}")]
    Broken(String),
}

impl From<io::Error> for LogError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}

/// A text that is not the id of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 hex digits")]
pub struct InvalidLogId;
