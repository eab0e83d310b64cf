//! A file that is read from its start and then followed, like `tail -F`.
//!
//! A missing file is waited for. When another file takes the path, the rest of the old file is read until one of its
//! successors has content, since the writer has switched to the new file by then. Files that take the path while
//! reading is blocked are queued and read in order: 64 are held open, further ones are known by name. If a file that
//! was read to its end grows again or gets the path back, reading resumes at the old position, between two records of
//! its successor. A file that is truncated or rewritten in place is read from its start; leading zero bytes, which
//! appear when a writer continues at its old offset after a truncation, are skipped. At the end of the content, a last
//! line without a line end counts as complete.
//!
//! Its position is found again after a restart, see [`find`](super::find). Without a checkpoint, reading begins at the
//! start of the file. Two cases are not detected: a file that takes the path and is deleted or moved to another folder between two checks, and a file that
//! is rewritten with the same first and last KiB.

use std::path::PathBuf;

use futures::future::BoxFuture;
use mosaik_streams::Frames;

use super::{
    opened::{Change, Opened},
    position::FilePosition,
    rotated_files::{Resumed, RotatedFiles},
};
use crate::{
    connector::FileSource,
    connector::{
        OpenError, Position, ResumeError, Source, SourceContext, SourceCounts, SourceError,
        format::csv::Header,
        format::intake::{CHUNK_BYTES, Intake},
        format::place::Place,
        shown,
    },
};

/// Follows a file.
#[derive(Debug)]
pub(in crate::connector) struct Follower {
    path: PathBuf,
    /// Name of the file in messages.
    shown: String,
    intake: Intake,
    /// The file being read; `None` while waiting for a file.
    current: Option<Opened>,
    rotated: RotatedFiles,
    step: Step,
    /// Skips zero bytes at the start of content that was, or may have been, rewritten.
    passes_zeros: bool,
    /// Columns of the file with which reading continues.
    header: Option<Header>,
    /// Number of files that could not be read, as reported last.
    missed_files: u64,
}

/// Next action on the current file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Read the next chunk.
    Read,
    /// Everything available has been read. Check the file for new or different content before reading again.
    Look,
    /// The file was rewritten: read it from its start.
    Rewind,
    /// Read the file to its end one last time, then switch to the next file.
    Leave,
}

/// Result of checking the current file at its end.
enum Found {
    /// There is more to read.
    More,
    /// The content has ended: hand out the incomplete last record, if any.
    End,
    Nothing,
}

impl Follower {
    pub(in crate::connector) async fn open(
        config: &FileSource,
        context: &SourceContext,
    ) -> Result<Self, OpenError> {
        let name = shown(&config.path, &context.put_in);
        let intake = Intake::new(name.clone(), config.cut(), context)?;
        let (rotated, current) = RotatedFiles::start(&config.path, &name).await?;
        if current.is_none() {
            tracing::info!(
                file = name,
                "waiting for the file, which does not exist yet"
            );
        }
        Ok(Self {
            path: config.path.clone(),
            shown: name,
            intake,
            current,
            rotated,
            step: Step::Read,
            passes_zeros: true,
            header: None,
            missed_files: 0,
        })
    }

    async fn batch(&mut self) -> Result<Frames, SourceError> {
        loop {
            if let Some(batch) = self.intake.cut()? {
                return Ok(batch);
            }
            if self.step != Step::Look && self.read().await? {
                continue;
            }
            match self.look().await? {
                Found::More => {}
                Found::End => {
                    let last = self.intake.finish()?;
                    if let Some(header) = self.header.take() {
                        self.intake.go_on_with(header);
                    }
                    if let Some(batch) = last {
                        return Ok(batch);
                    }
                }
                Found::Nothing => {
                    let missed = self.rotated.missed_files();
                    if missed != std::mem::replace(&mut self.missed_files, missed) {
                        return Ok(Frames::default());
                    }
                    self.rotated.looked().await;
                }
            }
        }
    }

    /// Counts incomplete input after the last call of `next`: a last line without a line end as unfinished, and the
    /// lines inside an open quote as invalid.
    fn conclude_files(&mut self) {
        // Before the end of the available data, the input read so far may end in the middle of any line.
        if self.step == Step::Look {
            self.intake.conclude();
        }
    }

    fn describe(&self) -> FilePosition {
        let (unread, place) = self.intake.place();
        let mut position = FilePosition::new(self.shown.clone(), place);
        (position.waiting, position.left) = self.rotated.read_files();
        position.zeros = self.passes_zeros;
        match &self.current {
            Some(current) if self.step == Step::Rewind => {
                position.file = Some(current.start_mark());
                position.zeros = true;
            }
            Some(current) => {
                position.file = Some(current.file_mark());
                position.offset = current.position() - unread;
            }
            None => {}
        }
        position
    }

