//! [`Worker`]: one instance of an operator, the calls made to it, and what waits to be handed on.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use mosaik_streams::{Frames, FramesProducer};

use super::{
    Blueprint, Converters, Counters, End, Handoff, OnError, Settings,
    backoff::Backoff,
    convert::Complaints,
    history::{History, Saved},
    order::Turn,
    task::{Progress, Task},
};
use crate::operator::Instance;

/// Where the datums of an output port go.
#[derive(Debug, Clone)]
pub struct OutputPort {
    /// The stream; without one, what is sent here is counted as `unbound`.
    pub producer: Option<FramesProducer>,
}

/// What all instances of an operator have in common.
#[derive(Debug, Clone)]
pub(super) struct Outfit {
    pub(super) name: String,
    pub(super) blueprint: Blueprint,
    pub(super) outputs: Vec<OutputPort>,
    pub(super) converters: Converters,
    pub(super) on_error: OnError,
    /// How often snapshots are taken at the least, if the manifest says.
    pub(super) checkpoint: Option<Duration>,
    pub(super) counters: Arc<Counters>,
    pub(super) handoff: Handoff,
}

/// An instance at work.
pub(super) struct Worker {
    pub(super) outfit: Outfit,
    /// `None` after a failure, until the next instance is built.
    pub(super) instance: Option<Instance>,
    pub(super) history: History,
    pub(super) backoff: Backoff,
    /// Whether the policy asks for a new instance once the answers to the current call have come.
    pub(super) restart: bool,
    pub(super) complaints: Complaints,
    /// Records of one call, fewer than a batch has where the operator is too slow for that many.
    pub(super) batch_max: BatchMax,
    /// Input ports that have ended, which the instance or one before it was told and has taken in.
    pub(super) ended: Vec<u32>,
    /// Input ports that have ended, which the instance has yet to be told.
    pub(super) untold: Vec<u32>,
    /// What it answered that is not handed on yet. At most what one call may answer.
    pub(super) held: VecDeque<Held>,
    /// Whether what it answers is handed on before the call is over. Else its stage does it between two batches, where it
    /// also receives commands: readers may take nothing for a long time.
    pub(super) eager: bool,
    /// Kept from call to call for its buffers.
    progress: Progress,
    /// Records of the current call that are counted in one place or another.
    pub(super) accounted: usize,
    /// When to hand on what comes of the current batch, where others work beside this one.
    pub(super) turn: Option<Turn>,
}

/// An answer's records, and where they go.
pub(super) struct Held {
    pub(super) producer: FramesProducer,
    pub(super) frames: Frames,
    /// Whether the records that brought it are counted as done. Until then it is they that count if all is given up.
    pub(super) is_counted: bool,
}

impl Worker {
    /// With an instance that has what is saved, and comes after these input ports have ended.
    pub(super) fn new(
        outfit: Outfit,
        instance: Instance,
        saved: Option<Saved>,
        ended: Vec<u32>,
    ) -> Self {
        let component = &outfit.blueprint.component;
        let history = History::new(component, outfit.checkpoint, saved);
        Self {
            outfit,
            instance: Some(instance),
            history,
            backoff: Backoff::default(),
            restart: false,
            complaints: Complaints::default(),
            batch_max: BatchMax::default(),
            untold: ended,
            ended: Vec::new(),
            held: VecDeque::new(),
            eager: false,
            progress: Progress::default(),
            accounted: 0,
            turn: None,
        }
    }

    /// Hands a batch to the instance, and what it answers to the streams, once it is this batch's turn.
    pub(super) async fn batch(
        &mut self,
        port: u32,
        batch: Frames,
        turn: Option<Turn>,
    ) -> Result<(), End> {
        self.turn = turn;
        let done = match self.outfit.converters.inputs.get(port as usize) {
            Some(Some(transcoder)) => {
                let transcoder = transcoder.clone();
                self.process_as_json(port, &transcoder, batch).await
            }
            _ => self.process(port, batch).await,
        };
        self.turn = None;
        done
    }

    /// Hands a batch in the operator's encoding to the instance, in parts if it is slow.
    pub(super) async fn process(&mut self, port: u32, mut rest: Frames) -> Result<(), End> {
        while !rest.is_empty() {
            let records = rest.split_front(self.batch_max.get(), usize::MAX);
            let done = self.call(Task::Batch(port, records)).await;
            if done.is_err() {
                self.outfit.counters.undelivered(rest.count());
                return done;
            }
        }
        Ok(())
    }

    /// Lets the instance see the clock; one that is lost is not brought back for it.
    pub(super) async fn tick(&mut self, turn: Option<Turn>) -> Result<(), End> {
        if self.instance.is_none() {
            return Ok(());
        }
        self.turn = turn;
        let done = self.call(Task::Tick).await;
        self.turn = None;
        done
    }

