//! Appends lines to a file, and keeps working when the file is deleted or renamed, or while the disk is full.
//!
//! Each record is written whole, on a line of its own; a record that was written in part is written again. Existing
//! content is never truncated: if the last line has no line end, one is added first.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
};

use super::{columns, durable::Durable, off_thread, opened::Identity};
use crate::{
    connector::{
        CsvEncoder, FileSink, OpenError, OutputHeader, Position, ResumeError, SinkContext,
        format::csv::{encoder::Heading, settings::Dialect},
        line_writer::{LineWriter, Outlet, Progress},
        shown,
    },
    files,
};

/// Interval of the check that the path still refers to the open file: 1 s.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// First pause after a failure: 50 ms. Each later pause is twice as long as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause: 5 s.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Interval of the check, during a pause, that the write has not been given up: 20 ms.
const STEP: Duration = Duration::from_millis(20);

/// Incremented to make every sink reopen its file.
static REOPENED: AtomicU64 = AtomicU64::new(0);

/// Makes every file sink check its path before the next batch and reopen the file if needed, for use after a log
/// rotation.
pub(crate) fn reopen_all() {
    REOPENED.fetch_add(1, Ordering::Relaxed);
}

/// Opens a file for appending. Creates missing folders.
pub(in crate::connector) async fn open_for_append(
    config: &FileSink,
    context: &SinkContext,
) -> Result<LineWriter, OpenError> {
    let shown = shown(&config.path, &context.put_in);
    let name = shown.clone();
    let csv = config.csv(context.is_json());
    let open = move |path: &Path| {
        let csv = csv.map(|(dialect, csv)| encoder_for(path, dialect, &csv.header));
        let encoder = csv.transpose()?;
        let heading = encoder.as_ref().and_then(CsvEncoder::heading);
        Ok((Appender::open(path, shown, heading)?, encoder))
    };
    let (file, encoder) = off_thread(&config.path, open).await?;
    Ok(LineWriter::start(&name, file)?.with_encoder(encoder))
}

/// Creates the encoder for a file, with the columns of its first line if it has any and begins with their names.
fn encoder_for(
    path: &Path,
    dialect: Dialect,
    header: &OutputHeader,
) -> Result<CsvEncoder, OpenError> {
    let mut encoder = CsvEncoder::new(dialect, header);
    if let Some(found) = columns::first_line(path, dialect) {
        let is_same = match header {
            OutputHeader::Names(names) => *names == found,
            OutputHeader::FirstRecord => encoder.set_columns(&found).is_ok(),
            OutputHeader::None => true,
        };
        if !is_same {
            let path = path.to_owned();
            return Err(OpenError::Columns { path });
        }
    }
    Ok(encoder)
}

/// Progress of writing a batch.
#[derive(Debug, Default)]
struct Done {
    bytes: usize,
    /// The part of `bytes` that was written to earlier files, which no longer have the path.
    in_earlier_files: usize,
}

/// Appends to the file that currently has the path.
#[derive(Debug)]
struct Appender {
    path: PathBuf,
    /// Name of the file in messages.
    shown: String,
    /// `None` after the file was found missing, until it is reopened.
    file: Option<File>,
    /// The first file was created by this process.
    is_new: bool,
    durable: Durable,
    /// Nothing has been written to the file yet. A sink may open the file while its predecessor still writes to it, so
    /// the end of the file is inspected before the first write.
    is_fresh: bool,
    /// The line at the beginning of each file.
    heading: Option<Heading>,
    looked: Instant,
    reopened: u64,
}

impl Appender {
    fn open(path: &Path, shown: String, heading: Option<Heading>) -> Result<Self, OpenError> {
        let failed = |source: io::Error| OpenError::File {
            path: path.to_owned(),
            source,
        };
        let found = std::fs::metadata(path);
        let is_new = found.is_err();
        if found.is_ok_and(|found| files::appendable(&found).is_err()) {
            return Err(OpenError::NotAFile {
                path: path.to_owned(),
            });
        }
        let mut durable = Durable::default();
        durable.opens(path);
        Ok(Self {
            path: path.to_owned(),
            shown,
            file: Some(open(path).map_err(failed)?),
            is_new,
            durable,
            is_fresh: true,
            heading,
            looked: Instant::now(),
            reopened: REOPENED.load(Ordering::Relaxed),
        })
    }

    /// Closes the file if the path no longer refers to it.
    fn look(&mut self) -> io::Result<()> {
        let reopened = REOPENED.load(Ordering::Relaxed);
        let Some(file) = &self.file else {
            return Ok(());
        };
        if reopened == self.reopened && self.looked.elapsed() < LOOK_INTERVAL {
            return Ok(());
        }
        (self.reopened, self.looked) = (reopened, Instant::now());
        let ours = Identity::from(&file.metadata()?);
        let is_ours =
            std::fs::metadata(&self.path).is_ok_and(|found| Identity::from(&found) == ours);
        if !is_ours {
            tracing::info!(
                file = self.shown,
                "reopened: the file was renamed or deleted"
            );
            self.durable.leaves(self.file.take());
        }
        Ok(())
    }

