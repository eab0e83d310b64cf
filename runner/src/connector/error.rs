//! Errors of sources and sinks.

use std::{io, path::PathBuf};

use mosaik_streams::schema::SchemaError;

use super::HeaderError;

/// An invalid setting.
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
    /// An invalid setting.
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

/// A batch that was not written.
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
        /// The reason.
        source: io::Error,
    },
}
