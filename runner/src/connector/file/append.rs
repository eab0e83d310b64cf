//! Appends lines to a file, and keeps working when the file is deleted or renamed. A failed attempt, as on a full disk,
//! can be repeated.
//!
//! Each record is written whole, on a line of its own; the next attempt continues a record that was written in part.
//! Existing content is never truncated: if the last line has no line end, one is added first.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
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
        SinkErrorKind,
        format::csv::{encoder::Heading, settings::Dialect},
        line_writer::{LineWriter, Outlet, Progress},
        shown,
    },
    files,
};

/// Interval of the check that the path still refers to the open file: 1 s.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
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

    /// Writes lines from this offset on. A line that was begun in an earlier file is written in full.
    fn write_from(&mut self, lines: &[u8], from: usize, progress: &Progress) -> io::Result<()> {
        self.look()?;
        let (file, mut done) = if let Some(file) = &mut self.file {
            (file, from)
        } else {
            self.durable.opens(&self.path);
            let file = open(&self.path)?;
            self.is_fresh = true;
            (self.file.insert(file), 0)
        };
        progress.stands(done);
        if self.is_fresh {
            end_last_line(file, &self.path, &self.shown)?;
            begin_with(file, self.heading.as_ref())?;
            self.is_fresh = false;
        }
        while done < lines.len() {
            match file.write(&lines[done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            progress.stands(done);
        }
        // Data written to a file that was deleted during the write is lost, so it is written again.
        if file.metadata()?.nlink() == 0 {
            progress.stands(0);
            self.file = None;
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the file was deleted",
            ));
        }
        Ok(())
    }
}

impl Outlet for Appender {
    const FAILURES: SinkErrorKind = SinkErrorKind::Passing;

    fn sync(&mut self) -> io::Result<Option<Position>> {
        self.durable.sync(self.file.as_ref(), &self.shown)
    }

    fn resume(&mut self, durable: &Position) -> Result<(), ResumeError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        Durable::resume(&self.path, &self.shown, file, self.is_new, durable)
    }

    fn write_lines(&mut self, lines: &[u8], from: usize, progress: &Progress) -> io::Result<()> {
        let mut written = self.write_from(lines, from, progress);
        let is_deleted = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        if self.file.is_none() && written.as_ref().is_err_and(is_deleted) {
            // The file was deleted: create it again immediately.
            written = self.write_from(lines, from, progress);
        }
        if written.is_err() {
            // Makes the next attempt check which file has the path.
            self.looked = Instant::now()
                .checked_sub(LOOK_INTERVAL)
                .unwrap_or(self.looked);
        }
        written
    }

    fn end_line(&mut self, begun: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let found = file.metadata()?;
        let len = found.len().checked_sub(begun.len() as u64);
        match len.filter(|_| found.is_file()) {
            // Its end is what this sink wrote.
            Some(len) if ends_with(&self.path, &found, len, begun)? => file.set_len(len),
            _ => file.write_all(b"\n"),
        }
    }
}

/// Returns whether a file still has the path, and ends with these bytes at this offset.
fn ends_with(path: &Path, file: &Metadata, at: u64, end: &[u8]) -> io::Result<bool> {
    let named = match File::open(path) {
        Ok(named) => named,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(error),
    };
    if Identity::from(&named.metadata()?) != Identity::from(file) {
        return Ok(false);
    }
    let mut found = vec![0; end.len()];
    named.read_exact_at(&mut found, at)?;
    Ok(found == end)
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