    /// Writes the rest of a batch.
    fn write_rest(&mut self, lines: &[u8], done: &mut Done, progress: &Progress) -> io::Result<()> {
        self.look()?;
        let file = if let Some(file) = &mut self.file {
            file
        } else {
            self.durable.opens(&self.path);
            let file = open(&self.path)?;
            // A record that was written in part to the previous file is written again in full.
            let whole = lines[..done.bytes].iter().rposition(|byte| *byte == b'\n');
            done.bytes = whole.map_or(0, |end| end + 1);
            done.in_earlier_files = done.bytes;
            self.is_fresh = true;
            self.file.insert(file)
        };
        if self.is_fresh {
            end_last_line(file, &self.path, &self.shown)?;
            begin_with(file, self.heading.as_ref())?;
            self.is_fresh = false;
        }
        while done.bytes < lines.len() {
            match file.write(&lines[done.bytes..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done.bytes += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // Data written to a file that was deleted during the write is lost, so it is written again.
        if file.metadata()?.nlink() == 0 {
            done.bytes = done.in_earlier_files;
            self.file = None;
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the file was deleted",
            ));
        }
        progress.stands(done.bytes);
        Ok(())
    }
}

impl Outlet for Appender {
    fn sync(&mut self) -> io::Result<Option<Position>> {
        self.durable.sync(self.file.as_ref(), &self.shown)
    }

    fn resume(&mut self, durable: &Position) -> Result<(), ResumeError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        Durable::resume(&self.path, &self.shown, file, self.is_new, durable)
    }

    fn write_lines(&mut self, lines: &[u8], progress: &Progress) -> io::Result<()> {
        let mut done = Done::default();
        let mut pause = PAUSE_MIN;
        let mut reported = None;
        loop {
            let error = match self.write_rest(lines, &mut done, progress) {
                Ok(()) => break,
                Err(error) => error,
            };
            progress.stands(done.bytes);
            if self.file.is_none() && error.kind() == io::ErrorKind::NotFound && reported.is_none()
            {
                // The file was deleted: create it again immediately.
                reported = Some(io::ErrorKind::NotFound);
                continue;
            }
            if reported.replace(error.kind()) != Some(error.kind()) {
                tracing::warn!(
                    file = self.shown,
                    "cannot write: {error}; retrying until it succeeds"
                );
            }
            progress.set_obstacle(Some(format!("{error}: cannot write to {}", self.shown)));
            let until = Instant::now() + pause;
            while Instant::now() < until {
                if progress.is_given_up() {
                    return Err(error);
                }
                thread::sleep(STEP);
            }
            pause = (pause * 2).min(PAUSE_MAX);
            // Makes the next attempt check which file has the path.
            self.looked = Instant::now()
                .checked_sub(LOOK_INTERVAL)
                .unwrap_or(self.looked);
        }
        if progress.obstacle().is_some() {
            tracing::info!(file = self.shown, "writes again");
            progress.set_obstacle(None);
        }
        Ok(())
    }
}

/// Opens a file at its end. Creates missing folders. If the path is now a pipe, this fails instead of waiting for a
/// reader of the pipe.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    let at_once = OFlags::NONBLOCK.bits().cast_signed();
    let file = match options.custom_flags(at_once).open(path) {
        // No process reads the pipe.
        Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
            return Err(files::not_regular());
        }
        opened => opened?,
    };
    files::appendable(&file.metadata()?)?;
    let flags = fcntl_getfl(&file)?;
    fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

fn end_last_line(file: &mut File, path: &Path, shown: &str) -> io::Result<()> {
    if file.metadata()?.is_file() && !ends_a_line(path)? {
        tracing::warn!(file = shown, "added the missing end of its last line");
        file.write_all(b"\n")?;
    }
    Ok(())
}

/// Writes the heading to an empty file. The file stays empty if that fails.
fn begin_with(file: &mut File, heading: Option<&Heading>) -> io::Result<()> {
    let Some(line) = heading.and_then(|heading| heading.get()) else {
        return Ok(());
    };
    let found = file.metadata()?;
    if found.is_file() && found.len() > 0 {
        return Ok(());
    }
    let written = file.write_all(line);
    if written.is_err() && found.is_file() {
        file.set_len(0)?;
    }
    written
}

fn ends_a_line(path: &Path) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        // A file without read permission is used without inspecting its last byte.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(true),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

#[cfg(test)]
mod tests;
