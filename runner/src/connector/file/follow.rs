//! A file read from its start and then followed, like `tail -F`.
//!
//! It is waited for while it is missing. When another file takes its name, what was still written to the old one is read
//! first, until one that follows has content: whoever writes has moved on by then. Files that take the name while nobody
//! takes the datums are held open and read in order. When a file is cut short in place or written anew, it is read from
//! its start again; zero bytes there, which a writer leaves that goes on where it was, are passed over. Where content
//! ends, a last line without an end counts as whole.
//!
//! Where reading stood is not kept over a restart: a new follower starts at the start. A file that takes the name and is
//! deleted or moved to another folder between two looks is not seen, and neither is one that is written anew with the same
//! first and last KiB.

use mosaik_streams::Frames;

use super::{
    cut_of,
    opened::{Change, Opened},
    trail::Trail,
};
use crate::{
    connector::{
        OpenError, SourceContext, SourceCounts, SourceError,
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
                    if let Some(batch) = self.intake.finish()? {
                        return Ok(batch);
                    }
                }
                Found::Nothing => self.trail.looked().await,
            }
        }
    }

    pub(in crate::connector) fn counts(&self) -> SourceCounts {
        self.intake.counts()
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
            self.current = self.trail.next(None);
            return Ok(if self.current.is_some() {
                self.step = Step::Read;
                Found::More
            } else {
                Found::Nothing
            });
        };
        if self.step == Step::Leave {
            self.current = self.trail.next(self.current.take());
            self.step = Step::Read;
            self.passes_zeros = false;
            return Ok(Found::End);
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
        Ok(Found::Nothing)
    }
}

#[cfg(test)]
mod tests;
