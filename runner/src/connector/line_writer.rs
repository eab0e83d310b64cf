//! [`LineWriter`]: writes records as lines, on a dedicated thread.
//!
//! A pipe that is not read or a disk that does not respond blocks only this thread. In particular it does not block the
//! shutdown of the runtime, which waits for the runtime's own blocking threads.

mod durable;

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use futures::future::BoxFuture;
use mosaik_streams::Frames;
use tokio::sync::{mpsc, oneshot};

use self::durable::Care;
use super::{CsvEncoder, OpenError, Position, ResumeError, Sink, SinkCounts, SinkError};

/// Largest buffer that is kept for the next batch: 1 MiB.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;

/// Destination of the lines.
pub(super) trait Outlet: Send + 'static {
    /// Writes all of `lines`, and updates `progress` with the number of bytes written.
    fn write_lines(&mut self, lines: &[u8], progress: &Progress) -> io::Result<()>;

    /// Makes durable what was written. See [`Sink::sync`].
    fn sync(&mut self) -> io::Result<Option<Position>> {
        Ok(None)
    }

    /// Goes on behind what is durable. See [`Sink::resume`].
    fn resume(&mut self, _durable: &Position) -> Result<(), ResumeError> {
        Ok(())
    }
}

impl<W: Write + Send + 'static> Outlet for W {
    fn write_lines(&mut self, lines: &[u8], progress: &Progress) -> io::Result<()> {
        self.write_all(lines)?;
        self.flush()?;
        progress.stands(lines.len());
        Ok(())
    }
}

/// Progress of the writer thread, readable by the writing task and by observers.
#[derive(Debug, Default)]
pub struct Progress {
    /// Number of bytes of the current batch that have been written.
    standing: AtomicUsize,
    /// The batch was given up: the thread stops retrying.
    is_given_up: AtomicBool,
    /// The reason that nothing can be written at present.
    obstacle: Mutex<Option<String>>,
}

impl Progress {
    /// Sets the number of bytes of the batch that have been written.
    pub(super) fn stands(&self, bytes: usize) {
        self.standing.store(bytes, Ordering::Release);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }

    pub(super) fn set_obstacle(&self, obstacle: Option<String>) {
        *self.obstacle.lock().unwrap_or_else(PoisonError::into_inner) = obstacle;
    }