    /// Tells the instance that an input has ended.
    pub(super) async fn finish(&mut self, port: u32, turn: Option<Turn>) -> Result<(), End> {
        self.turn = turn;
        let done = self.call(Task::Finish(port)).await;
        self.turn = None;
        done
    }

    /// Goes on with other settings; so do the instances that follow.
    pub(super) fn retune(&mut self, settings: &Settings) {
        self.outfit.on_error = settings.on_error.clone();
        self.outfit.blueprint.setup.limits = settings.limits;
        self.outfit.checkpoint = settings.checkpoint;
        self.history.set_interval(settings.checkpoint);
        if let Some(instance) = &mut self.instance {
            instance.set_limits(settings.limits);
        }
    }

    /// Waits until there is an instance, or the stage is to give up what it holds. Cancel safe.
    pub(super) async fn revive(&mut self) -> Result<(), End> {
        while self.instance.is_none() {
            let not_before = self.backoff.not_before();
            tokio::select! {
                biased;
                // Triggered when the time to come to an end is over.
                () = self.outfit.handoff.abandoned() => return Ok(()),
                // Triggered when the pause after a failure is over.
                () = tokio::time::sleep_until(not_before.into()) => self.rebuild()?,
            }
        }
        Ok(())
    }

    /// What the instance remembers. One that is lost is brought back first.
    pub(super) fn snapshot(&mut self) -> Result<Saved, String> {
        if self.instance.is_none() {
            self.rebuild()
                .map_err(|_| "it could not be brought back".to_owned())?;
        }
        let Some(instance) = &mut self.instance else {
            return Err("its instance was lost and is not back yet".to_owned());
        };
        match instance.snapshot() {
            Ok(state) => Ok(self.history.saved_as(state)),
            Err(error) => {
                if error.is_fatal() {
                    // Another one follows before the next batch.
                    self.instance = None;
                    self.backoff.failed();
                }
                Err(format!("its state could not be taken: {error}"))
            }
        }
    }

    /// Makes the instance do something and hands on what it answers, part by part. What it fails on goes by the policy.
    /// When the stage has to end meanwhile, records without a place are not delivered.
    pub(super) async fn call(&mut self, task: Task) -> Result<(), End> {
        let records = task.records();
        self.accounted = 0;
        let called = self.call_in_full(task).await;
        if called.is_err() {
            let left = records.saturating_sub(self.accounted);
            self.outfit.counters.undelivered(left);
        }
        called
    }

    async fn call_in_full(&mut self, task: Task) -> Result<(), End> {
        self.hand_on().await?;
        if self.instance.is_none() {
            self.rebuild()?;
        }
        for port in std::mem::take(&mut self.untold) {
            self.perform(Task::Finish(port)).await?;
            // It is told once: one that fails on it again has no state any more that this could flush.
            self.untold.retain(|untold| *untold != port);
        }
        self.revive().await?;
        if self.instance.is_none() {
            return Err(End::Stopped);
        }
        self.perform(task).await?;
        self.save_if_due();
        Ok(())
    }

    async fn perform(&mut self, task: Task) -> Result<(), End> {
        let mut progress = std::mem::take(&mut self.progress);
        progress.begin();
        match self.attempt(&task, 0, &mut progress).await? {
            Ok(()) => {
                self.progress = progress;
                self.batch_max.was_in_time(task.records());
                Ok(())
            }
            Err(error) => self.failed(task, progress, error).await,
        }
    }

    /// Whether something waits to be handed on.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Hands on what is held. Cancel safe: what is not handed on stays held.
    pub(super) async fn hand_on(&mut self) -> Result<(), End> {
        while let Some(held) = self.held.front_mut() {
            let Outfit {
                handoff, counters, ..
            } = &self.outfit;
            let sent = handoff.send_rest(&held.producer, &mut held.frames, counters);
            if let Err(end) = sent.await {
                self.give_up();
                return Err(end);
            }
            self.held.pop_front();
        }
        Ok(())
    }

    /// What is held is handed on by nobody.
    pub(super) fn give_up(&mut self) {
        let left = self.held.drain(..).filter(|held| held.is_counted);
        let left = left.map(|held| held.frames.count()).sum();
        self.outfit.counters.outputs_undelivered(left);
    }

    pub(super) fn producer(&self, port: u32) -> Option<&FramesProducer> {
        self.outfit.outputs.get(port as usize)?.producer.as_ref()
    }
}

/// How many records one call gets: all of a batch, unless that takes the operator longer than it may.
#[derive(Debug)]
pub(super) struct BatchMax {
    records: usize,
    /// Calls with so many that were in time since the last change.
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
    /// Calls in time before more records are tried again.
    const TRIES: u32 = 16;

    const fn get(&self) -> usize {
        self.records
    }

    /// So many records took too long, although each by itself did not.
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
