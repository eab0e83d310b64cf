//! [`LineWriter`]: writes records as lines, on a dedicated thread.
//!
//! A pipe that is not read or a disk that does not respond blocks only this thread. In particular it does not block the
//! shutdown of the runtime, which waits for the runtime's own blocking threads.

mod durable;

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use futures::future::BoxFuture;
use mosaik_streams::Frames;
use tokio::sync::{mpsc, oneshot};

use self::durable::Care;
use super::{
    CsvEncoder, OpenError, Position, ResumeError, Sink, SinkCounts, SinkError, SinkErrorKind,
    Unwritten,
};

/// Largest buffer that is kept for the next batch: 1 MiB.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;

/// Destination of the lines.
pub(super) trait Outlet: Send + 'static {
    /// The kind of errors other than that of a closed pipe.
    const FAILURES: SinkErrorKind = SinkErrorKind::Permanent;

    /// Writes `lines` from this offset on, in one attempt. Updates `progress` with the number of bytes written, also if
    /// it fails.
    fn write_lines(&mut self, lines: &[u8], from: usize, progress: &Progress) -> io::Result<()>;

    /// Removes or ends a line that begins with these bytes and is not continued.
    fn end_line(&mut self, begun: &[u8]) -> io::Result<()>;

    /// Syncs the written lines. See [`Sink::sync`].
    fn sync(&mut self) -> io::Result<Option<Position>> {
        Ok(None)
    }

    /// Resumes behind the synced lines. See [`Sink::resume`].
    fn resume(&mut self, _durable: &Position) -> Result<(), ResumeError> {
        Ok(())
    }
}

impl<W: Write + Send + 'static> Outlet for W {
    fn write_lines(&mut self, lines: &[u8], from: usize, progress: &Progress) -> io::Result<()> {
        let mut done = from;
        while done < lines.len() {
            match self.write(&lines[done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            progress.stands(done);
        }
        self.flush()
    }

    fn end_line(&mut self, _: &[u8]) -> io::Result<()> {
        self.write_all(b"\n")
    }
}

/// Progress of the writer thread, readable by the writing task: the number of bytes of the current batch that have been
/// written.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicUsize);

impl Progress {
    /// Sets the number of bytes of the batch that have been written.
    pub(super) fn stands(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Release);
    }

    fn bytes(&self) -> usize {
        self.0.load(Ordering::Acquire)
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
    failures: SinkErrorKind,
    /// The beginning of a line that was written in part.
    begun: Vec<u8>,
    encoder: Option<CsvEncoder>,
}

/// The next task of the thread.
#[derive(Debug)]
enum Task {
    Write(Job),
    Care(Care),
}

/// A batch, with the lines that the last attempt has left.
#[derive(Debug)]
struct Job {
    lines: Vec<u8>,
    /// Number of bytes that were written by the last attempt.
    from: usize,
    /// The beginning of another line, which is not continued.
    begun: Vec<u8>,
    written: oneshot::Sender<Answer>,
}

/// The end of an attempt.
#[derive(Debug)]
struct Answer {
    lines: Vec<u8>,
    /// The beginning of another line, which has not been ended.
    begun: Vec<u8>,
    result: io::Result<()>,
}

impl LineWriter {
    /// Starts a thread that writes to `out`.
    pub(super) fn start<O: Outlet>(name: &str, mut out: O) -> Result<Self, OpenError> {
        let (jobs, mut queue) = mpsc::channel(1);
        let (end, ended) = oneshot::channel();
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let run = move || {
            while let Some(task) = queue.blocking_recv() {
                let mut job = match task {
                    Task::Write(job) => job,
                    Task::Care(care) => {
                        care.run(&mut out);
                        continue;
                    }
                };
                shared.stands(job.from);
                let mut result = Ok(());
                if !job.begun.is_empty() {
                    result = out.end_line(&job.begun);
                }
                if result.is_ok() {
                    job.begun.clear();
                    result = out.write_lines(&job.lines, job.from, &shared);
                }
                // The task that sent the batch may have been cancelled.
                let _ = job.written.send(Answer {
                    lines: job.lines,
                    begun: job.begun,
                    result,
                });
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
            failures: O::FAILURES,
            begun: Vec::new(),
            encoder: None,
        })
    }

    /// Sets the encoder of the records.
    pub(super) fn with_encoder(mut self, encoder: Option<CsvEncoder>) -> Self {
        self.encoder = encoder;
        self
    }

    async fn write_batch(&mut self, batch: &Frames) -> Result<(), Unwritten> {
        let Some(jobs) = &self.jobs else {
            return Err(self.closed().into());
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
        let mut begun = std::mem::take(&mut self.begun);
        let mut from = 0;
        if lines.starts_with(&begun) {
            from = begun.len();
            begun.clear();
        }
        let (written, answer) = oneshot::channel();
        let job = Job {
            lines,
            from,
            begun,
            written,
        };
        if jobs.send(Task::Write(job)).await.is_err() {
            return Err(self.lost().into());
        }
        let Ok(Answer {
            lines,
            begun,
            result,
        }) = answer.await
        else {
            return Err(self.lost().into());
        };
        let (mut count, mut bytes) = (batch.count(), batch.payload_len());
        if result.is_err() {
            let standing = self.progress.bytes();
            (count, bytes) = whole(batch, standing);
            self.begun = begun;
            if self.begun.is_empty() {
                self.begun = lines[bytes + count..standing].to_vec();
            }
        }
        self.counts.datums += count as u64;
        self.counts.bytes += bytes as u64;
        if lines.capacity() <= KEPT_BUFFER_BYTES {
            self.spare = lines;
        }
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(self.closed().into()),
            Err(source) => Err(Unwritten {
                written: count,
                error: SinkError::Write {
                    name: self.name.clone(),
                    kind: self.failures,
                    source,
                },
            }),
        }
    }

    /// Gives up a cancelled write and returns the number of records of its batch that have been written completely.
    async fn give_batch_up(&mut self, batch: &Frames) -> usize {
        self.jobs = None;
        // Do not wait for a system call that hangs.
        let ending = tokio::time::timeout(super::GIVE_UP_TIME, &mut self.ended);
        let _ = ending.await;
        whole(batch, self.progress.bytes()).0
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
            kind: SinkErrorKind::Broken,
            source: io::Error::other("the writing thread is gone"),
        }
    }
}

impl Sink for LineWriter {
    fn take_encoder(&mut self) -> Option<CsvEncoder> {
        self.encoder.take()
    }

    fn write<'a>(&'a mut self, batch: &'a Frames) -> BoxFuture<'a, Result<(), Unwritten>> {
        Box::pin(self.write_batch(batch))
    }

    fn give_up<'a>(&'a mut self, batch: &'a Frames) -> BoxFuture<'a, usize> {
        Box::pin(self.give_batch_up(batch))
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

/// Returns the number of complete records, and of their bytes without line ends, among these bytes of a batch.
fn whole(batch: &Frames, mut bytes: usize) -> (usize, usize) {
    let (mut count, mut len) = (0, 0);
    for datum in batch {
        if bytes <= datum.len() {
            break;
        }
        bytes -= datum.len() + 1;
        count += 1;
        len += datum.len();
    }
    (count, len)
}

#[cfg(test)]
mod tests;
