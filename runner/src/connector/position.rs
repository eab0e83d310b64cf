//! The position at which a source or sink resumes after a restart.

use std::fmt;

/// The place up to which a source was read or a sink was written, as the connector describes it. Kept in checkpoints as
/// JSON, and shown by `checkpoint show`.
pub type Position = serde_json::Value;

/// The reason that a source or sink cannot resume where an earlier process stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ResumeError {
    /// The reason and what to do, as one sentence.
    pub reason: String,
}

impl ResumeError {
    pub(super) const fn new(reason: String) -> Self {
        Self { reason }
    }

    /// Returns the error for a position that another connector has described.
    pub(super) fn foreign(name: &str, error: &impl fmt::Display) -> Self {
        Self::new(format!(
            "the checkpoint describes {name} in another way ({error}): discard it with `up --fresh`"
        ))
    }
}
