//! Standard input, read to its end.
//!
//! A single thread per process reads it, because a blocked read cannot be cancelled. Unlike a blocking task, the thread
//! does not delay the shutdown of the runtime. Unlike one thread per source, it does not consume input that belongs to
//! a later source.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use memchr::memrchr;
use mosaik_streams::{Encoding, Frames};
use rustix::{
    event::{PollFd, PollFlags, poll},
    time::Timespec,
};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};

use super::StdinSource;
use crate::connector::{
    ConfigError, Source, SourceContext, SourceCounts, SourceError,
    format::{
        csv::Header,
        intake::{CHUNK_BYTES, Intake},
    },
};

/// Maximum number of chunks that are read ahead: 4, which is 512 KiB.
const WAITING_CHUNKS: usize = 4;
/// Time for which the rest of a line is waited for at a stop: 900 ms.
const LINE_TIME: Duration = Duration::from_millis(900);
/// The longest rest of a line that is read at a stop: 16 MiB.
const LINE_MAX: usize = 16 << 20;

/// Reads standard input. Several readers read one after the other: each continues where its predecessor was dropped, after
/// whole lines, with the predecessor's columns of `csv`. Only rows within a quote that is open then are cut off.
#[derive(Debug)]
pub(super) struct StdinReader {
    pump: Arc<Mutex<Pump>>,
    /// Exclusive access to the input, held from the first read on.
    held: Option<OwnedMutexGuard<Pump>>,
    /// `None` once dropped or ended.
    intake: Option<Intake>,
    /// The beginning of a line whose end was not read yet.
    begun: Vec<u8>,
    /// Bytes of a longer beginning, which is cut at once and refused.
    begun_max: usize,
    encoding: Encoding,
    /// Final counters, set when reading ends.
    counts: SourceCounts,
    /// Only input that was already read is handed out.
    is_stopping: bool,
}

impl StdinReader {
    pub(super) fn open(config: &StdinSource, context: &SourceContext) -> Result<Self, ConfigError> {
        static STDIN: OnceLock<Arc<Mutex<Pump>>> = OnceLock::new();
        let pump = STDIN.get_or_init(|| {
            // Without the buffer of `io::stdin`, which would read on behind a line.
            let input = io::stdin().as_fd().try_clone_to_owned().map(File::from);
            let pump = input.map_or_else(|_| Pump::new(io::stdin()), Pump::new);
            Arc::new(Mutex::new(pump))
        });
        Self::of(Arc::clone(pump), config, context)
    }

    fn of(
        pump: Arc<Mutex<Pump>>,
        config: &StdinSource,
        context: &SourceContext,
    ) -> Result<Self, ConfigError> {
        let intake = Intake::new("stdin".to_owned(), config.cut(), context)?;
        Ok(Self {
            pump,
            held: None,
            intake: Some(intake),
            begun: Vec::new(),
            begun_max: context.max_datum_bytes.saturating_add(2),
            encoding: context.encoding.clone(),
            counts: SourceCounts::default(),
            is_stopping: false,
        })
    }

    /// Stops reading. Input that the thread has read ahead is still handed out, up to the last complete line.
    fn stop_reading(&mut self) {
        self.is_stopping = true;
        match &mut self.held {
            Some(pump) => pump.stop(),
            // Another source reads the input, or none does.
            None => self.intake = None,
        }
    }

    async fn read(&mut self) -> Result<Option<Frames>, SourceError> {
        let Some(intake) = &mut self.intake else {
            return Ok(None);
        };
        let pump = match &mut self.held {
            Some(pump) => pump,
            held => {
                let mut pump = Arc::clone(&self.pump).lock_owned().await;
                if let Some((encoding, header)) = pump.columns.take()
                    && encoding == self.encoding
                {
                    intake.go_on_with(header);
                }
                held.insert(pump)
            }
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
                let whole = memrchr(b'\n', &chunk).map(|end| self.begun.len() + end + 1);
                let mut input = std::mem::take(&mut self.begun);
                if input.is_empty() {
                    input = chunk;
                } else {
                    input.extend_from_slice(&chunk);
                }
                match whole {
                    Some(whole) => {
                        self.begun = input.split_off(whole);
                        intake.feed(input);
                    }
                    None if input.len() <= self.begun_max => self.begun = input,
                    None => intake.feed(input),
                }
                continue;
            }
            if !self.is_stopping && !self.begun.is_empty() {
                intake.feed(std::mem::take(&mut self.begun));
                continue;
            }
            let last = if self.is_stopping {
                intake.conclude();
                pump.columns = columns(intake, &self.encoding);
                pump.rest = std::mem::take(&mut self.begun);
                None
            } else {
                intake.finish()?
            };
            self.counts = intake.counts();
            self.counts.cut_off = u64::from(!pump.rest.is_empty());
            self.intake = None;
            self.held = None;
            return Ok(last);
        }
    }

    /// Counts an incomplete record as unfinished or invalid.
    fn conclude_line(&mut self) {
        if let Some(intake) = &mut self.intake {
            intake.conclude();
        }
    }

    fn count(&self) -> SourceCounts {
        self.intake.as_ref().map_or(self.counts, Intake::counts)
    }
}

impl Source for StdinReader {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frames>, SourceError>> {
        Box::pin(self.read())
    }

    fn conclude(&mut self) {
        self.conclude_line();
    }

    fn stop(&mut self) -> bool {
        self.stop_reading();
        true
    }

    fn counts(&self) -> SourceCounts {
        self.count()
    }

    fn is_finite(&self) -> bool {
        true
    }
}

impl Drop for StdinReader {
    fn drop(&mut self) {
        if let (Some(pump), Some(intake)) = (&mut self.held, self.intake.take()) {
            pump.columns = columns(&intake, &self.encoding);
            pump.rest = intake.into_rest();
            pump.rest.append(&mut self.begun);
        }
    }
}

/// Returns the columns of a reader's content, for the next reader.
fn columns(intake: &Intake, encoding: &Encoding) -> Option<(Encoding, Header)> {
    Some((encoding.clone(), intake.header()?))
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
    /// The columns of the last reader's content, and the encoding of its stream.
    columns: Option<(Encoding, Header)>,
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
            columns: None,
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
            let mut is_within_line = false;
            loop {
                if !has_input(&input, &stopped) {
                    if is_within_line {
                        let _ = sender.blocking_send(Ok(rest_of_line(&mut input)));
                    }
                    break;
                }
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = match input.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(len) => {
                        chunk.truncate(len);
                        is_within_line = chunk.last() != Some(&b'\n');
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

/// Reads the rest of a line, byte by byte, and nothing behind it. Gives up after [`LINE_TIME`].
fn rest_of_line(input: &mut impl Input) -> Vec<u8> {
    let until = Instant::now() + LINE_TIME;
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LINE_MAX && line.last() != Some(&b'\n') {
        let left = until.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(input, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) if left.is_zero() => break,
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => break,
        }
        match input.read(&mut byte) {
            Ok(1) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => break,
        }
    }
    line
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
