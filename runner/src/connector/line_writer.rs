//! [`LineWriter`]: datums to lines, written by a thread of its own.
//!
//! A pipe that nobody empties or a disk that hangs blocks that thread and nothing else; in particular not the end of the
//! runtime, which waits for its own blocking threads.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use mosaik_streams::Frames;
use tokio::sync::{mpsc, oneshot};

use super::{OpenError, SinkCounts, SinkError};

/// A buffer larger than this is not kept for the next batch: 1 MiB.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;

/// Where lines go.
pub(super) trait Outlet: Send + 'static {
    /// Writes all of `lines`, and notes in `progress` what stands there already.
    fn write_lines(&mut self, lines: &[u8], progress: &Progress) -> io::Result<()>;
}

impl<W: Write + Send + 'static> Outlet for W {
    fn write_lines(&mut self, lines: &[u8], progress: &Progress) -> io::Result<()> {
        self.write_all(lines)?;
        self.flush()?;
        progress.stands(lines.len());
        Ok(())
    }
}

/// How far the thread is, for those who wait for it and for those who look on.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of the batch at hand that stand there.
    standing: AtomicUsize,
    /// Nobody waits any more: what cannot be written now is given up.
    is_given_up: AtomicBool,
    /// Why nothing can be written at the moment.
    obstacle: Mutex<Option<String>>,
}

impl Progress {
    /// So many bytes of the batch stand there.
    pub(super) fn stands(&self, bytes: usize) {
        self.standing.store(bytes, Ordering::Release);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }

    pub(super) fn set_obstacle(&self, obstacle: Option<String>) {
        *self.obstacle.lock().unwrap_or_else(PoisonError::into_inner) = obstacle;
    }

    /// Why nothing can be written at the moment, if that is so.
    pub fn obstacle(&self) -> Option<String> {
        let obstacle = self.obstacle.lock();
        obstacle.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Writes batches. At most two are under way: one being written and, after a write that was cancelled, one that waits.
#[derive(Debug)]
pub(super) struct LineWriter {
    name: String,
    /// None once closed.
    jobs: Option<mpsc::Sender<Job>>,
    /// Told by the thread when it ends.
    ended: oneshot::Receiver<()>,
    /// The last batch's buffer, for the next one.
    spare: Vec<u8>,
    counts: SinkCounts,
    progress: Arc<Progress>,
}

#[derive(Debug)]
struct Job {
    lines: Vec<u8>,
    written: oneshot::Sender<(Vec<u8>, io::Result<()>)>,
}

impl LineWriter {
    /// Starts a thread that writes to `out`.
    pub(super) fn start(name: &str, mut out: impl Outlet) -> Result<Self, OpenError> {
        let (jobs, mut queue) = mpsc::channel::<Job>(1);
        let (end, ended) = oneshot::channel();
        let progress = Arc::new(Progress::default());
        let told = Arc::clone(&progress);
        let run = move || {
            while let Some(Job { lines, written }) = queue.blocking_recv() {
                told.stands(0);
                let result = out.write_lines(&lines, &told);
                // Whoever gave the batch may have stopped waiting for it.
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
            ended,
            spare: Vec::new(),
            counts: SinkCounts::default(),
            progress,
        })
    }

    pub(super) async fn write(&mut self, batch: &Frames) -> Result<(), SinkError> {
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
        if jobs.send(Job { lines, written }).await.is_err() {
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

    /// Gives up a write that was cancelled, and says how many datums of its batch stand there whole.
    pub(super) async fn give_up(&mut self, batch: &Frames) -> usize {
        self.progress.is_given_up.store(true, Ordering::Release);
        self.jobs = None;
        // A system call that hangs is not waited for.
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

    pub(super) async fn close(&mut self) -> Result<(), SinkError> {
        self.jobs = None;
        if self.ended.is_terminated() || (&mut self.ended).await.is_ok() {
            Ok(())
        } else {
            Err(self.lost())
        }
    }

    pub(super) fn counts(&self) -> SinkCounts {
        self.counts
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    fn closed(&self) -> SinkError {
        SinkError::Closed {
            name: self.name.clone(),
        }
    }

    fn lost(&self) -> SinkError {
        SinkError::Write {
            name: self.name.clone(),
            source: io::Error::other("the writing thread is gone"),
        }
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.progress.is_given_up.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
