//! [`LedgerError`]: the reason that a ledger cannot be used.

use std::path::{Path, PathBuf};

use super::FORMAT;

/// The reason that the checkpoints of a node cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process has opened the file.
    #[error(
        "the checkpoints in {folder} are in use by another process: stop it, or set another `checkpoint.path`"
    )]
    InUse {
        /// The folder of the checkpoints.
        folder: PathBuf,
    },
    /// The folder or the file cannot be read or written.
    #[error("the checkpoints in {folder} cannot be used: {reason}")]
    Io {
        /// The folder of the checkpoints.
        folder: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The file has another format.
    #[error(
        "the checkpoints in {folder} have format {found}, and this program reads format {FORMAT}: use the version that \
         wrote them, or discard them with `up --fresh`"
    )]
    Format {
        /// The folder of the checkpoints.
        folder: PathBuf,
        /// The format of the file.
        found: u32,
    },
    /// The content of the file is not what was written.
    #[error(
        "the checkpoints in {folder} are damaged: {reason}; `checkpoint repair` shows what can be mended, and \
         `up --fresh` discards them"
    )]
    Damaged {
        /// The folder of the checkpoints.
        folder: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl LedgerError {
    /// Returns the same error for another folder.
    pub(super) fn of_folder(self, folder: &Path) -> Self {
        let folder = folder.to_owned();
        match self {
            Self::InUse { .. } => Self::InUse { folder },
            Self::Io { reason, .. } => Self::Io { folder, reason },
            Self::Format { found, .. } => Self::Format { folder, found },
            Self::Damaged { reason, .. } => Self::Damaged { folder, reason },
        }
    }
}
