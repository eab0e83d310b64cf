//! [`DurableLog`]: a handle to the log of a durable stream.

use std::{
    fs::{File, TryLockError},
    path::Path,
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use mosaik_log::{Folder, Gap, Log, LogId, Reader};
use tokio::{
    sync::{Semaphore, oneshot},
    task::spawn_blocking,
};

use super::{
    config::{DurableConfig, StartAt, Visible},
    cursor::Cursor,
    error::DurableError,
    readers::{self, ReaderId, Readers},
    state::{Shared, State},
    status::{DurableReader, DurableStatus},
    time::millis,
    writer::{self, Command, Incoming},
};
use crate::{Frames, PeerId, primitives::random_id};

/// The file that the process locks that uses the log.
const LOCK: &str = "lock";
/// The time for which [`DurableLog::open`] waits for another user of the log to close it.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// The maximum number of batches that wait for the writer.
const WAITING_MAX: usize = 4;

/// The writer accepts nothing more.
struct WriterFailed;

/// A position in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    /// The log.
    pub log: LogId,
    /// The number of records before it.
    pub position: u64,
}

/// The marks in a log.
#[derive(Debug)]
pub struct LogMarks {
    shared: Arc<Shared>,
    next: u64,
}

impl LogMarks {
    /// Waits for the next mark, and until everything before it is durable. Returns the mark and its position. Cancel safe.
    ///
    /// Of marks that are not taken, the log remembers the last 64.
    ///
    /// # Errors
    /// The reason for which nothing is appended any more.
    pub async fn next(&mut self) -> Result<(u64, LogPosition), String> {
        let log = self.shared.view.id();
        let from = self.next;
        let found = self
            .shared
            .when(|state| match state.marks.range(from..).next() {
                Some((number, found)) => Some(Ok((*number, *found))),
                None => state.failure.clone().map(Err),
            });
        let (number, (mark, position)) = found.await?;
        self.next = number + 1;
        Ok((mark, LogPosition { log, position }))
    }
}

/// The position of a consumer in the log of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcePosition {
    /// The node.
    pub peer: PeerId,
    /// The position before which the consumer has taken every record.
    pub at: LogPosition,
}

/// What [`DurableLog::open`] found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The number of bytes of unfinished batches that were cut off.
    pub cut_bytes: u64,
    /// The number of records behind the position at which to continue that were removed.
    pub removed: u64,
    /// The number of records behind that position that are kept, and not appended again.
    pub kept: u64,
    /// Damage in the newest part of the log.
    pub damaged: Vec<Gap>,
    /// The names of files that do not belong to a log. They are left alone.
    pub unknown: Vec<String>,
}

/// The log of a durable stream. Clones are handles to the same log.
///
/// A thread writes it. When the last handle is dropped, the thread writes what it was given, and ends. The log is given
/// to a producer with [`with_log`](crate::producer::FramesProducerBuilder::with_log), and may be given to another one
/// when that has ended.
#[derive(Debug, Clone)]
pub struct DurableLog(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    /// One permit for each command that may wait for the writer. Closed when the writer has failed.
    room: Arc<Semaphore>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.is_closing.store(true, Ordering::Release);
    }
}

