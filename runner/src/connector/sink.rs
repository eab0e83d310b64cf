//! Sinks: their settings, which the manifest declares, and the running sink.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use mosaik_streams::{Encoding, Frames};

use super::{
    Compare, Configured, CsvEncoder, Delivery, Format, OpenError, Position, Problem, Resource,
    ResumeError, SinkError, Unwritten,
};

/// Maximum time for giving up a cancelled write: 1 s.
pub const GIVE_UP_TIME: Duration = Duration::from_secs(1);

/// The settings of a sink. Plain data: only [`open`](Self::open) and [`probe`](Self::probe) touch the outside.
pub trait SinkSettings: Compare + fmt::Debug + Send + Sync + 'static {
    /// Checks whether the sink can be opened, without writing anything.
    ///
    /// # Errors
    /// Returns the problem that opening the sink would report.
    fn probe(&self) -> Result<(), Problem> {
        Ok(())
    }

    /// Returns the format that its settings require of every stream; `None` if they leave it open.
    fn format(&self) -> Option<Format>;

    /// Returns what it guarantees when the node is killed and started again, with checkpoints of the graph or without.
    fn delivery(&self, has_checkpoints: bool) -> Delivery;

    /// Returns the resources that it uses outside of the process.
    fn resources(&self) -> Vec<Resource> {
        Vec::new()
    }

    /// Returns the name of the output in messages, if the output ends when its reader leaves; `None` for the name of the
    /// stage.
    fn reader(&self) -> Option<&'static str> {
        None
    }

    /// Opens the sink.
    ///
    /// # Errors
    /// The destination cannot be reached or does not accept output.
    ///
    /// # Cancel safety
    /// Cancelling may leave folders and an empty file behind.
    fn open(&self, context: SinkContext) -> BoxFuture<'_, Result<Box<dyn Sink>, OpenError>>;
}

/// Properties of the stream that a sink reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkContext {
    /// The encoding of the stream. A sink receives the JSON of postcard records.
    pub encoding: Encoding,
    /// Values that the manifest took from environment variables or files. They are masked in messages. Default: none.
    pub put_in: Vec<String>,
}

impl SinkContext {
    /// Creates a context for this encoding.
    pub const fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            put_in: Vec::new(),
        }
    }

    /// Returns whether the sink receives JSON.
    pub const fn is_json(&self) -> bool {
        matches!(self.encoding, Encoding::Json | Encoding::Postcard(_))
    }
}

/// The destination of a consumer's records: a connector and its settings.
pub type SinkConfig = Configured<dyn SinkSettings>;

impl SinkConfig {
    /// Creates a configuration of the connector with this name.
    pub fn new<S: SinkSettings>(connector: &'static str, settings: S) -> Self {
        Self::of(connector, Arc::new(settings))
    }
}

/// Opens a sink.
///
/// # Errors
/// The outside cannot be reached or does not accept output.
///
/// # Cancel safety
/// Cancelling may leave folders and an empty file behind.
pub async fn open_sink(
    config: &SinkConfig,
    context: SinkContext,
) -> Result<Box<dyn Sink>, OpenError> {
    config.open(context).await
}

/// Counters of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SinkCounts {
    /// Number of records written.
    pub datums: u64,
    /// Their size in bytes, without line ends.
    pub bytes: u64,
}

/// A running sink of records.
pub trait Sink: fmt::Debug + Send {
    /// Takes the encoder that makes the sink's rows of JSON records; `None` if records are written as they are. The
    /// rows are then written instead of the records.
    fn take_encoder(&mut self) -> Option<CsvEncoder> {
        None
    }

    /// Makes one attempt to write a batch, and returns once it is written or has failed. The stage repeats it.
    ///
    /// # Errors
    /// [`SinkError::Closed`] if the reader has closed the pipe (`| head`), which is a reason to finish and not a
    /// failure. After another error some of the first records have been written. The next call usually begins with
    /// the record after them, of which a part may have been written, and may also begin with another one.
    ///
    /// # Cancel safety
    /// A cancelled batch is written whole or not at all, and is not counted. Use [`give_up`](Self::give_up) to find out
    /// how much was written.
    fn write<'a>(&'a mut self, batch: &'a Frames) -> BoxFuture<'a, Result<(), Unwritten>>;

    /// Gives up a cancelled write, within at most [`GIVE_UP_TIME`], and returns the number of leading records of its
    /// batch that were written completely. The sink cannot write afterwards.
    fn give_up<'a>(&'a mut self, batch: &'a Frames) -> BoxFuture<'a, usize>;

    /// Syncs the written records, and returns the position behind them for [`resume`](Self::resume); `None` if the sink
    /// cannot remove records that it has written.
    ///
    /// # Errors
    /// The output cannot be synced. The sink cannot write afterwards.
    fn sync(&mut self) -> BoxFuture<'_, Result<Option<Position>, SinkError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Resumes at the position of an earlier sync, and removes the records that were written after it. Called before
    /// the first [`write`](Self::write).
    ///
    /// # Errors
    /// The output is not the one that was written. Nothing is removed then.
    fn resume<'a>(&'a mut self, _durable: &'a Position) -> BoxFuture<'a, Result<(), ResumeError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Waits until everything accepted is written. Later writes return [`SinkError::Closed`].
    ///
    /// A file is not synced to the disk: its content survives the end of this process, but not a loss of power.
    ///
    /// # Errors
    /// The writer thread ended prematurely.
    ///
    /// # Cancel safety
    /// Closing continues after a cancellation; call this again to wait for it.
    fn close(&mut self) -> BoxFuture<'_, Result<(), SinkError>>;

    /// Returns the counters of the sink.
    fn counts(&self) -> SinkCounts;
}
