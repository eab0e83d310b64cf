//! Sources: their settings, which the manifest declares, and the running source.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use mosaik_streams::{Encoding, Frames};

use super::{
    Compare, ConfigError, Configured, Delivery, Format, OpenError, Position, Problem, Resource,
    ResumeError, SourceError,
};

/// Default maximum size of a source's record: 1 MiB, which is 1/16 of the maximum on a stream.
pub const DEFAULT_MAX_DATUM_BYTES: usize = 1024 * 1024;

/// Default batch size of a source: 64 KiB.
pub const DEFAULT_BATCH_BYTES: usize = 64 * 1024;

/// The settings of a source. Plain data: only [`open`](Self::open) and [`probe`](Self::probe) touch the outside.
pub trait SourceSettings: Compare + fmt::Debug + Send + Sync + 'static {
    /// Checks whether the source can feed a stream of this encoding, without touching the outside.
    ///
    /// # Errors
    /// Returns the invalid setting.
    fn check(&self, _encoding: &Encoding) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Checks whether the source can be opened, without consuming any input. A stream of bytes accepts content that is
    /// not text.
    ///
    /// # Errors
    /// Returns the problem that opening the source would report.
    fn probe(&self, _encoding: Option<&Encoding>) -> Result<(), Problem> {
        Ok(())
    }

    /// Returns the format of its input; `None` if it makes JSON objects itself.
    fn format(&self) -> Option<Format>;

    /// Returns what it guarantees when the node is killed and started again, with checkpoints of the graph or without.
    fn delivery(&self, has_checkpoints: bool) -> Delivery;

    /// Returns the resources that it uses outside of the process.
    fn resources(&self) -> Vec<Resource> {
        Vec::new()
    }

    /// Returns its first records as JSON objects, without consuming any input; `None` if they are unknown.
    fn sample(&self) -> Option<Vec<Vec<u8>>> {
        None
    }

    /// Returns whether the source never ends, although its input is at rest.
    fn is_endless(&self) -> bool {
        false
    }

    /// Opens the source, without reading from it yet.
    ///
    /// # Errors
    /// A setting is invalid, or the input cannot be reached.
    ///
    /// # Cancel safety
    /// Cancelling leaves nothing behind.
    fn open(&self, context: SourceContext) -> BoxFuture<'_, Result<Box<dyn Source>, OpenError>>;
}

/// The source of a producer's records: a connector and its settings.
pub type SourceConfig = Configured<dyn SourceSettings>;

impl SourceConfig {
    /// Creates a configuration of the connector with this name.
    pub fn new<S: SourceSettings>(connector: &'static str, settings: S) -> Self {
        Self::of(connector, Arc::new(settings))
    }
}

/// Opens a source, without reading from it yet.
///
/// # Errors
/// An invalid setting, or an outside that cannot be reached.
///
/// # Cancel safety
/// Cancelling leaves nothing behind.
pub async fn open_source(
    config: &SourceConfig,
    context: SourceContext,
) -> Result<Box<dyn Source>, OpenError> {
    check_source(config, &context.encoding)?;
    config.open(context).await
}

/// Checks whether a source with these settings can feed a stream of this encoding. Performs no I/O. [`open_source`]
/// runs this check first.
///
/// # Errors
/// Returns the invalid setting.
pub fn check_source(config: &SourceConfig, encoding: &Encoding) -> Result<(), ConfigError> {
    if let Encoding::Postcard(schema) = encoding {
        schema.check()?;
    }
    config.check(encoding)
}

/// Properties of the stream that a source feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceContext {
    /// The encoding of the stream.
    pub encoding: Encoding,
    /// The maximum size of a record, in bytes; default [`DEFAULT_MAX_DATUM_BYTES`]. For postcard streams the limit also
    /// applies to the JSON from which a record is converted. A line or row that would make a larger record is skipped
    /// and counted as `too_large`. A source holds at most about twice this size.
    pub max_datum_bytes: usize,
    /// The size, in bytes and including headers, at which a batch is complete; default [`DEFAULT_BATCH_BYTES`]. A batch
    /// exceeds it by at most one record.
    pub batch_bytes: usize,
    /// Values that the manifest took from environment variables or files. They are masked in messages. Default: none.
    pub put_in: Vec<String>,
}

impl SourceContext {
    /// Creates a context for this encoding with the default limits.
    pub fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            max_datum_bytes: DEFAULT_MAX_DATUM_BYTES,
            batch_bytes: DEFAULT_BATCH_BYTES,
            put_in: Vec::new(),
        }
    }
}

/// Counters of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceCounts {
    /// Number of records produced.
    pub datums: u64,
    /// Size of the records in bytes, without headers.
    pub bytes: u64,
    /// Number of lines or rows that would have made a record larger than the limit.
    pub too_large: u64,
    /// Number of lines or rows that are not UTF-8 where UTF-8 is required, do not have the header's number of columns,
    /// or do not match the schema of the stream.
    pub invalid: u64,
    /// Number of CSV fields that do not match the kind of their column: text in a column of numbers, or numbers that
    /// were produced before their column was found to be text.
    pub mixed: u64,
    /// Number of last lines that had no line end when the source was stopped.
    pub unfinished: u64,
    /// Number of lines of standard input that were incomplete at a stop. They cannot be read again.
    pub cut_off: u64,
    /// Number of files that had the followed path and disappeared before they could be read.
    pub missed_files: u64,
}

/// A running source of records.
pub trait Source: fmt::Debug + Send {
    /// Returns the next batch as soon as there is one; `None` when the source has ended. The batch is empty if the
    /// source has skipped lines, which [`counts`](Self::counts) reports, and has found no record since.
    ///
    /// # Errors
    /// Reading failed, or a CSV header is invalid. The source cannot be used afterwards.
    ///
    /// # Cancel safety
    /// No data is lost: the next call continues where this one stopped.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frames>, SourceError>>;

    /// Counts an incomplete record as unfinished or invalid. Call after the last call of [`next`](Self::next).
    fn conclude(&mut self) {}

    /// Stops reading from a source that cannot be read again. [`next`](Self::next) still returns the input that was
    /// already read, and then `None`. Returns `false` for other sources, which are not affected.
    fn stop(&mut self) -> bool {
        false
    }

    /// Returns the position behind the records that [`next`](Self::next) has returned, from which
    /// [`resume`](Self::resume) goes on; `None` if the source cannot be read again.
    fn position(&self) -> Option<Position> {
        None
    }

    /// Goes on at a position of an earlier process. Called before the first [`next`](Self::next).
    ///
    /// # Errors
    /// The source does not have this position any more, or it is not one of this source.
    fn resume<'a>(&'a mut self, _position: &'a Position) -> BoxFuture<'a, Result<(), ResumeError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Returns the counters of the source.
    fn counts(&self) -> SourceCounts;

    /// Returns whether the source ends without being stopped. Standard input ends when the writing process closes it.
    fn is_finite(&self) -> bool;
}
