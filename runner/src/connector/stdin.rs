//! Standard input, read to its end.
//!
//! One thread of the process reads it, since a read that waits cannot be taken back: it neither holds up the end of the
//! runtime, as a blocking task would, nor swallows what a later source should get, as a thread a source would.

use std::{
    fmt,
    io::{self, Read},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
};

use mosaik_streams::Frames;
use rustix::event::{PollFd, PollFlags, poll};
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
    /// Nothing more is read than what was read already.
    is_stopping: bool,
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
            is_stopping: false,
        })
    }

    /// Reads nothing more. What the thread has read ahead is handed out yet, up to the last whole line.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
        match &mut self.held {
            Some(pump) => pump.stop(),
            // Another source reads, or none.
            None => self.intake = None,
        }
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
            let last = if self.is_stopping {
                intake.conclude();
                None
            } else {
                intake.finish()?
            };
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

trait Input: Read + AsFd + Send {}

impl<T: Read + AsFd + Send> Input for T {}

/// What is read, by a thread of its own while somebody wants it.
struct Pump {
    /// While no thread reads it.
    input: Option<Box<dyn Input>>,
    /// From the first read on, until it is stopped.
    reading: Option<Reading>,
    /// What the last reader was given and did not cut.
    rest: Vec<u8>,
}

/// A thread that reads.
struct Reading {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    /// The thread ends before its next read once this is dropped.
    stop: Option<UnixStream>,
    /// Gives the input back.
    thread: JoinHandle<Box<dyn Input>>,
}

impl Pump {
    /// Reads `input` from the first [`next`](Self::next) on.
    fn new(input: impl Input + 'static) -> Self {
        Self {
            input: Some(Box::new(input)),
            reading: None,
            rest: Vec::new(),
        }
    }

    /// The next chunk; `None` at the end, or when all that was read before [`stop`](Self::stop) was given. Cancel safe.
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        if let Some(input) = self.input.take() {
            self.reading = Some(Reading::start(input)?);
        }
        let Some(reading) = &mut self.reading else {
            return Ok(None);
        };
        let chunk = reading.chunks.recv().await.transpose()?;
        if chunk.is_none() && reading.stop.is_none() {
            // It has ended, having sent all that it read. Another reader may go on.
            self.input = self
                .reading
                .take()
                .and_then(|reading| reading.thread.join().ok());
        }
        Ok(chunk)
    }

    /// Reads nothing more until the next reader comes.
    fn stop(&mut self) {
        if let Some(reading) = &mut self.reading {
            reading.stop = None;
        }
    }
}

impl Reading {
    fn start(mut input: Box<dyn Input>) -> io::Result<Self> {
        let (sender, chunks) = mpsc::channel(WAITING_CHUNKS);
        let (stop, stopped) = UnixStream::pair()?;
        let run = move || {
            while has_input(&input, &stopped) {
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = match input.read(&mut chunk) {
                    Ok(0) => break,
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
                    break;
                }
            }
            input
        };
        Ok(Self {
            chunks,
            stop: Some(stop),
            thread: thread::Builder::new().name("stdin".to_owned()).spawn(run)?,
        })
    }
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump").finish_non_exhaustive()
    }
}

/// Waits until there is something to read, or the end; false if it was stopped meanwhile.
fn has_input(input: &impl AsFd, stopped: &UnixStream) -> bool {
    let mut fds = [
        PollFd::new(input, PollFlags::IN),
        PollFd::new(stopped, PollFlags::IN),
    ];
    while let Err(error) = poll(&mut fds, None) {
        if error != rustix::io::Errno::INTR {
            return true;
        }
    }
    fds[1].revents().is_empty()
}

#[cfg(test)]
mod tests;
