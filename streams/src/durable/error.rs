//! [`DurableError`].

use std::io;

use mosaik_log::{LogError, LogId, OpenError};

/// An error from opening the log of a durable stream.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// The folder cannot be used.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Another process, or another stream of this one, uses the log.
    #[error("the log is in use by another process")]
    InUse,
    /// The segments cannot be read.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The log cannot be changed.
    #[error("{0}")]
    Log(#[from] LogError),
    /// The position at which to continue is one of another log.
    #[error("the position is one of log {expected}, the folder contains log {found}")]
    OtherLog {
        /// The log of the position.
        expected: LogId,
        /// The log in the folder.
        found: LogId,
    },
    /// Records before the position at which to continue are missing.
    #[error("the log ends at {end}, before the position {position} at which to continue")]
    TooShort {
        /// The position after the last record of the log.
        end: u64,
        /// The position at which to continue.
        position: u64,
    },
}
