//! Standard input, read to its end.
//!
//! A single thread per process reads it, because a blocked read cannot be cancelled. Unlike a blocking task, the thread
//! does not delay the shutdown of the runtime. Unlike one thread per source, it does not consume input that belongs to
//! a later source.

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

/// Maximum number of chunks that are read ahead: 4, which is 512 KiB.
const WAITING_CHUNKS: usize = 4;

/// Reads standard input. Several readers read one after the other: each starts with the chunk after the last one that
/// its predecessor cut. Only a line that the predecessor had read in part is lost.
#[derive(Debug)]
pub(super) struct StdinReader {
    pump: Arc<Mutex<Pump>>,
    /// Exclusive access to the input, held from the first read on.
    held: Option<OwnedMutexGuard<Pump>>,
    /// `None` once dropped or ended.
    intake: Option<Intake>,
    /// Final counters, set when reading ends.
    counts: SourceCounts,
    /// Only input that was already read is handed out.
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

    /// Stops reading. Input that the thread has read ahead is still handed out, up to the last complete line.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
        match &mut self.held {
            Some(pump) => pump.stop(),
            // Another source reads the input, or none does.
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

    /// Counts an incomplete record as unfinished or invalid.
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

/// The input, read by a dedicated thread while a reader needs it.
struct Pump {
    /// The input, while no thread reads it.
    input: Option<Box<dyn Input>>,
    /// Set from the first read until the thread has been stopped.
    reading: Option<Reading>,
    /// Input that the last reader received and did not cut.
    rest: Vec<u8>,
}

/// A reading thread.
struct Reading {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    /// Dropping this stops the thread before its next read.
    stop: Option<UnixStream>,
    /// Returns the input when the thread ends.
    thread: JoinHandle<Box<dyn Input>>,
}

impl Pump {
    /// Creates a pump that starts reading `input` at the first call of [`next`](Self::next).
    fn new(input: impl Input + 'static) -> Self {
        Self {
            input: Some(Box::new(input)),
            reading: None,
            rest: Vec::new(),
        }
    }

    /// Returns the next chunk; `None` at the end, or once everything read before [`stop`](Self::stop) has been
    /// returned. Cancel safe.
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
            // The thread has ended and all of its chunks have been received. Another reader can continue.
            self.input = self
                .reading
                .take()
                .and_then(|reading| reading.thread.join().ok());
        }
        Ok(chunk)
    }

    /// Stops reading until the next reader starts.
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
                        // A terminal returns one line at a time: do not keep the memory of a whole chunk for it.
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

/// Waits for input or its end. Returns `false` if reading was stopped in the meantime.
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