impl DurableLog {
    /// Opens the log in a folder, creating both if necessary. Blocks on the disk.
    ///
    /// `from` is the position at which the application continues, if it knows one. What the log has behind it is removed
    /// or, with [`Visible::Immediate`], expected again and not appended twice. `label` names the stream in logs.
    ///
    /// # Errors
    /// The folder cannot be used, or does not match `from`.
    pub fn open(
        folder: &Path,
        config: DurableConfig,
        from: Option<LogPosition>,
        label: &str,
    ) -> Result<(Self, Recovered), DurableError> {
        let disk = Arc::new(Folder::create(folder)?);
        let lock = lock(folder)?;
        let new_id = LogId(random_id());
        let (mut log, opened) = Log::open(disk.clone(), config.retain(), new_id)?;
        let own = [LOCK, readers::FILE];
        let unknown = opened.unknown.into_iter();
        let mut recovered = Recovered {
            cut_bytes: opened.cut_bytes,
            damaged: opened.damaged,
            unknown: unknown
                .filter(|name| !own.contains(&name.as_str()))
                .collect(),
            ..Recovered::default()
        };
        if let Some(from) = from {
            recover(&mut log, config, from, &mut recovered)?;
        }
        let view = log.view();
        let waits = config.visible == Visible::Committed;
        let state = State::new(view.end(), waits.then(|| view.end()));
        let readers = Readers::load(folder.join(readers::FILE));
        let shared = Arc::new(Shared::new(disk, view, readers, state));
        let (commands, incoming) = mpsc::channel();
        let room = Arc::new(Semaphore::new(WAITING_MAX));
        let incoming = Incoming::new(incoming, Arc::clone(&room));
        writer::spawn(
            (log, lock, recovered.kept),
            Arc::clone(&shared),
            incoming,
            (config, label),
        )?;
        let handle = Handle {
            shared,
            commands,
            room,
        };
        Ok((Self(Arc::new(handle)), recovered))
    }

    /// Returns the id of the log.
    pub fn id(&self) -> LogId {
        self.0.shared.view.id()
    }

    /// Returns the position after the last durable record.
    pub fn position(&self) -> LogPosition {
        LogPosition {
            log: self.id(),
            position: self.0.shared.state().synced,
        }
    }

    /// Returns the marks that are put into the stream with [`put_mark`](crate::FramesProducer::put_mark) from now on, as
    /// they reach the log.
    pub fn marks(&self) -> LogMarks {
        let marks = &self.0.shared.state().marks;
        LogMarks {
            shared: Arc::clone(&self.0.shared),
            next: marks.last_key_value().map_or(0, |(number, _)| number + 1),
        }
    }

    /// Lets other nodes receive the records before a position, with [`Visible::Committed`].
    pub fn commit(&self, position: u64) {
        self.0.shared.change(|state| {
            if let Some(committed) = &mut state.committed {
                *committed = position.max(*committed);
            }
        });
    }

