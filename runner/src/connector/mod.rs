//! Sources and sinks, the external ends of the graph. Each kind has its own module.
//!
//! A [`Source`] produces batches of records and a [`Sink`] writes them; a record is one datum of a stream. Neither
//! depends on streams, stages or the network. The modules `lines` and `csv` cut the bytes of files and of standard
//! input into records, without I/O.

mod csv;
mod error;
mod file;
mod framing;
mod generate;
mod intake;
mod json;
mod line_writer;
mod lines;
mod magic;
mod postcard;
mod stdin;
mod whole;

use std::{path::Path, sync::Arc, time::Duration};

use mosaik_streams::{Encoding, Frames};

pub use self::{
    csv::MAX_COLUMNS,
    error::{ConfigError, OpenError, SinkError, SourceError},
    framing::HeaderError,
    line_writer::Progress,
    whole::to_json,
};
pub(crate) use self::{file::reopen_all, magic::other_than_text};
use self::{
    file::{FileReader, Follower},
    generate::Generator,
    line_writer::LineWriter,
    stdin::StdinReader,
};
use crate::{
    manifest::connector::{SinkConfig, SourceConfig},
    secrets::{mask, secrets},
};

/// Default maximum size of a source's record: 1 MiB, which is 1/16 of the maximum on a stream.
pub const DEFAULT_MAX_DATUM_BYTES: usize = 1024 * 1024;

/// Default batch size of a source: 64 KiB.
pub const DEFAULT_BATCH_BYTES: usize = 64 * 1024;

/// Maximum time for giving up a cancelled write: 1 s.
pub const GIVE_UP_TIME: Duration = Duration::from_secs(1);

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
    /// Texts that came from the environment or from files and are masked in messages; default none.
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
    /// Their size in bytes, without headers.
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
    /// Lines of standard input whose rest did not come before a stop. They cannot be read again.
    pub cut_off: u64,
    /// Number of files that had the followed path and disappeared before they could be read.
    pub missed_files: u64,
}

/// Counters of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SinkCounts {
    /// Number of records written.
    pub datums: u64,
    /// Their size in bytes, without line ends.
    pub bytes: u64,
}

/// A source of records.
#[derive(Debug)]
pub struct Source(SourceKind);

#[derive(Debug)]
enum SourceKind {
    File(FileReader),
    Follow(Box<Follower>),
    Stdin(StdinReader),
    Generate(Generator),
}

/// Checks whether a source with this configuration can feed a stream of this encoding. Performs no I/O. [`open_source`]
/// runs this check first.
///
/// # Errors
/// Returns the invalid setting.
pub fn check_source(config: &SourceConfig, encoding: &Encoding) -> Result<(), ConfigError> {
    if let Encoding::Postcard(schema) = encoding {
        schema.check()?;
    }
    match config {
        SourceConfig::Generate(config) => generate::check(config),
        SourceConfig::File(_) | SourceConfig::Stdin(_) => Ok(()),
    }
}

/// Opens a source, without reading from it yet.
///
/// # Errors
/// An invalid setting, or a file that is not a regular file, cannot be read or does not exist. A missing file is not an
/// error if it is followed: the source waits for it.
///
/// # Cancel safety
/// Cancelling leaves nothing behind.
pub async fn open_source(
    config: &SourceConfig,
    context: SourceContext,
) -> Result<Source, OpenError> {
    check_source(config, &context.encoding)?;
    Ok(Source(match config {
        SourceConfig::File(config) if config.follow => {
            SourceKind::Follow(Box::new(Follower::open(config, &context).await?))
        }
        SourceConfig::File(config) => SourceKind::File(FileReader::open(config, &context).await?),
        SourceConfig::Stdin(config) => SourceKind::Stdin(StdinReader::open(config, &context)?),
        SourceConfig::Generate(config) => SourceKind::Generate(Generator::new(config, &context)?),
    }))
}

impl Source {
    /// Returns the next batch as soon as there is one; `None` when the source has ended. The batch is empty if the
    /// source has skipped lines, which [`counts`](Self::counts) reports, and has found no record since.
    ///
    /// # Errors
    /// Reading failed, or a CSV header is invalid. The source cannot be used afterwards.
    ///
    /// # Cancel safety
    /// No data is lost: the next call continues where this one stopped.
    pub async fn next(&mut self) -> Result<Option<Frames>, SourceError> {
        match &mut self.0 {
            SourceKind::File(file) => file.next().await,
            SourceKind::Follow(file) => file.next().await.map(Some),
            SourceKind::Stdin(stdin) => stdin.next().await,
            SourceKind::Generate(generate) => Ok(generate.next().await),
        }
    }

