//! Syncing, and resuming behind the synced lines.

use std::io;

use tokio::sync::oneshot;

use super::{LineWriter, Outlet, Task};
use crate::connector::{Position, ResumeError, SinkError};

/// A job other than writing.
#[derive(Debug)]
pub(super) enum Care {
    /// Syncs. First ends a line that begins with these bytes and is not continued.
    Sync(Vec<u8>, oneshot::Sender<io::Result<Option<Position>>>),
    Resume(Position, oneshot::Sender<Result<(), ResumeError>>),
}

impl Care {
    /// Does the job, and sends the answer. The task that waits for it may have been cancelled.
    pub(super) fn run(self, out: &mut impl Outlet) {
        match self {
            Self::Sync(begun, answer) => {
                let ended = if begun.is_empty() {
                    Ok(())
                } else {
                    out.end_line(&begun)
                };
                let _ = answer.send(ended.and_then(|()| out.sync()));
            }
            Self::Resume(durable, answer) => {
                let _ = answer.send(out.resume(&durable));
            }
        }
    }
}

impl LineWriter {
    pub(super) async fn sync_written(&mut self) -> Result<Option<Position>, SinkError> {
        let Some(jobs) = &self.jobs else {
            return Err(self.closed());
        };
        let (answer, synced) = oneshot::channel();
        let begun = std::mem::take(&mut self.begun);
        if jobs
            .send(Task::Care(Care::Sync(begun, answer)))
            .await
            .is_err()
        {
            return Err(self.lost());
        }
        match synced.await {
            Err(_) => Err(self.lost()),
            Ok(Ok(token)) => Ok(token),
            Ok(Err(error)) => {
                // Nothing proves what of the output is durable.
                self.jobs = None;
                self.unsynced = Some((error.kind(), error.to_string()));
                Err(self.closed())
            }
        }
    }

    pub(super) async fn resume_behind(&mut self, durable: &Position) -> Result<(), ResumeError> {
        let (answer, resumed) = oneshot::channel();
        let task = Task::Care(Care::Resume(durable.clone(), answer));
        let is_sent = match &self.jobs {
            Some(jobs) => jobs.send(task).await.is_ok(),
            None => false,
        };
        let lost = || ResumeError::new(self.closed().to_string());
        if !is_sent {
            return Err(lost());
        }
        resumed.await.unwrap_or_else(|_| Err(lost()))
    }
}
