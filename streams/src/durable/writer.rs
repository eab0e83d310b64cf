//! The thread that writes a log.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use mosaik_log::{Log, LogError};
use tokio::sync::{Semaphore, oneshot};

use super::{
    config::{DurableConfig, WhenFull},
    state::Shared,
    time::millis,
};
use crate::Frames;

/// The interval in which old records are removed and the readers are stored.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// The interval in which a full disk is tried again.
const RETRY_EVERY: Duration = Duration::from_millis(200);

/// A request to the writer.
#[derive(Debug)]
pub(super) enum Command {
    Append(Frames),
    Mark(u64),
    Flush(oneshot::Sender<()>),
    Configure(DurableConfig),
}

/// The commands for the writer. Taking one makes room for another.
pub(super) struct Incoming {
    commands: Receiver<Command>,
    room: Arc<Semaphore>,
}

impl Incoming {
    pub(super) const fn new(commands: Receiver<Command>, room: Arc<Semaphore>) -> Self {
        Self { commands, room }
    }

    /// Waits for a command. `Ok(None)` at `until`, an error if all handles are dropped.
    fn wait(&self, until: Instant) -> Result<Option<Command>, AllDropped> {
        let left = until.saturating_duration_since(Instant::now());
        match self.commands.recv_timeout(left) {
            Ok(command) => Ok(Some(self.taken(command))),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(AllDropped),
        }
    }

    fn next(&self) -> Option<Command> {
        let command = self.commands.try_recv().ok()?;
        Some(self.taken(command))
    }

    fn taken(&self, command: Command) -> Command {
        self.room.add_permits(1);
        command
    }

    /// Refuses further commands.
    fn close(&self) {
        self.room.close();
    }
}

struct AllDropped;

/// The writer accepts nothing more.
struct Failed(String);

struct Writer {
    log: Log,
    shared: Arc<Shared>,
    config: DurableConfig,
    label: String,
    /// The number of records that are appended again and that the log already has.
    skips: u64,
    /// The marks and requests that wait for the next sync.
    marks: Vec<(u64, u64)>,
    flushes: Vec<oneshot::Sender<()>>,
}

/// Starts the thread. It runs until all handles are dropped, or the log fails.
pub(super) fn spawn(
    (log, lock, skips): (Log, File, u64),
    shared: Arc<Shared>,
    commands: Incoming,
    (config, label): (DurableConfig, &str),
) -> io::Result<()> {
    let mut writer = Writer {
        log,
        shared,
        config,
        label: label.to_owned(),
        skips,
        marks: Vec::new(),
        flushes: Vec::new(),
    };
    let run = move || {
        if let Err(Failed(reason)) = writer.run(&commands) {
            tracing::error!(
                stream = writer.label,
                "the log of the stream failed: {reason}"
            );
            writer.fail(&reason, &commands);
        }
        writer.tidy();
        // The next user may open the log.
        drop((writer, lock));
    };
    thread::Builder::new().name("log".to_owned()).spawn(run)?;
    Ok(())
}

impl Writer {
    fn run(&mut self, commands: &Incoming) -> Result<(), Failed> {
        let mut tidy_at = Instant::now() + TIDY_EVERY;
        loop {
            match commands.wait(tidy_at) {
                Err(AllDropped) => return Ok(()),
                Ok(Some(command)) => {
                    self.take(command)?;
                    while let Some(command) = commands.next() {
                        self.take(command)?;
                    }
                    self.sync()?;
                }
                Ok(None) => {}
            }
            if Instant::now() >= tidy_at {
                self.tidy();
                tidy_at = Instant::now() + TIDY_EVERY;
            }
        }
    }

    fn take(&mut self, command: Command) -> Result<(), Failed> {
        match command {
            Command::Append(frames) => self.append(frames)?,
            Command::Mark(mark) => {
                // The records that are expected again count as appended.
                let position = self.log.view().end() - self.skips;
                self.marks.push((mark, position));
            }
            Command::Flush(done) => self.flushes.push(done),
            Command::Configure(config) => {
                self.config = config;
                self.log.set_retain(config.retain());
            }
        }
        Ok(())
    }

    fn append(&mut self, mut frames: Frames) -> Result<(), Failed> {
        if self.skips > 0 {
            let again = usize::try_from(self.skips).unwrap_or(usize::MAX);
            self.skips -= frames.split_front(again, usize::MAX).count() as u64;
        }
        if frames.is_empty() {
            return Ok(());
        }
        let position = self.log.view().end();
        loop {
            match self.log.append(&frames, now()) {
                Ok(()) => break,
                Err(LogError::Full) => self.make_room(frames.count())?,
                Err(error) => {
                    self.unwritten(frames.count());
                    return Err(Failed(error.to_string()));
                }
            }
        }
        if self.shared.state().is_full {
            tracing::info!(
                stream = self.label,
                "the disk of the stream's log has room again"
            );
            self.shared.change(|state| state.is_full = false);
        }
        self.shared.keep(position, frames);
        Ok(())
    }

    /// Removes old records from a full disk, or waits.
    fn make_room(&mut self, records: usize) -> Result<(), Failed> {
        if !self.shared.state().is_full {
            tracing::warn!(stream = self.label, "the disk of the stream's log is full");
            self.shared.change(|state| state.is_full = true);
        }
        let start = self.log.view().start();
        if self.config.when_full == WhenFull::DropOldest
            && matches!(self.log.remove_oldest(), Ok(true))
        {
            self.expired(start);
            return Ok(());
        }
        // What was appended before is made durable, so that readers receive it.
        self.sync()?;
        if self.shared.is_closing() {
            self.unwritten(records);
            return Err(Failed("the disk is full".to_owned()));
        }
        thread::sleep(RETRY_EVERY);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Failed> {
        let synced = self.log.sync().map_err(|error| Failed(error.to_string()))?;
        if self.shared.state().synced < synced {
            self.shared.change(|state| state.synced = synced);
        }
        for (mark, position) in self.marks.drain(..) {
            self.shared.note_mark(mark, position);
        }
        for done in self.flushes.drain(..) {
            // The caller no longer waits.
            let _ = done.send(());
        }
        Ok(())
    }

    fn tidy(&mut self) {
        // An error shows with the next batch.
        let _ = self.log.prove();
        match self.log.expire(now()) {
            Ok(removed) => self.expired(removed.start),
            Err(error) => {
                tracing::warn!(stream = self.label, %error, "old records of the stream's log cannot be removed");
            }
        }
        self.shared.readers.expire(self.config.retain_age);
        if let Err(error) = self.shared.readers.store() {
            tracing::debug!(stream = self.label, %error, "the readers of the stream cannot be stored");
        }
    }

    /// Counts the records that were removed since the log began at `start`.
    fn expired(&self, start: u64) {
        let removed = self.log.view().start() - start;
        if removed > 0 {
            self.shared.change(|state| state.expired += removed);
        }
    }

    fn unwritten(&self, records: usize) {
        self.shared
            .change(|state| state.unwritten += records as u64);
    }

    /// Refuses everything from now on, and counts what was waiting.
    fn fail(&self, reason: &str, commands: &Incoming) {
        commands.close();
        while let Some(command) = commands.next() {
            if let Command::Append(frames) = command {
                self.unwritten(frames.count());
            }
        }
        // Appended, and not known to be durable: no reader receives them.
        let left = self.log.view().end() - self.log.synced();
        self.unwritten(usize::try_from(left).unwrap_or(usize::MAX));
        self.shared
            .change(|state| state.failure = Some(reason.to_owned()));
    }
}

fn now() -> u64 {
    millis(std::time::SystemTime::now())
}
