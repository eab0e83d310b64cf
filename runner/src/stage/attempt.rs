//! One attempt at a task: the call, the rest of its answer part by part, and what it counts once it is done.

use mosaik_streams::Frames;

use super::{
    End,
    convert::Port,
    task::{Progress, Task},
    worker::{Held, Worker},
};
use crate::operator::{CallError, Processed};

/// The most answers that an operator may give to one call by saying that there is more: 1,048,576.
///
/// Each is handed on before the next is asked for, so the bound is on time, not on memory.
pub const ANSWERS_MAX: u32 = 1 << 20;
/// Bytes of all answers to one call: 4 GiB.
const ANSWERS_BYTES_MAX: usize = 4 << 30;

impl Worker {
    /// Makes one attempt at a task, whose records are those of the batch from `first` on. Once it is done, what it has
    /// reported counts, and it is part of the history.
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
            // The next attempt sees the same clock, so that it repeats what this one has handed on.
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
        progress.forget_reports();
        instance.begin(std::mem::take(&mut progress.clock));
        let mut bytes = 0;
        let mut answer = task.call(instance);
        for _ in 0..ANSWERS_MAX {
            let mut processed = match answer {
                Ok(processed) => processed,
                Err(error) => return Ok(Err(error)),
            };
            bytes += wire_len(&processed);
            progress.note(first, &mut processed);
            self.outfit.counters.rejected(processed.rejected.len());
            self.accounted += processed.rejected.len();
            let more = processed.more;
            if !more {
                // What becomes of its output is counted as output from here on.
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
            let (true, Some(instance)) = (more, &mut self.instance) else {
                self.answered();
                return Ok(Ok(()));
            };
            if self.outfit.handoff.is_abandoned() {
                return Err(End::Stopped);
            }
            if bytes > ANSWERS_BYTES_MAX {
                let what = format!("more than {ANSWERS_BYTES_MAX} bytes in answer to one batch");
                return Ok(Err(CallError::Malformed {
                    call: "resume",
                    what,
                }));
            }
            answer = instance.resume();
        }
        Ok(Err(CallError::Malformed {
            call: "resume",
            what: format!("more than {ANSWERS_MAX} answers to one batch"),
        }))
    }

    /// Counts what a task that is done has come to, and makes it part of the history.
    fn commit(&mut self, task: &Task, first: u32, progress: &Progress) {
        let records = task.records();
        let done = records - progress.rejected_among(first, records);
        let kept = self.outfit.counters.done(done as u64, progress.outcomes);
        self.accounted += done;
        self.outfit.counters.of_operator().add(&progress.counted);
        if let Task::Finish(port) = task
            && !self.ended.contains(port)
        {
            // Before the next snapshot, which goes with the ports that have ended by then.
            self.ended.push(*port);
        }
        for held in &mut self.held {
            held.is_counted = true;
        }
        self.note(task, kept);
    }

    /// Makes a call that the instance has answered or refused part of its history.
    pub(super) fn note(&mut self, task: &Task, kept: u64) {
        if let Some(instance) = &mut self.instance {
            let clock = instance.take_clock();
            self.history.note(task, clock, kept);
        }
    }

    /// After the last answer to a call: a new instance follows if the policy asks for one.
    pub(super) fn answered(&mut self) {
        if std::mem::take(&mut self.restart) {
            self.instance = None;
            self.backoff.failed();
        } else {
            self.backoff.succeeded();
        }
    }

    /// Holds an answer's datums for the streams they are for, those before them in front.
    async fn hold(&mut self, outputs: Vec<(u32, Frames)>, is_counted: bool) -> Result<(), End> {
        let mut outcome = Ok(());
        for (port, frames) in outputs.into_iter().filter(|(_, frames)| !frames.is_empty()) {
            let converter = self.outfit.converters.outputs.get(port as usize);
            match (self.producer(port).cloned(), converter) {
                (None, _) => self.outfit.counters.unbound(frames.count()),
                (Some(_), _) if outcome.is_err() => {
                    self.outfit.counters.outputs_undelivered(frames.count());
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

fn wire_len(processed: &Processed) -> usize {
    let frames = processed.outputs.iter().map(|(_, frames)| frames);
    frames.map(Frames::wire_len).sum()
}
