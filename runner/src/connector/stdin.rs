//! Standard input, read to its end.
//!
//! One thread of the process reads it, since a read that waits cannot be taken back: it neither holds up the end of the
//! runtime, as a blocking task would, nor swallows what a later source should get, as a thread a source would.

use std::{
    io::{self, Read},
    sync::{Arc, OnceLock},
    thread,
};

use mosaik_streams::Frames;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};

use super::{
    ConfigError, SourceContext, SourceCounts, SourceError,
    framing::Cut,
    intake::{CHUNK_BYTES, Intake},
};
use crate::manifest::connector::StdinSource;

/// Chunks that were read and wait to be taken: 4, half a MiB at worst.
const WAITING_CHUNKS: usize = 4;

/// Reads standard input. If there are several, one after the other: the next starts where its predecessor was dropped,
/// after whole chunks; only a line that was half taken is lost with it.
#[derive(Debug)]
pub(super) struct StdinReader {
    pump: Arc<Mutex<Pump>>,
    /// The right to read, from the first read on.
    held: Option<OwnedMutexGuard<Pump>>,
    /// None once dropped or ended.
    intake: Option<Intake>,
    /// What was counted when reading ended.
    counts: SourceCounts,
}

impl StdinReader {
    pub(super) fn open(config: &StdinSource, context: &SourceContext) -> Result<Self, ConfigError> {
        static STDIN: OnceLock<Arc<Mutex<Pump>>> = OnceLock::new();
        let pump = STDIN.get_or_init(|| Arc::new(Mutex::new(Pump::new(io::stdin()))));
        Self::of(Arc::clone(pump), config, context)
    }

    fn of(
        pump: Arc<Mutex<Pump>>,
        config: &StdinSource,
        context: &SourceContext,
    ) -> Result<Self, ConfigError> {
        let cut = Cut {
            format: config.format,
            delimiter: config.delimiter,
        };
        let intake = Intake::new("stdin".to_owned(), cut, context)?;
        Ok(Self {
            pump,
            held: None,
            intake: Some(intake),
            counts: SourceCounts::default(),
        })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Frames>, SourceError> {
        let Some(intake) = &mut self.intake else {
            return Ok(None);
        };
        let pump = match &mut self.held {
            Some(pump) => pump,
            held => held.insert(Arc::clone(&self.pump).lock_owned().await),
        };
        loop {
            if let Some(batch) = intake.cut()? {
                return Ok(Some(batch));
            }
            if let Some(chunk) = pump
                .next()
                .await
                .map_err(|error| intake.read_error(error))?
            {
                intake.feed(chunk);
                continue;
            }
            let last = intake.finish()?;
            self.counts = intake.counts();
            self.intake = None;
            self.held = None;
            return Ok(last);
        }
    }

    /// Counts what was read and is not whole yet.
    pub(super) fn conclude(&mut self) {
        if let Some(intake) = &mut self.intake {
            intake.conclude();
        }
    }

    pub(super) fn counts(&self) -> SourceCounts {
        self.intake.as_ref().map_or(self.counts, Intake::counts)
    }
}

impl Drop for StdinReader {
    fn drop(&mut self) {
        if let (Some(pump), Some(intake)) = (&mut self.held, self.intake.take()) {
            pump.rest = intake.into_rest();
        }
    }
}

/// What the reading thread has read.
#[derive(Debug)]
struct Pump {
    /// The thread's end of the matter, until the first read.
    start: Option<Start>,
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    /// What the last reader was given and did not cut.
    rest: Vec<u8>,
}

struct Start(Box<dyn FnOnce() -> io::Result<()> + Send>);

impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Start")
    }
}

impl Pump {
    /// Will read `input` from the first [`next`](Self::next) on.
    fn new(mut input: impl Read + Send + 'static) -> Self {
        let (sender, chunks) = mpsc::channel(WAITING_CHUNKS);
        let run = move || {
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = match input.read(&mut chunk) {
                    Ok(0) => return,
                    Ok(len) => {
                        chunk.truncate(len);
                        // A terminal gives a line at a time, which should not hold a whole chunk's memory.
                        chunk.shrink_to_fit();
                        Ok(chunk)
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = read.is_err();
                if sender.blocking_send(read).is_err() || failed {
                    return;
                }
            }
        };
        let start = move || {
            thread::Builder::new()
                .name("stdin".to_owned())
                .spawn(run)
                .map(drop)
        };
        Self {
            start: Some(Start(Box::new(start))),
            chunks,
            rest: Vec::new(),
        }
    }

    /// The next chunk; `None` at the end. Cancel safe.
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(Start(start)) = self.start.take() {
            start()?;
        }
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        self.chunks.recv().await.transpose()
    }
}

#[cfg(test)]
mod tests;
