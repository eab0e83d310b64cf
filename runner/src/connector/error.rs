//! Errors of sources and sinks.

use std::{borrow::Cow, io, path::PathBuf};

use mosaik_streams::schema::SchemaError;

use super::HeaderError;

/// A setting of a connector with an invalid value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The schema of the stream is invalid.
    #[error("invalid schema: {0}")]
    Schema(#[from] SchemaError),
    /// A rate that is not a finite number greater than 0.
    #[error("a rate must be more than 0 records per second, not {rate}")]
    Rate {
        /// The configured rate, in records per second.
        rate: f64,
    },
    /// A generated record larger than the limit.
    #[error("a generated record has at most {max_bytes} bytes, not {size_bytes}")]
    Size {
        /// The configured size, in bytes.
        size_bytes: u32,
        /// The limit, in bytes.
        max_bytes: u32,
    },
}

impl ConfigError {
    /// Returns the key of the invalid setting; empty for the stream's schema.
    pub(crate) const fn key(&self) -> &'static str {
        match self {
            Self::Schema(_) => "",
            Self::Rate { .. } => "rate",
            Self::Size { .. } => "size",
        }
    }
}

/// A source or sink that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting of a connector with an invalid value.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system refuses to open the file.
    #[error("cannot open {path}: {source}", path = path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A folder, pipe or device where a regular file is required, because only a regular file has an end and can be
    /// followed.
    #[error("{path} is not a regular file", path = path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file has content with other columns.
    #[error("the columns of {path} are not those of `header`", path = path.display())]
    Columns {
        /// The path of the file.
        path: PathBuf,
    },
    /// The writer thread cannot be started.
    #[error("cannot start the writer thread: {0}")]
    Thread(io::Error),
}

/// An error after which a source cannot continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Reading failed.
    #[error("cannot read {name}: {source}")]
    Read {
        /// The name of the file, or `stdin`.
        name: String,
        /// The reason.
        source: io::Error,
    },
    /// Content that is not text: compressed, UTF-16 or binary.
    #[error("{name} is {what}")]
    NoText {
        /// The name of the file, or `stdin`.
        name: String,
        /// The detected format, and a way to convert it to text.
        what: String,
    },
    /// The header of a CSV file is invalid.
    #[error("cannot parse {name}: {source}")]
    Header {
        /// The name of the file, or `stdin`.
        name: String,
        /// The reason.
        source: HeaderError,
    },
}

/// A batch that was not written completely.
#[derive(Debug)]
pub struct Unwritten {
    /// The number of leading records that were written.
    pub written: usize,
    /// The reason that the others were not.
    pub error: SinkError,
}

impl From<SinkError> for Unwritten {
    fn from(error: SinkError) -> Self {
        Self { written: 0, error }
    }
}

/// The prospects of another attempt after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkErrorKind {
    /// Another attempt may succeed, such as on a full disk.
    Passing,
    /// No other attempt with the same records succeeds.
    Permanent,
    /// The reader has left, which is a reason to finish and not a failure.
    Closed,
    /// The sink cannot write any more records.
    Broken,
}

/// An error of a sink.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The reader has closed the pipe, or the sink was closed.
    #[error("{name} is closed")]
    Closed {
        /// The name of the file, or `stdout`.
        name: String,
    },
    /// The output cannot be made durable. The sink cannot write afterwards.
    #[error("cannot sync {name}: {source}")]
    Sync {
        /// The name of the file.
        name: String,
        /// The reason.
        source: io::Error,
    },
    /// Writing failed.
    #[error("cannot write to {name}: {source}")]
    Write {
        /// The name of the file, or `stdout`.
        name: String,
        /// Whether it passes.
        kind: SinkErrorKind,
        /// The reason.
        source: io::Error,
    },
}

impl SinkError {
    /// Returns the prospects of another attempt.
    pub const fn kind(&self) -> SinkErrorKind {
        match self {
            Self::Closed { .. } => SinkErrorKind::Closed,
            Self::Sync { .. } => SinkErrorKind::Broken,
            Self::Write { kind, .. } => *kind,
        }
    }

    /// Returns a short code of the reason for programs: `storage_full`, or `os_5` for other errors of the system.
    pub fn code(&self) -> Cow<'static, str> {
        let (Self::Write { source, .. } | Self::Sync { source, .. }) = self else {
            return Cow::Borrowed("closed");
        };
        Cow::Borrowed(match source.kind() {
            io::ErrorKind::StorageFull => "storage_full",
            io::ErrorKind::QuotaExceeded => "quota_exceeded",
            io::ErrorKind::FileTooLarge => "file_too_large",
            io::ErrorKind::ReadOnlyFilesystem => "read_only",
            io::ErrorKind::PermissionDenied => "permission_denied",
            io::ErrorKind::NotFound => "not_found",
            io::ErrorKind::NotADirectory => "not_a_directory",
            io::ErrorKind::IsADirectory => "is_a_directory",
            _ => match source.raw_os_error() {
                Some(number) => return Cow::Owned(format!("os_{number}")),
                None => "other",
            },
        })
    }

    /// Returns the message with the reason first, for narrow displays.
    pub fn reason_first(&self) -> String {
        match self {
            Self::Closed { .. } | Self::Sync { .. } => self.to_string(),
            Self::Write { name, source, .. } => format!("{source}: cannot write to {name}"),
        }
    }
}
