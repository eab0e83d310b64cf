//! [`Worker`]: one instance of an operator, and what becomes of what it answers.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use mosaik_streams::{Frames, FramesProducer};

use super::{
    Blueprint, Converters, Counters, End, Handoff, OnError, Settings,
    backoff::Backoff,
    convert::{Complaints, Port},
    history::History,
    order::Turn,
    task::{Progress, Task},
};
use crate::operator::{CallError, Instance, Processed, State};

/// The most answers that an operator may give to one call by saying that there is more: 1,048,576.
///
/// Each is handed on before the next is asked for, so the bound is on time, not on memory.
pub const ANSWERS_MAX: u32 = 1 << 20;
/// Bytes of all answers to one call: 4 GiB.
const ANSWERS_BYTES_MAX: usize = 4 << 30;

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
    /// Input ports that have ended.
    pub(super) ended: Vec<u32>,
    /// Those of them that the instance was not told of: they ended before it was there.
    pub(super) untold: Vec<u32>,
    /// What it answered that is not handed on yet, and where it goes. At most what one call may answer.
    pub(super) held: VecDeque<(FramesProducer, Frames)>,
    /// Whether what it answers is handed on before the call is over. Else its stage does it between two batches, where it
    /// also receives commands: readers may take nothing for a long time.
    pub(super) eager: bool,
    /// Kept from call to call for its buffers.
    progress: Progress,
    /// Records of the current call that are counted in one place or another.
    pub(super) accounted: usize,
    /// When to hand on what comes of the current batch, where others work beside this one.
    turn: Option<Turn>,
}

impl Worker {
    /// With an instance that has that state, and comes after these input ports have ended.
    pub(super) fn new(
        outfit: Outfit,
        instance: Instance,
        state: Option<State>,
        ended: Vec<u32>,
    ) -> Self {
        let component = &outfit.blueprint.component;
        let history = History::new(component, outfit.checkpoint, state, ended.clone());
        Self {
            outfit,
            instance: Some(instance),
            history,
            backoff: Backoff::default(),
            restart: false,
            complaints: Complaints::default(),
            batch_max: BatchMax::default(),
            untold: ended.clone(),
            ended,
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
        self.note_end(port);
        self.turn = None;
        done
    }

    fn note_end(&mut self, port: u32) {
        if !self.ended.contains(&port) {
            self.ended.push(port);
        }
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
    pub(super) fn snapshot(&mut self) -> Result<Option<State>, String> {
        if self.instance.is_none() {
            self.rebuild()
                .map_err(|_| "it could not be brought back".to_owned())?;
        }
        let Some(instance) = &mut self.instance else {
            return Err("its instance was lost and is not back yet".to_owned());
        };
        instance.snapshot().map(Some).map_err(|error| {
            if error.is_fatal() {
                // Another one follows before the next batch.
                self.instance = None;
                self.backoff.failed();
            }
            format!("its state could not be taken: {error}")
        })
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
        while self.instance.is_some()
            && let Some(port) = self.untold.pop()
        {
            self.perform(Task::Finish(port)).await?;
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

    /// Makes one attempt at a task, whose records are those of the batch from `first` on. Once it is done, what it has
    /// reported counts, and it is part of the history.
    pub(super) async fn attempt(
        &mut self,
        task: &Task,
        first: u32,
        progress: &mut Progress,
    ) -> Result<Result<(), CallError>, End> {
        let Some(instance) = &mut self.instance else {
            return Ok(Err(CallError::Poisoned));
        };
        progress.forget_reports();
        let rejected_before = progress.rejected.len();
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
                let rejected = progress.rejected.len() - rejected_before;
                self.commit(task, rejected, progress);
            }
            if let Some(turn) = &self.turn {
                turn.comes().await;
            }
            self.hold(processed.outputs).await?;
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
    fn commit(&mut self, task: &Task, rejected: usize, progress: &Progress) {
        let records = (task.records() - rejected.min(task.records())) as u64;
        let kept = self.outfit.counters.done(records, progress.outcomes);
        self.accounted += records as usize;
        self.outfit.counters.of_operator().add(&progress.counted);
        if let Task::Finish(port) = task {
            // Before the next snapshot, which goes with the ports that have ended by then.
            self.note_end(*port);
        }
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
    async fn hold(&mut self, outputs: Vec<(u32, Frames)>) -> Result<(), End> {
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
                        .hold_as_postcard((port, &producer), &transcoder, frames)
                        .await;
                }
                (Some(producer), _) => self.held.push_back((producer, frames)),
            }
        }
        outcome
    }

    /// Whether something waits to be handed on.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Hands on what is held. Cancel safe: what is not handed on stays held.
    pub(super) async fn hand_on(&mut self) -> Result<(), End> {
        while let Some((producer, frames)) = self.held.front_mut() {
            let Outfit {
                handoff, counters, ..
            } = &self.outfit;
            if let Err(end) = handoff.send_rest(producer, frames, counters).await {
                self.give_up();
                return Err(end);
            }
            self.held.pop_front();
        }
        Ok(())
    }

    /// What is held is handed on by nobody.
    pub(super) fn give_up(&mut self) {
        let left = self.held.drain(..).map(|(_, frames)| frames.count());
        self.outfit.counters.outputs_undelivered(left.sum());
    }

    pub(super) fn producer(&self, port: u32) -> Option<&FramesProducer> {
        self.outfit.outputs.get(port as usize)?.producer.as_ref()
    }
}

fn wire_len(processed: &Processed) -> usize {
    let frames = processed.outputs.iter().map(|(_, frames)| frames);
    frames.map(Frames::wire_len).sum()
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