    /// Counts an incomplete record as unfinished or invalid. Call after the last call of [`next`](Self::next).
    pub fn conclude(&mut self) {
        match &mut self.0 {
            SourceKind::Follow(file) => file.conclude(),
            SourceKind::Stdin(stdin) => stdin.conclude(),
            SourceKind::File(_) | SourceKind::Generate(_) => {}
        }
    }

    /// Stops reading from a source that cannot be read again. [`next`](Self::next) still returns the input that was
    /// already read, and then `None`. Returns `false` for other sources, which are not affected.
    pub fn stop(&mut self) -> bool {
        match &mut self.0 {
            SourceKind::Stdin(stdin) => {
                stdin.stop();
                true
            }
            SourceKind::File(_) | SourceKind::Follow(_) | SourceKind::Generate(_) => false,
        }
    }

    /// Returns the counters of the source.
    pub fn counts(&self) -> SourceCounts {
        match &self.0 {
            SourceKind::File(file) => file.counts(),
            SourceKind::Follow(file) => file.counts(),
            SourceKind::Stdin(stdin) => stdin.counts(),
            SourceKind::Generate(generate) => generate.counts(),
        }
    }

    /// Returns whether the source ends without being stopped. Standard input ends when the writing process closes it.
    pub fn is_finite(&self) -> bool {
        match &self.0 {
            SourceKind::File(_) | SourceKind::Stdin(_) => true,
            SourceKind::Follow(_) => false,
            SourceKind::Generate(generate) => generate.is_finite(),
        }
    }
}

/// A sink of records. Writes each record unchanged, followed by `\n`.
#[derive(Debug)]
pub struct Sink(LineWriter);

/// Returns the name of a file for messages: its path, with the texts that came from the environment or a file masked.
///
/// Every message of a connector names its file this way.
fn shown(path: &Path, put_in: &[String]) -> String {
    mask(path.display().to_string(), &secrets(put_in))
}

/// Opens a sink. Creates the file and its folders if they are missing. If the last line of an existing file has no line
/// end, one is added. Messages mask the texts in `put_in`.
///
/// # Errors
/// The file is neither a regular file nor a device, or is not writable.
///
/// # Cancel safety
/// Cancelling may leave folders and an empty file behind.
pub async fn open_sink(config: &SinkConfig, put_in: &[String]) -> Result<Sink, OpenError> {
    match config {
        SinkConfig::File(config) => file::open_for_append(config, put_in).await.map(Sink),
        SinkConfig::Stdout(_) => LineWriter::start("stdout", std::io::stdout()).map(Sink),
    }
}

impl Sink {
    /// Writes a batch with one system call, unless the system accepts less at a time, and returns once it is written.
    ///
    /// # Errors
    /// [`SinkError::Closed`] if the reader has closed the pipe (`| head`), which is a reason to finish and not a
    /// failure. After another error a part of the batch may have been written; the next write is attempted normally.
    ///
    /// A file that cannot be written is retried until writing succeeds.
    ///
    /// # Cancel safety
    /// A cancelled batch is written whole or not at all, and is not counted. Use [`give_up`](Self::give_up) to find out
    /// how much was written.
    pub async fn write(&mut self, batch: &Frames) -> Result<(), SinkError> {
        self.0.write(batch).await
    }

    /// Gives up a cancelled write, within at most [`GIVE_UP_TIME`], and returns the number of leading records of its
    /// batch that were written completely. The sink cannot write afterwards.
    pub async fn give_up(&mut self, batch: &Frames) -> usize {
        self.0.give_up(batch).await
    }

    /// Returns the progress of the writer thread, for observers.
    pub fn progress(&self) -> Arc<Progress> {
        self.0.progress()
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
    pub async fn close(&mut self) -> Result<(), SinkError> {
        self.0.close().await
    }

    /// Returns the counters of the sink.
    pub fn counts(&self) -> SinkCounts {
        self.0.counts()
    }
}
