//! Where a source or sink goes on after a restart.

/// The place up to which a source was read or a sink was written, as the connector describes it. Kept in checkpoints as
/// JSON, and shown by `checkpoint show`.
pub type Position = serde_json::Value;

/// The reason that a source or sink cannot go on where an earlier process stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ResumeError {
    /// The reason and what to do, as one sentence.
    pub reason: String,
}
