//! [`Worker`]: one instance of an operator, the calls to it, and its queued output.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use mosaik_streams::{Frames, FramesProducer};

use super::{
    Blueprint, Converters, Counters, End, Handoff, OnError, Settings, SnapshotError,
    backoff::Backoff,
    conversation::attempt,
    convert::RateLimitedWarnings,
    history::Saved,
    order::Turn,
    recoverable::Recoverable,
    task::{Progress, Task},
};
use crate::operator::Instance;

/// The destination of an output port's records.
#[derive(Debug, Clone)]
pub struct OutputPort {
    /// The stream. Without one, output to this port counts as `unbound`.
    pub producer: Option<FramesProducer>,
}

/// The configuration that all instances of an operator share.
#[derive(Debug, Clone)]
pub(super) struct SharedConfig {
    pub(super) name: String,
    pub(super) blueprint: Blueprint,
    pub(super) outputs: Vec<OutputPort>,
    pub(super) converters: Converters,
    pub(super) on_error: OnError,
    /// Interval between snapshots, if the manifest sets one.
    pub(super) checkpoint: Option<Duration>,
    pub(super) counters: Arc<Counters>,
    pub(super) handoff: Handoff,
}

/// A running instance.
pub(super) struct Worker {
    pub(super) shared: SharedConfig,
    pub(super) called: Recoverable,
    pub(super) backoff: Backoff,
    /// True if the policy asks for a new instance after the answers to the current call.
    pub(super) restart: bool,
    pub(super) warnings: RateLimitedWarnings,
    /// Number of records per call. It is smaller than a batch if the operator is too slow for a
    /// whole one.
    pub(super) batch_max: BatchMax,
    /// Input ports that have ended and whose end the instance has yet to process.
    pub(super) ends_due: Vec<u32>,
    /// Output that is not handed on yet: at most the answer to one call.
    pub(super) held: VecDeque<Held>,
    /// True if output is handed on before the call is over. Otherwise the stage hands it on between
    /// two batches, where it also receives commands, because readers may accept nothing for a long
    /// time.
    pub(super) eager: bool,
    /// Kept between calls to reuse its buffers.
    progress: Progress,
    /// Number of records of the current call whose outcome is already counted.
    pub(super) accounted: usize,
    /// The turn in which to hand on the output of the current batch, if other workers run
    /// concurrently.
    pub(super) turn: Option<Turn>,
}

/// The records of an answer and their destination.
pub(super) struct Held {
    pub(super) producer: FramesProducer,
    pub(super) frames: Frames,
    /// True if the input records of this output are counted as done. Until then, giving up counts
    /// the input and not this output.
    pub(super) is_counted: bool,
}

impl Worker {
    /// Creates a worker for an instance with the state in `saved`. `due` lists the input ports that
    /// have ended and whose end it has yet to process, and `done` those whose end it has processed.
    pub(super) fn new(
        shared: SharedConfig,
        instance: Instance,
        saved: Option<Saved>,
        (due, done): (Vec<u32>, Vec<u32>),
    ) -> Self {
        let component = &shared.blueprint.component;
        Self {
            called: Recoverable::new(component, shared.checkpoint, (instance, saved), done),
            shared,
            backoff: Backoff::default(),
            restart: false,
            warnings: RateLimitedWarnings::default(),
            batch_max: BatchMax::default(),
            ends_due: due,
            held: VecDeque::new(),
            eager: false,
            progress: Progress::default(),
            accounted: 0,
            turn: None,
        }
    }

    /// Passes a batch to the instance, and hands its output to the streams once it is this batch's
    /// turn.
    pub(super) async fn batch(
        &mut self,
        port: u32,
        batch: Frames,
        turn: Option<Turn>,
    ) -> Result<(), End> {
        self.turn = turn;
        let done = match self.shared.converters.inputs.get(port as usize) {
            Some(Some(transcoder)) => {
                let transcoder = transcoder.clone();
                self.process_as_json(port, &transcoder, batch).await
            }
            _ => self.process(port, batch).await,
        };
        self.turn = None;
        done
    }

    /// Passes a batch in the operator's encoding to the instance, in parts if the operator is slow.
    pub(super) async fn process(&mut self, port: u32, mut rest: Frames) -> Result<(), End> {
        while !rest.is_empty() {
            let records = rest.split_front(self.batch_max.get(), usize::MAX);
            let done = self.call(Task::Batch(port, records)).await;
            if done.is_err() {
                self.shared.counters.undelivered(rest.count());
                return done;
            }
        }
        Ok(())
    }

    /// Sends a tick to the instance. A lost instance is not restored for this.
    pub(super) async fn tick(&mut self, turn: Option<Turn>) -> Result<(), End> {
        if self.called.is_lost() {
            return Ok(());
        }
        self.turn = turn;
        let done = self.call(Task::Tick).await;
        self.turn = None;
        done
    }

    /// Notifies the instance that an input has ended.
    pub(super) async fn finish(&mut self, port: u32, turn: Option<Turn>) -> Result<(), End> {
        self.turn = turn;
        let done = self.call(Task::Finish(port)).await;
        self.turn = None;
        done
    }

    /// Changes the settings of this instance and of those that follow.
    pub(super) fn retune(&mut self, settings: &Settings) {
        self.shared.on_error = settings.on_error.clone();
        self.shared.blueprint.setup.limits = settings.limits;
        self.shared.checkpoint = settings.checkpoint;
        self.called.set_interval(settings.checkpoint);
        if let Some(instance) = self.called.instance() {
            instance.set_limits(settings.limits);
        }
    }

