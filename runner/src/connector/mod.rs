//! The outside ends of the graph: one file a kind.
//!
//! A [`Source`] hands out batches of datums, a [`Sink`] writes them; neither knows streams, stages or the network. What
//! the bytes of a file or of standard input are cut into is decided by the pure cutters in `lines` and `csv`.

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

/// The longest datum a source makes unless told otherwise: 1 MiB, a sixteenth of what a stream carries.
pub const DEFAULT_MAX_DATUM_BYTES: usize = 1024 * 1024;

/// What a source fills a batch up to unless told otherwise: 64 KiB.
pub const DEFAULT_BATCH_BYTES: usize = 64 * 1024;

/// How long a write that was cancelled may take to be given up: 1 s.
pub const GIVE_UP_TIME: Duration = Duration::from_secs(1);

/// What a source must know of the stream it feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceContext {
    /// The encoding of the stream.
    pub encoding: Encoding,
    /// The longest datum, in bytes; default [`DEFAULT_MAX_DATUM_BYTES`]. So long may its JSON be, too, for a stream of
    /// postcard. A line or row that makes a longer one is
    /// passed over to its end and counted as `too_large`. A source holds about twice this at worst.
    pub max_datum_bytes: usize,
    /// A batch is handed out once it has so many bytes, headers included; default [`DEFAULT_BATCH_BYTES`]. It is longer
    /// by one datum at worst.
    pub batch_bytes: usize,
    /// Texts that no message shows, as they came from the environment or a file; default none.
    pub put_in: Vec<String>,
}

impl SourceContext {
    /// For a stream of this encoding, with the default bounds.
    pub fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            max_datum_bytes: DEFAULT_MAX_DATUM_BYTES,
            batch_bytes: DEFAULT_BATCH_BYTES,
            put_in: Vec::new(),
        }
    }
}

/// What a source has handed out and what it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceCounts {
    /// Datums handed out.
    pub datums: u64,
    /// Their bytes, without headers.
    pub bytes: u64,
    /// Lines or rows that would have made a datum longer than allowed.
    pub too_large: u64,
    /// Lines or rows that are not UTF-8 where they must be, have not the header's number of columns, or are not of the
    /// stream's schema.
    pub invalid: u64,
    /// Fields of `csv` that are not of their column's kind: texts in a column of numbers, or numbers that were handed out
    /// before their column turned out to be text.
    pub mixed: u64,
    /// Last lines that had no end when the source was stopped.
    pub unfinished: u64,
    /// Files that had the name that is followed, and were gone before they could be read.
    pub missed_files: u64,
}

/// What a sink has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SinkCounts {
    /// Datums written.
    pub datums: u64,
    /// Their bytes, without line ends.
    pub bytes: u64,
}

/// Where datums come from.
#[derive(Debug)]
pub struct Source(SourceKind);

#[derive(Debug)]
enum SourceKind {
    File(FileReader),
    Follow(Box<Follower>),
    Stdin(StdinReader),
    Generate(Generator),
}