    /// Returns the reason that nothing can be written at present; `None` if writing works.
    pub fn obstacle(&self) -> Option<String> {
        let obstacle = self.obstacle.lock();
        obstacle.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Writes batches. At most two batches are in flight: one being written and, after a cancelled write, one waiting.
#[derive(Debug)]
pub(super) struct LineWriter {
    name: String,
    /// `None` once closed.
    jobs: Option<mpsc::Sender<Task>>,
    /// The reason that the output could not be synced.
    unsynced: Option<(io::ErrorKind, String)>,
    /// Resolves when the thread ends.
    ended: oneshot::Receiver<()>,
    /// Buffer of the last batch, reused for the next one.
    spare: Vec<u8>,
    counts: SinkCounts,
    progress: Arc<Progress>,
    encoder: Option<CsvEncoder>,
}

/// What the thread does next.
#[derive(Debug)]
enum Task {
    Write(Job),
    Care(Care),
}

#[derive(Debug)]
struct Job {
    lines: Vec<u8>,
    written: oneshot::Sender<(Vec<u8>, io::Result<()>)>,
}

impl LineWriter {
    /// Starts a thread that writes to `out`.
    pub(super) fn start(name: &str, mut out: impl Outlet) -> Result<Self, OpenError> {
        let (jobs, mut queue) = mpsc::channel(1);
        let (end, ended) = oneshot::channel();
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let run = move || {
            while let Some(task) = queue.blocking_recv() {
                let Job { lines, written } = match task {
                    Task::Write(job) => job,
                    Task::Care(care) => {
                        care.run(&mut out);
                        continue;
                    }
                };
                shared.stands(0);
                let result = out.write_lines(&lines, &shared);
                // The task that sent the batch may have been cancelled.
                let _ = written.send((lines, result));
            }
            let _ = end.send(());
        };
        thread::Builder::new()
            .name("sink".to_owned())
            .spawn(run)
            .map_err(OpenError::Thread)?;
        Ok(Self {
            name: name.to_owned(),
            jobs: Some(jobs),
            unsynced: None,
            ended,
            spare: Vec::new(),
            counts: SinkCounts::default(),
            progress,
            encoder: None,
        })
    }

    /// Sets the encoder of the records.
    pub(super) fn with_encoder(mut self, encoder: Option<CsvEncoder>) -> Self {
        self.encoder = encoder;
        self
    }

    async fn write_batch(&mut self, batch: &Frames) -> Result<(), SinkError> {
        let Some(jobs) = &self.jobs else {
            return Err(self.closed());
        };
        if batch.is_empty() {
            return Ok(());
        }
        let mut lines = std::mem::take(&mut self.spare);
        lines.clear();
        lines.reserve(batch.payload_len() + batch.count());
        for datum in batch {
            lines.extend_from_slice(datum);
            lines.push(b'\n');
        }
        let (written, answer) = oneshot::channel();
        let task = Task::Write(Job { lines, written });
        if jobs.send(task).await.is_err() {
            return Err(self.lost());
        }
        let Ok((lines, result)) = answer.await else {
            return Err(self.lost());
        };
        if lines.capacity() <= KEPT_BUFFER_BYTES {
            self.spare = lines;
        }
        match result {
            Ok(()) => {
                self.counts.datums += batch.count() as u64;
                self.counts.bytes += batch.payload_len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(self.closed()),
            Err(source) => Err(SinkError::Write {
                name: self.name.clone(),
                source,
            }),
        }
    }

    /// Gives up a cancelled write and returns the number of records of its batch that have been written completely.
    async fn give_batch_up(&mut self, batch: &Frames) -> usize {
        self.progress.is_given_up.store(true, Ordering::Release);
        self.jobs = None;
        // Do not wait for a system call that hangs.
        let ending = tokio::time::timeout(super::GIVE_UP_TIME, &mut self.ended);
        let _ = ending.await;
        let mut left = self.progress.standing.load(Ordering::Acquire);
        let stands = batch.iter().take_while(|datum| {
            let fits = left > datum.len();
            left = left.saturating_sub(datum.len() + 1);
            fits
        });
        stands.count()
    }

    async fn finish(&mut self) -> Result<(), SinkError> {
        self.jobs = None;
        if self.ended.is_terminated() || (&mut self.ended).await.is_ok() {
            Ok(())
        } else {
            Err(self.lost())
        }
    }

    /// Returns the reason that there is no thread to write.
    fn closed(&self) -> SinkError {
        let name = self.name.clone();
        match &self.unsynced {
            None => SinkError::Closed { name },
            Some((kind, reason)) => SinkError::Sync {
                name,
                source: io::Error::new(*kind, reason.clone()),
            },
        }
    }

    fn lost(&self) -> SinkError {
        SinkError::Write {
            name: self.name.clone(),
            source: io::Error::other("the writing thread is gone"),
        }
    }
}

impl Sink for LineWriter {
    fn take_encoder(&mut self) -> Option<CsvEncoder> {
        self.encoder.take()
    }

    fn write<'a>(&'a mut self, batch: &'a Frames) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(self.write_batch(batch))
    }

    fn give_up<'a>(&'a mut self, batch: &'a Frames) -> BoxFuture<'a, usize> {
        Box::pin(self.give_batch_up(batch))
    }

    fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    fn sync(&mut self) -> BoxFuture<'_, Result<Option<Position>, SinkError>> {
        Box::pin(self.sync_written())
    }

    fn resume<'a>(&'a mut self, durable: &'a Position) -> BoxFuture<'a, Result<(), ResumeError>> {
        Box::pin(self.resume_behind(durable))
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.finish())
    }

    fn counts(&self) -> SinkCounts {
        self.counts
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.progress.is_given_up.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
