//! A file read from its start and then followed, like `tail -F`.
//!
//! It is waited for while it is missing. When another file takes its name, what was still written to the old one is read
//! first, until one that follows has content: whoever writes has moved on by then. Files that take the name while nobody
//! takes the records are held open, or known by their names beyond 64, and read in order. A file that was left and grows
//! is read on from where it was left, between two records of its successor, and so is one that gets the name back. When a
//! file is cut short in place or written anew, it is read from its start again; zero bytes there, which a writer leaves
//! that goes on where it was, are passed over. Where content ends, a last line without an end counts as whole.
//!
//! Where reading stood is not kept over a restart: a new follower starts at the start. A file that takes the name and is
//! deleted or moved to another folder between two looks is not seen, and neither is one that is written anew with the same
//! first and last KiB.

use mosaik_streams::Frames;

use super::{
    cut_of,
    opened::{Change, Opened},
    trail::{Resumed, Trail},
};
use crate::{
    connector::{
        OpenError, SourceContext, SourceCounts, SourceError,
        csv::Header,
        intake::{CHUNK_BYTES, Intake},
        shown,
    },
    manifest::connector::FileSource,
};

/// Follows a file.
#[derive(Debug)]
pub(in crate::connector) struct Follower {
    intake: Intake,
    /// The file being read; none while it is waited for.
    current: Option<Opened>,
    trail: Trail,
    step: Step,
    /// Zero bytes are passed over, at the start of content that was or may have been written anew.
    passes_zeros: bool,
    /// The columns of the file that is gone on with.
    header: Option<Header>,
    /// Files that could not be read, as was told last.
    missed_files: u64,
}

/// What is done with the current file next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is read.
    Read,
    /// It is looked at before anything is read again, since it may be other content by then: all that was there is read.
    Look,
    /// It was written anew: it is read from its start.
    Rewind,
    /// It is read to its end a last time, then left for the next.
    Leave,
}

/// What a look at the end of the current file has found.
enum Found {
    /// There is more to read.
    More,
    /// The content has ended: what it left is handed out.
    End,
    Nothing,
}

impl Follower {
    pub(in crate::connector) async fn open(
        config: &FileSource,
        context: &SourceContext,
    ) -> Result<Self, OpenError> {
        let name = shown(&config.path, &context.put_in);
        let intake = Intake::new(name.clone(), cut_of(config), context)?;
        let (trail, current) = Trail::start(&config.path, &name).await?;
        if current.is_none() {
            tracing::info!(file = name, "waiting for the file, which is not there yet");
        }
        Ok(Self {
            intake,
            current,
            trail,
            step: Step::Read,
            passes_zeros: true,
            header: None,
            missed_files: 0,
        })
    }

    pub(in crate::connector) async fn next(&mut self) -> Result<Frames, SourceError> {
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
                    let missed = self.trail.missed_files();
                    if missed != std::mem::replace(&mut self.missed_files, missed) {
                        return Ok(Frames::default());
                    }
                    self.trail.looked().await;
                }
            }
        }
    }

    /// Counts what was read and is not whole yet, for the follower is not asked any more. A last line without an end stands
    /// in the file; lines within an open quote were taken for a part of a record.
    pub(in crate::connector) fn conclude(&mut self) {
        // Before all is read, what was read ends anywhere.
        if self.step == Step::Look {
            self.intake.conclude();
        }
    }

    pub(in crate::connector) fn counts(&self) -> SourceCounts {
        SourceCounts {
            missed_files: self.trail.missed_files(),
            ..self.intake.counts()
        }
    }

    /// Reads a chunk; whether there was any.
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

    /// Finds out what is next, after all that was there is read.
    async fn look(&mut self) -> Result<Found, SourceError> {
        let Some(current) = &mut self.current else {
            let next = self.trail.next();
            return Ok(next.map_or(Found::Nothing, |next| self.begin(next)));
        };
        if self.step == Step::Leave {
            self.step = Step::Look;
            let Some(next) = self.trail.next() else {
                // It is yet to be opened.
                return Ok(Found::Nothing);
            };
            if let Some(current) = self.current.take() {
                self.trail.leave(current, self.intake.header());
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
        let goes_on = self.trail.goes_on().await;
        if goes_on.map_err(|error| self.intake.read_error(error))? {
            self.step = Step::Leave;
            return Ok(Found::More);
        }
        // What a file that was left has got is read between two records.
        if self.intake.held().is_some() {
            return Ok(Found::Nothing);
        }
        let grown = self.trail.left_and_grown().await;
        let grown = grown.map_err(|error| self.intake.read_error(error))?;
        let Some(resumed) = grown.and_then(|grown| self.trail.resume(grown)) else {
            return Ok(Found::Nothing);
        };
        if let Some(current) = self.current.take() {
            self.trail.pause(current, self.intake.header());
        }
        Ok(self.begin(resumed))
    }

    /// Goes on with another file, after the content of the last one has ended.
    fn begin(&mut self, (file, header): Resumed) -> Found {
        // One that was read before is looked at before more of it is read.
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

#[cfg(test)]
mod tests;
