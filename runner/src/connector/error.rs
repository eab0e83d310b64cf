//! What goes wrong at the outside ends.

use std::{io, path::PathBuf};

use mosaik_streams::schema::SchemaError;

use super::HeaderError;

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The stream has a schema that nothing can be made of.
    #[error("the schema cannot be: {0}")]
    Schema(#[from] SchemaError),
    /// A rate that is not above zero, or not finite.
    #[error("a rate is more than 0 datums a second, not {rate}")]
    Rate {
        /// What was asked for.
        rate: f64,
    },
    /// A datum longer than a generated one may be.
    #[error("a generated datum has at most {max_bytes} bytes, not {size_bytes}")]
    Size {
        /// What was asked for.
        size_bytes: u32,
        /// The limit.
        max_bytes: u32,
    },
}

/// A source or sink that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting that cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system refuses the file.
    #[error("cannot open {path}: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder, a pipe or a device, where only a regular file has an end and can be waited on.
    #[error("{path} is not a regular file", path = path.display())]
    NotAFile {
        /// What it is called.
        path: PathBuf,
    },
    /// No thread for writing.
    #[error("cannot start a thread to write from: {0}")]
    Thread(io::Error),
}

/// A source that cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Reading failed.
    #[error("cannot read {name}: {source}")]
    Read {
        /// The file, or `stdin`.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Content that is no text: compressed, UTF-16 or binary.
    #[error("{name} is {what}")]
    NoText {
        /// The file, or `stdin`.
        name: String,
        /// What it is, and what makes text of it.
        what: String,
    },
    /// Rows under a header that names no columns.
    #[error("cannot understand {name}: {source}")]
    Header {
        /// The file, or `stdin`.
        name: String,
        /// Why.
        source: HeaderError,
    },
}

/// A batch that was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// Nobody reads any more, or the sink was closed.
    #[error("{name} is closed")]
    Closed {
        /// The file, or `stdout`.
        name: String,
    },
    /// Writing failed.
    #[error("cannot write to {name}: {source}")]
    Write {
        /// The file, or `stdout`.
        name: String,
        /// Why.
        source: io::Error,
    },
}