    /// Waits until everything that was appended so far is durable, or cannot be. Cancel safe.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.send(Command::Flush(done)).await.is_ok() {
            // An error means that the writer has failed.
            let _ = flushed.await;
        }
    }

    /// Waits until the stream has ended for good and everything is on the disk. Cancel safe.
    pub async fn ended(&self) {
        let shared = &self.0.shared;
        shared.when(|state| state.is_finished.then_some(())).await;
    }

    /// Waits until the log fails, and returns the reason. Cancel safe.
    pub async fn failed(&self) -> String {
        self.0.shared.when(|state| state.failure.clone()).await
    }

    /// Changes the settings that can change while the log is used: everything but
    /// [`visible`](DurableConfig::visible).
    pub async fn set_config(&self, config: DurableConfig) {
        // An error means that the writer has failed.
        let _ = self.send(Command::Configure(config)).await;
    }

    /// Returns a snapshot.
    pub fn status(&self) -> DurableStatus {
        let shared = &self.0.shared;
        let (start, end, bytes) = (shared.view.start(), shared.view.end(), shared.view.len());
        let state = shared.state();
        let visible = state.visible();
        let reader = |(id, known): (ReaderId, readers::Known)| DurableReader {
            peer: id.peer,
            is_connected: known.connections > 0,
            position: known.confirmed,
            lag: visible.saturating_sub(known.confirmed),
            seen: known.seen,
        };
        DurableStatus {
            log: shared.view.id(),
            start,
            end,
            visible,
            bytes,
            is_full: state.is_full,
            failure: state.failure.clone(),
            expired: state.expired,
            readers: shared.readers.list().into_iter().map(reader).collect(),
        }
    }

    /// Sends a command to the writer. Returns an error if that has failed. Cancel safe in that nothing is sent then.
    async fn send(&self, command: Command) -> Result<(), WriterFailed> {
        let room = self.0.room.acquire().await.map_err(|_| WriterFailed)?;
        // The writer returns the permit.
        room.forget();
        self.0.commands.send(command).map_err(|_| WriterFailed)
    }

    /// Appends a batch. Waits while the writer has enough to do. Cancel safe in that nothing is appended then.
    pub(crate) async fn append(&self, frames: Frames) {
        let count = frames.count() as u64;
        // An error means that the writer has failed, which ends the producer.
        if self.send(Command::Append(frames)).await.is_err() {
            self.0.shared.change(|state| state.unwritten += count);
        }
    }

    /// Notes a mark behind everything that was appended.
    pub(crate) async fn put_mark(&self, mark: u64) {
        // As above.
        let _ = self.send(Command::Mark(mark)).await;
    }

    /// Sets whether the stream has ended for good, so that readers end once they have read everything.
    pub(crate) fn set_finished(&self, is_finished: bool) {
        self.0
            .shared
            .change(|state| state.is_finished = is_finished);
    }

    /// Returns the number of records that could not be written, and that no caller has counted yet.
    pub(crate) fn take_unwritten(&self) -> u64 {
        std::mem::take(&mut self.0.shared.state().unwritten)
    }

    /// Returns the position at which a reader begins, of which `received` is the last known position.
    pub(crate) async fn begin(
        &self,
        reader: &ReaderId,
        received: Option<LogPosition>,
        start: StartAt,
    ) -> u64 {
        let shared = Arc::clone(&self.0.shared);
        let visible = shared.state().visible();
        let wanted = match received {
            Some(received) if received.log == self.id() => received.position,
            None if let Some(confirmed) = shared.readers.confirmed(reader) => confirmed,
            _ => match start {
                StartAt::Earliest => shared.view.start(),
                StartAt::Latest => visible,
                StartAt::Position(position) => position,
                StartAt::Time(time) => self.position_at(time, visible).await,
            },
        };
        shared.next_readable(wanted.min(visible))
    }

    async fn position_at(&self, time: SystemTime, limit: u64) -> u64 {
        let shared = Arc::clone(&self.0.shared);
        let searching = spawn_blocking(move || {
            let mut reader = Reader::new(Arc::clone(&shared.disk), shared.view.clone(), 0);
            match reader.seek_to_time(millis(time), limit) {
                Ok(()) => reader.position(),
                Err(error) => {
                    tracing::warn!(%error, "the log cannot be searched for a time; the reader begins at its end");
                    limit
                }
            }
        });
        searching.await.unwrap_or(limit)
    }

    /// Returns a cursor for a reader that has connected.
    pub(crate) fn connect(&self, reader: ReaderId, position: u64) -> Cursor {
        self.0.shared.readers.connect(reader, position);
        Cursor::new(Arc::clone(&self.0.shared), position)
    }

    pub(crate) fn confirm(&self, reader: &ReaderId, position: u64) {
        self.0.shared.readers.confirm(reader, position);
    }

    pub(crate) fn disconnect(&self, reader: &ReaderId) {
        self.0.shared.readers.disconnect(reader);
    }

    pub(crate) fn note_gap(&self, gap: Gap) {
        self.0.shared.note_gap(gap);
    }

    /// Returns the oldest and the first invisible position.
    pub(crate) fn range(&self) -> (u64, u64) {
        let start = self.0.shared.view.start();
        (start, self.0.shared.state().visible())
    }
}

/// Locks the folder. A log of this process that was just closed is waited for.
fn lock(folder: &Path) -> Result<File, DurableError> {
    let file = File::create(folder.join(LOCK))?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if since.elapsed() < LOCK_WAIT => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => return Err(DurableError::InUse),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// Makes the log match the position at which the application continues.
fn recover(
    log: &mut Log,
    config: DurableConfig,
    from: LogPosition,
    recovered: &mut Recovered,
) -> Result<(), DurableError> {
    let (found, end) = (log.view().id(), log.view().end());
    let LogPosition {
        log: expected,
        position,
    } = from;
    if found != expected {
        return Err(DurableError::OtherLog { expected, found });
    }
    if end < position {
        return Err(DurableError::TooShort { end, position });
    }
    match config.visible {
        Visible::Committed => {
            log.cut(position)?;
            recovered.removed = end - position;
        }
        Visible::Immediate => recovered.kept = end - position,
    }
    Ok(())
}
