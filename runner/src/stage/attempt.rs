//! The worker as the caller of its instance: queues and hands on the answers, and applies the
//! policy to the records that fail.

use std::sync::Arc;

use mosaik_streams::Frames;

use super::{
    Counters, End,
    conversation::{Caller, Failing, Part, Retried, retry},
    convert::Port,
    recoverable::Recoverable,
    task::{Progress, Task},
    worker::{Held, Worker},
};
use crate::operator::{CallError, Limits, Processed, thread_cpu_time};

impl Caller for Worker {
    type End = End;

    fn called(&mut self) -> &mut Recoverable {
        &mut self.called
    }

    fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    fn limits(&self) -> &Limits {
        &self.shared.blueprint.setup.limits
    }

    fn completed(&mut self, done: usize) {
        self.accounted += done;
        for held in &mut self.held {
            held.is_counted = true;
        }
    }

    async fn answered(&mut self, task: &Task, first: u32, answer: Processed) -> Result<(), End> {
        self.shared.counters.rejected(answer.rejected.len());
        self.accounted += answer.rejected.len();
        if let Some(turn) = &self.turn {
            turn.comes().await;
        }
        let more = answer.more;
        let is_counted = !more || !task.has_records();
        self.hold(answer.outputs, is_counted).await?;
        if more || self.eager {
            self.hand_on().await?;
        }
        if let Task::Batch(port, batch) = task {
            let rejected = (Port::Input(*port), batch, first);
            self.refused(rejected, &answer.rejected).await?;
        }
        if !more {
            self.end_call();
        } else if self.shared.handoff.is_abandoned() {
            return Err(End::Stopped);
        }
        Ok(())
    }

    /// Restores the instance if it is lost and takes a snapshot immediately, so that the next
    /// failure in this batch does not repeat all calls since the last snapshot.
    async fn come_back(&mut self, failing: &mut Failing) -> Result<(), End> {
        if self.called.is_lost() {
            let began = thread_cpu_time();
            self.rebuild()?;
            self.revive().await?;
            if self.called.has_calls_to_repeat() {
                self.save();
            }
            failing.add_restore(began);
            self.revive().await?;
        }
        if self.shared.handoff.is_abandoned() {
            return Err(End::Stopped);
        }
        Ok(())
    }

    fn refused_call(&mut self, task: &Task, error: &CallError) {
        self.note_refusal(task, error);
    }

    async fn failed_alone(&mut self, record: Part<'_>, error: &CallError) -> Result<(), End> {
        let records: Vec<_> = record.records.iter().collect();
        self.lost(record.port, &records, &error.to_string()).await
    }

    async fn not_tried(
        &mut self,
        rest: Part<'_>,
        progress: &Progress,
        reason: &str,
    ) -> Result<(), End> {
        let records = progress.not_rejected(rest.first, rest.records);
        self.lost(rest.port, &records, reason).await
    }
}

impl Worker {
    /// Completes a call: drops the instance if the policy asks for a new one.
    pub(super) fn end_call(&mut self) {
        if std::mem::take(&mut self.restart) {
            self.called.lose();
            self.backoff.failed();
        } else {
            self.backoff.succeeded();
        }
    }

    /// Retries the records of a batch one by one. The policy applies to those that fail.
    pub(super) async fn retry(
        &mut self,
        port: u32,
        batch: Frames,
        progress: Progress,
        error: &CallError,
    ) -> Result<(), End> {
        let records = batch.count();
        tracing::warn!(
            operator = self.shared.name,
            "failed on a batch of {records} records, retries them one by one: {error}"
        );
        let failed = match retry(self, port, batch, progress).await? {
            Retried::All { failed } => failed,
            Retried::Part => {
                self.backoff.failed();
                return Ok(());
            }
        };
        let was_slow = matches!(
            error,
            CallError::TimedOut { .. } | CallError::WaitedTooLong { .. }
        );
        if failed == 0 && was_slow {
            self.batch_max.was_too_slow(records);
            tracing::warn!(
                operator = self.shared.name,
                "each of the {records} records was in time, all together were not: it gets fewer at once from now on; \
                 `limits.time` can be raised, or `batch_size` of its edges lowered"
            );
        }
        if failed == records {
            let pause = self.backoff.failed();
            tracing::error!(
                operator = self.shared.name,
                ?pause,
                "failed on each of the {records} records of a batch; starting a new instance"
            );
        } else {
            self.backoff.succeeded();
        }
        Ok(())
    }

    /// Queues the records of an answer for their streams, behind those already queued.
    async fn hold(&mut self, outputs: Vec<(u32, Frames)>, is_counted: bool) -> Result<(), End> {
        let mut outcome = Ok(());
        for (port, frames) in outputs.into_iter().filter(|(_, frames)| !frames.is_empty()) {
            let converter = self.shared.converters.outputs.get(port as usize);
            match (self.producer(port).cloned(), converter) {
                (None, _) => self.shared.counters.unbound(frames.count()),
                (Some(_), _) if outcome.is_err() => {
                    self.shared.counters.outputs_undelivered(frames.count());
                }
                (Some(producer), Some(Some(transcoder))) => {
                    let transcoder = transcoder.clone();
                    outcome = self
                        .hold_as_postcard((port, &producer), &transcoder, frames, is_counted)
                        .await;
                }
                (Some(producer), _) => self.held.push_back(Held {
                    producer,
                    frames,
                    is_counted,
                }),
            }
        }
        outcome
    }
}
