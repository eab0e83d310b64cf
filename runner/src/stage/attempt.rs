//! One attempt at a task: the call, the remaining parts of its answer, and the counts once it is
//! complete.

use mosaik_streams::Frames;

use super::{
    End,
    answers::Answers,
    convert::Port,
    task::{Progress, Task},
    worker::{Held, Worker},
};
use crate::operator::CallError;

impl Worker {
    /// Makes one attempt at a task whose first record has the index `first` in its batch. On
    /// success, counts the reported outcomes and adds the call to the history.
    pub(super) async fn attempt(
        &mut self,
        task: &Task,
        first: u32,
        progress: &mut Progress,
    ) -> Result<Result<(), CallError>, End> {
        let done = self.attempt_in_full(task, first, progress).await?;
        if done.as_ref().is_err_and(CallError::is_fatal)
            && !task.has_records()
            && let Some(instance) = &mut self.instance
        {
            // The next attempt gets the same clock values, so that it repeats the output that this
            // attempt has handed on.
            progress.clock = instance.take_clock();
        }
        Ok(done)
    }

    async fn attempt_in_full(
        &mut self,
        task: &Task,
        first: u32,
        progress: &mut Progress,
    ) -> Result<Result<(), CallError>, End> {
        let Some(instance) = &mut self.instance else {
            return Ok(Err(CallError::Poisoned));
        };
        let mut answers = Answers::begin(task, first, instance, progress);
        loop {
            let Some(instance) = &mut self.instance else {
                return Ok(Err(CallError::Poisoned));
            };
            let processed = match answers.next(instance, progress) {
                Ok(processed) => processed,
                Err(error) => return Ok(Err(error)),
            };
            self.shared.counters.rejected(processed.rejected.len());
            self.accounted += processed.rejected.len();
            let more = processed.more;
            if !more {
                // From here on, the fate of the output is counted as output.
                self.commit(task, first, progress);
            }
            if let Some(turn) = &self.turn {
                turn.comes().await;
            }
            let is_counted = !more || !task.has_records();
            self.hold(processed.outputs, is_counted).await?;
            if more || self.eager {
                self.hand_on().await?;
            }
            if let Task::Batch(port, batch) = task {
                let rejected = (Port::Input(*port), batch, first);
                self.refused(rejected, &processed.rejected).await?;
            }
            if !more {
                self.answered();
                return Ok(Ok(()));
            }
            if self.shared.handoff.is_abandoned() {
                return Err(End::Stopped);
            }
        }
    }

    /// Counts the outcome of a completed task and adds it to the history.
    fn commit(&mut self, task: &Task, first: u32, progress: &Progress) {
        let records = task.records();
        let done = records - progress.rejected_among(first, records);
        let kept = self.shared.counters.done(done as u64, progress.outcomes);
        self.accounted += done;
        self.shared.counters.of_operator().add(&progress.counted);
        if let Task::Finish(port) = task
            && !self.ended.contains(port)
        {
            // Must precede the next snapshot, which records the ports that have ended by then.
            self.ended.push(*port);
        }
        for held in &mut self.held {
            held.is_counted = true;
        }
        self.note(task, kept);
    }

    /// Adds a call that the instance has answered or refused to the history.
    pub(super) fn note(&mut self, task: &Task, kept: u64) {
        if let Some(instance) = &mut self.instance {
            let clock = instance.take_clock();
            self.history.note(task, clock, kept);
        }
    }

    /// Completes a call: drops the instance if the policy asks for a new one.
    pub(super) fn answered(&mut self) {
        if std::mem::take(&mut self.restart) {
            self.instance = None;
            self.backoff.failed();
        } else {
            self.backoff.succeeded();
        }
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