    /// Goes on in the file of a position and its successors.
    async fn resume_at(&mut self, position: FilePosition) -> Result<(), ResumeError> {
        let shown = self.shown.clone();
        let failed =
            |reason: String| ResumeError::new(format!("{shown} cannot be read on: {reason}"));
        let is_begun = position.offset > 0 && !position.zeros;
        let (mut place, zeros) = (position.place.clone(), position.zeros);
        let had_file = position.file.is_some();
        let intake = &self.intake;
        let header_of = |columns: &[_]| intake.header_of(columns).ok().flatten();
        let resumed = RotatedFiles::start_at(&self.path, &shown, position, header_of).await;
        let (rotated, current, missed) = resumed.map_err(|error| failed(error.to_string()))?;
        let is_gone = had_file && current.is_none();
        if is_gone {
            place = Place {
                is_refused: false,
                ..place
            };
        }
        let placed = self.intake.resume(&place, is_begun);
        placed.map_err(|error| failed(error.to_string()))?;
        if is_gone {
            // What follows is other content, with the same columns.
            let ended = self.intake.finish();
            ended.map_err(|error| failed(error.to_string()))?;
        }
        if !missed.is_empty() {
            tracing::warn!(file = shown, "{}", missed.join("; "));
        }
        (self.rotated, self.current) = (rotated, current);
        self.step = Step::Read;
        self.passes_zeros = zeros && !is_gone;
        Ok(())
    }

    fn count(&self) -> SourceCounts {
        SourceCounts {
            missed_files: self.rotated.missed_files(),
            ..self.intake.counts()
        }
    }

    /// Reads a chunk and returns whether it contained any bytes.
    async fn read(&mut self) -> Result<bool, SourceError> {
        let Some(current) = &mut self.current else {
            return Ok(false);
        };
        if self.step == Step::Rewind {
            let rewound = current.rewind().await;
            rewound.map_err(|error| self.intake.read_error(error))?;
            self.step = Step::Read;
            self.passes_zeros = true;
        }
        let buffer = self.intake.buffer();
        match current.read(buffer).await {
            Ok(read) => {
                if self.step == Step::Read && read < CHUNK_BYTES {
                    self.step = Step::Look;
                }
                if self.passes_zeros && read > 0 {
                    let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
                    self.passes_zeros = zeros == read;
                    buffer.drain(..zeros);
                }
                Ok(read > 0)
            }
            Err(error) => Err(self.intake.read_error(error)),
        }
    }

    /// Determines the next step after all available data has been read.
    async fn look(&mut self) -> Result<Found, SourceError> {
        let Some(current) = &mut self.current else {
            let next = self.rotated.next();
            return Ok(next.map_or(Found::Nothing, |next| self.begin(next)));
        };
        if self.step == Step::Leave {
            self.step = Step::Look;
            let Some(next) = self.rotated.next() else {
                // The next file is not open yet.
                return Ok(Found::Nothing);
            };
            if let Some(current) = self.current.take() {
                self.rotated.leave(current, self.intake.header());
            }
            return Ok(self.begin(next));
        }
        self.step = Step::Look;
        let change = current.look().await;
        match change.map_err(|error| self.intake.read_error(error))? {
            Change::Grown => {
                self.step = Step::Read;
                return Ok(Found::More);
            }
            Change::Rewritten => {
                self.step = Step::Rewind;
                return Ok(Found::End);
            }
            Change::None => {}
        }
        let goes_on = self.rotated.goes_on().await;
        if goes_on.map_err(|error| self.intake.read_error(error))? {
            self.step = Step::Leave;
            return Ok(Found::More);
        }
        // Resume files that have grown only at a record boundary.
        if self.intake.held().is_some() {
            return Ok(Found::Nothing);
        }
        let grown = self.rotated.left_and_grown().await;
        let grown = grown.map_err(|error| self.intake.read_error(error))?;
        let Some(resumed) = grown.and_then(|grown| self.rotated.resume(grown)) else {
            return Ok(Found::Nothing);
        };
        if let Some(current) = self.current.take() {
            self.rotated.pause(current, self.intake.header());
        }
        Ok(self.begin(resumed))
    }

    /// Switches to another file after the content of the previous one has ended.
    fn begin(&mut self, (file, header): Resumed) -> Found {
        // A file that was read before is checked for changes before reading resumes.
        self.step = if file.position() == 0 {
            Step::Read
        } else {
            Step::Look
        };
        self.passes_zeros = false;
        self.header = header;
        self.current = Some(file);
        Found::End
    }
}

impl Source for Follower {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frames>, SourceError>> {
        Box::pin(async { self.batch().await.map(Some) })
    }

    fn conclude(&mut self) {
        self.conclude_files();
    }

    fn position(&self) -> Option<Position> {
        self.describe().to_json()
    }

    fn resume<'a>(&'a mut self, position: &'a Position) -> BoxFuture<'a, Result<(), ResumeError>> {
        Box::pin(async move {
            let position = FilePosition::of_json(&self.shown, position)?;
            self.resume_at(position).await
        })
    }

    fn counts(&self) -> SourceCounts {
        self.count()
    }

    fn is_finite(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