/// Whether a source like this can feed a stream of this encoding: what [`open_source`] asks first, without any I/O.
///
/// # Errors
/// Says which setting is at fault.
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
/// A setting that cannot be; a file that is missing (unless it is followed, then it is waited for), is not a regular file
/// or may not be read.
///
/// # Cancel safety
/// Nothing is left behind.
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
    /// The next batch as soon as there is one; `None` when the source has ended. The batch is empty if the source has
    /// skipped lines, which [`counts`](Self::counts) tells, and has found no record since.
    ///
    /// # Errors
    /// Reading failed, or a header names no columns. The source is of no further use.
    ///
    /// # Cancel safety
    /// Nothing is lost: the next call goes on where this one was.
    pub async fn next(&mut self) -> Result<Option<Frames>, SourceError> {
        match &mut self.0 {
            SourceKind::File(file) => file.next().await,
            SourceKind::Follow(file) => file.next().await.map(Some),
            SourceKind::Stdin(stdin) => stdin.next().await,
            SourceKind::Generate(generate) => Ok(generate.next().await),
        }
    }

    /// Counts what was read and is not a whole record yet, for [`next`](Self::next) is not called any more.
    pub fn conclude(&mut self) {
        match &mut self.0 {
            SourceKind::Follow(file) => file.conclude(),
            SourceKind::Stdin(stdin) => stdin.conclude(),
            SourceKind::File(_) | SourceKind::Generate(_) => {}
        }
    }

    /// Reads nothing more from what cannot be read again. What was read of it already comes from [`next`](Self::next) yet,
    /// and then its end. False for other sources.
    pub fn stop(&mut self) -> bool {
        match &mut self.0 {
            SourceKind::Stdin(stdin) => {
                stdin.stop();
                true
            }
            SourceKind::File(_) | SourceKind::Follow(_) | SourceKind::Generate(_) => false,
        }
    }

    /// What was handed out so far, and what was not.
    pub fn counts(&self) -> SourceCounts {
        match &self.0 {
            SourceKind::File(file) => file.counts(),
            SourceKind::Follow(file) => file.counts(),
            SourceKind::Stdin(stdin) => stdin.counts(),
            SourceKind::Generate(generate) => generate.counts(),
        }
    }

    /// Whether the source ends of its own accord. Standard input does when whoever writes to it closes it.
    pub fn is_finite(&self) -> bool {
        match &self.0 {
            SourceKind::File(_) | SourceKind::Stdin(_) => true,
            SourceKind::Follow(_) => false,
            SourceKind::Generate(generate) => generate.is_finite(),
        }
    }
}

/// Where datums go: each a line, its bytes as they are and a `\n`.
#[derive(Debug)]
pub struct Sink(LineWriter);

/// What messages call a file: its path, without the texts that were put in from the environment or a file.
///
/// Every message of a connector names its file so.
fn shown(path: &Path, put_in: &[String]) -> String {
    mask(path.display().to_string(), &secrets(put_in))
}

/// Opens a sink, whose messages show none of the texts `put_in`; a file's folders are created, and the file if it is missing. A last line
/// without an end gets one.
///
/// # Errors
/// The file is neither a regular file nor a device, or may not be written.
///
/// # Cancel safety
/// Folders and an empty file may be left behind.
pub async fn open_sink(config: &SinkConfig, put_in: &[String]) -> Result<Sink, OpenError> {
    match config {
        SinkConfig::File(config) => file::open_for_append(config, put_in).await.map(Sink),
        SinkConfig::Stdout(_) => LineWriter::start("stdout", std::io::stdout()).map(Sink),
    }
}

impl Sink {
    /// Writes a batch with one system call, unless the system takes less at a time, and returns when it is written.
    ///
    /// # Errors
    /// [`SinkError::Closed`] when nobody reads any more (`| head`): a reason to end, not a failure. After another error
    /// a part of the batch may stand there; the next write is tried anew.
    ///
    /// A file that cannot be written is tried again until it can be.
    ///
    /// # Cancel safety
    /// The batch is written whole or not at all, it is not known which, and not counted; [`give_up`](Self::give_up) tells.
    pub async fn write(&mut self, batch: &Frames) -> Result<(), SinkError> {
        self.0.write(batch).await
    }

    /// Gives up a write that was cancelled, for [`GIVE_UP_TIME`] at most, and says how many datums of its batch, from the
    /// first on, stand there whole. Nothing can be written any more.
    pub async fn give_up(&mut self, batch: &Frames) -> usize {
        self.0.give_up(batch).await
    }

    /// How its writing goes, to look on from elsewhere.
    pub fn progress(&self) -> Arc<Progress> {
        self.0.progress()
    }

    /// Waits until all that was accepted is written; writing after it gives [`SinkError::Closed`].
    ///
    /// A file is not synced to the disk: it outlives this process, not a loss of power.
    ///
    /// # Errors
    /// The writing thread is gone before its time.
    ///
    /// # Cancel safety
    /// Closing goes on; a second call waits for it again.
    pub async fn close(&mut self) -> Result<(), SinkError> {
        self.0.close().await
    }

    /// What was written so far.
    pub fn counts(&self) -> SinkCounts {
        self.0.counts()
    }
}