    /// Waits until there is an instance, or the stage has to give up its remaining records.
    /// Cancel safe.
    pub(super) async fn revive(&mut self) -> Result<(), End> {
        while self.called.is_lost() {
            let not_before = self.backoff.not_before();
            tokio::select! {
                biased;
                // Triggered when the time limit for the stage to end has passed.
                () = self.shared.handoff.abandoned() => return Ok(()),
                // Triggered when the pause after a failure is over.
                () = tokio::time::sleep_until(not_before.into()) => self.rebuild()?,
            }
        }
        Ok(())
    }

    /// Returns the state of the instance. A lost instance is restored first.
    pub(super) fn snapshot(&mut self) -> Result<Saved, SnapshotError> {
        if self.called.is_lost() {
            self.rebuild().map_err(|_| SnapshotError::NotRestored)?;
        }
        let Some(taken) = self.called.snapshot() else {
            return Err(SnapshotError::Lost);
        };
        taken.map_err(|error| {
            if error.is_fatal() {
                // A new instance follows before the next batch.
                self.backoff.failed();
            }
            SnapshotError::Call(error)
        })
    }

    /// Runs a task on the instance and hands on its output, part by part. The policy applies to
    /// records on which it fails. If the stage has to end meanwhile, the records without an outcome
    /// count as undelivered.
    pub(super) async fn call(&mut self, task: Task) -> Result<(), End> {
        let records = task.records();
        self.accounted = 0;
        let called = self.call_in_full(task).await;
        if called.is_err() {
            let left = records.saturating_sub(self.accounted);
            self.shared.counters.undelivered(left);
        }
        called
    }

    async fn call_in_full(&mut self, task: Task) -> Result<(), End> {
        self.hand_on().await?;
        if self.called.is_lost() {
            self.rebuild()?;
        }
        for port in std::mem::take(&mut self.ends_due) {
            self.perform(Task::Finish(port)).await?;
            // One notification is enough: an instance that fails on it again has no state left to
            // flush.
            self.ends_due.retain(|ends_due| *ends_due != port);
        }
        self.revive().await?;
        if self.called.is_lost() {
            return Err(End::Stopped);
        }
        self.perform(task).await?;
        self.save_if_due();
        Ok(())
    }

    async fn perform(&mut self, task: Task) -> Result<(), End> {
        let mut progress = std::mem::take(&mut self.progress);
        progress.begin();
        match attempt(self, &task, 0, &mut progress).await? {
            Ok(()) => {
                self.progress = progress;
                self.batch_max.was_in_time(task.records());
                Ok(())
            }
            Err(error) => self.failed(task, progress, error).await,
        }
    }

    /// Returns true if output is queued.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Hands on the queued output. Cancel safe: output that is not handed on stays queued.
    pub(super) async fn hand_on(&mut self) -> Result<(), End> {
        while let Some(held) = self.held.front_mut() {
            let SharedConfig {
                handoff, counters, ..
            } = &self.shared;
            let sent = handoff.send_rest(&held.producer, &mut held.frames, counters);
            if let Err(end) = sent.await {
                self.give_up();
                return Err(end);
            }
            self.held.pop_front();
        }
        Ok(())
    }

    /// Discards the queued output and counts it as undelivered.
    pub(super) fn give_up(&mut self) {
        let left = self.held.drain(..).filter(|held| held.is_counted);
        let left = left.map(|held| held.frames.count()).sum();
        self.shared.counters.outputs_undelivered(left);
    }

    pub(super) fn producer(&self, port: u32) -> Option<&FramesProducer> {
        self.shared.outputs.get(port as usize)?.producer.as_ref()
    }
}

/// The number of records per call: a whole batch, unless the operator is too slow for it.
#[derive(Debug)]
pub(super) struct BatchMax {
    records: usize,
    /// Number of calls of this size that were in time since the last change.
    in_time: u32,
}

impl Default for BatchMax {
    fn default() -> Self {
        Self {
            records: usize::MAX,
            in_time: 0,
        }
    }
}

impl BatchMax {
    /// Number of calls in time before a larger size is tried.
    const TRIES: u32 = 16;

    const fn get(&self) -> usize {
        self.records
    }

    /// Reduces the size to a quarter after a call with `records` records was too slow although each
    /// single record was in time.
    pub(super) fn was_too_slow(&mut self, records: usize) {
        self.records = (records / 4).max(1);
        self.in_time = 0;
    }

    fn was_in_time(&mut self, records: usize) {
        if records < self.records {
            return;
        }
        self.in_time += 1;
        if self.in_time >= Self::TRIES {
            self.in_time = 0;
            self.records = self.records.saturating_mul(2);
            if self.records > super::BATCH_DATUMS_MAX {
                self.records = usize::MAX;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_operator_gets_fewer_records_and_then_more_again() {
        let mut max = BatchMax::default();
        assert_eq!(max.get(), usize::MAX);
        max.was_too_slow(1000);
        assert_eq!(max.get(), 250);
        for _ in 0..16 {
            max.was_in_time(250);
            max.was_in_time(3);
        }
        assert_eq!(max.get(), 500);
        max.was_too_slow(2);
        assert_eq!(max.get(), 1);
        for _ in 0..13 * 16 {
            max.was_in_time(max.get());
        }
        assert_eq!(max.get(), usize::MAX);
    }
}
