//! [`LineWriter`]: datums to lines, written by a thread of its own.
//!
//! A pipe that nobody empties or a disk that hangs blocks that thread and nothing else; in particular not the end of the
//! runtime, which waits for its own blocking threads.

use std::{
    io::{self, Write},
    thread,
};

use mosaik_streams::Frames;
use tokio::sync::{mpsc, oneshot};

use super::{OpenError, SinkCounts, SinkError};

/// A buffer larger than this is not kept for the next batch: 1 MiB.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;

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
}

#[derive(Debug)]
struct Job {
    lines: Vec<u8>,
    written: oneshot::Sender<(Vec<u8>, io::Result<()>)>,
}

impl LineWriter {
    /// Starts a thread that writes to `out`.
    pub(super) fn start(
        name: &str,
        mut out: impl Write + Send + 'static,
    ) -> Result<Self, OpenError> {
        let (jobs, mut queue) = mpsc::channel::<Job>(1);
        let (end, ended) = oneshot::channel();
        let run = move || {
            while let Some(Job { lines, written }) = queue.blocking_recv() {
                let result = out.write_all(&lines).and_then(|()| out.flush());
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

#[cfg(test)]
mod tests;
