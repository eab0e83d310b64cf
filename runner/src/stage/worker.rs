//! [`Worker`]: one instance of an operator, and what becomes of what it answers.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use mosaik_streams::{Frames, FramesProducer};

use super::{
    Blueprint, Converters, Counters, End, Handoff, OnError, Settings,
    convert::{Complaints, Port},
    order::Turn,
    recovery::Recovery,
};
use crate::operator::{CallError, Instance, Processed, State};

/// The most answers that an operator may give to one batch by saying that there is more: 1,048,576.
///
/// Each is handed on before the next is asked for, so the bound is on time, not on memory.
pub const ANSWERS_MAX: u32 = 1 << 20;
/// The time that an operator may take for all its answers to one batch, in times of what one call may take: 100, which
/// is 10 s by default. What it waits for others does not count.
const ANSWERS_TIME: u32 = 100;
/// Bytes of all answers to one batch: 4 GiB.
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
    pub(super) counters: Arc<Counters>,
    pub(super) handoff: Handoff,
}

/// An instance at work.
pub(super) struct Worker {
    pub(super) outfit: Outfit,
    /// `None` after a failure, until the next instance is built.
    pub(super) instance: Option<Instance>,
    pub(super) recovery: Recovery,
    /// Whether the policy asks for a new instance once the answers to the call at hand have come.
    pub(super) restart: bool,
    pub(super) complaints: Complaints,
    /// Whether the instance was called since the last checkpoint.
    pub(super) changed: bool,
    /// Input ports that have ended.
    pub(super) ended: Vec<u32>,
    /// Those of them that the instance was not told of: they ended before it was there.
    pub(super) untold: Vec<u32>,
    /// What it answered that is not handed on yet, and where it goes. At most what one call may answer.
    pub(super) held: VecDeque<(FramesProducer, Frames)>,
    /// Whether what it answers is handed on before the call is over. Else its stage does it between two batches, where it
    /// also hears what it is told: nobody may take it for a long time.
    pub(super) eager: bool,
    /// When to hand on what comes of the batch at hand, where others work beside this one.
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
        Self {
            outfit,
            instance: Some(instance),
            recovery: Recovery::knowing(state),
            restart: false,
            complaints: Complaints::default(),
            changed: false,
            untold: ended.clone(),
            ended,
            held: VecDeque::new(),
            eager: false,
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
            _ => {
                self.call(Some((port, &batch)), |instance| {
                    instance.process(port, &batch)
                })
                .await
            }
        };
        self.turn = None;
        done
    }

    /// Lets the instance see the clock; one that is lost is not brought back for it.
    pub(super) async fn tick(&mut self, turn: Option<Turn>) -> Result<(), End> {
        if self.instance.is_none() {
            return Ok(());
        }
        self.turn = turn;
        let done = self.call(None, Instance::tick).await;
        self.turn = None;
        done
    }

    /// Tells the instance that an input has ended.
    pub(super) async fn finish(&mut self, port: u32, turn: Option<Turn>) -> Result<(), End> {
        self.turn = turn;
        let done = self.call(None, |instance| instance.finish(port)).await;
        self.ended.push(port);
        self.turn = None;
        done
    }

    /// Goes on with other settings; so do the instances that follow.
    pub(super) fn retune(&mut self, settings: &Settings) {
        self.outfit.on_error = settings.on_error.clone();
        self.outfit.blueprint.setup.limits = settings.limits;
        if let Some(instance) = &mut self.instance {
            instance.set_limits(settings.limits);
        }
    }

    /// Waits until there is an instance, or the stage is to give up what it holds. Cancel safe.
    pub(super) async fn revive(&mut self) -> Result<(), End> {
        while self.instance.is_none() {
            let not_before = self.recovery.not_before();
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

    /// What the instance remembers; if it is lost, what the next one would start from.
    pub(super) fn snapshot(&mut self) -> Result<Option<State>, String> {
        let Some(instance) = &mut self.instance else {
            return Ok(self.recovery.saved().cloned());
        };
        instance.snapshot().map(Some).map_err(|error| {
            if error.is_fatal() {
                // It answers no more. Another one follows before the next batch.
                self.instance = None;
                self.recovery.failed();
            }
            format!("its state could not be taken: {error}")
        })
    }

    /// Calls the guest and hands on what it answers, and the rest of the answer, part by part.
    pub(super) async fn call(
        &mut self,
        batch: Option<(u32, &Frames)>,
        first: impl FnOnce(&mut Instance) -> Result<Processed, CallError>,
    ) -> Result<(), End> {
        self.hand_on().await?;
        if self.instance.is_none() {
            self.rebuild()?;
        }
        while self.instance.is_some()
            && let Some(port) = self.untold.pop()
        {
            self.call_as_it_is(None, |instance| instance.finish(port))
                .await?;
        }
        self.call_as_it_is(batch, first).await
    }

    async fn call_as_it_is(
        &mut self,
        batch: Option<(u32, &Frames)>,
        first: impl FnOnce(&mut Instance) -> Result<Processed, CallError>,
    ) -> Result<(), End> {
        let Some(instance) = &mut self.instance else {
            return self
                .lost(batch, &[], "the operator could not be built anew")
                .await;
        };
        self.changed = true;
        let mut spent = Spent::of(self.outfit.blueprint.setup.limits.call_time_max);
        let mut rejected = Vec::new();
        let mut answer = spent.in_call(|| first(instance));
        for _ in 0..ANSWERS_MAX {
            let processed = match answer {
                Ok(processed) => processed,
                Err(error) => return self.failed(batch, &rejected, error).await,
            };
            spent.note(&processed);
            if let Some(turn) = &self.turn {
                turn.comes().await;
            }
            self.hold(processed.outputs).await?;
            if processed.more || self.eager {
                self.hand_on().await?;
            }
            if let Some((port, batch)) = batch {
                self.outfit.counters.rejected(processed.rejected.len());
                rejected.extend(processed.rejected.iter().map(|rejected| rejected.index));
                self.refused(Port::Input(port), batch, &processed.rejected)
                    .await?;
            }
            let (true, Some(instance)) = (processed.more, &mut self.instance) else {
                self.answered();
                return Ok(());
            };
            if self.outfit.handoff.is_abandoned() {
                return Err(End::Stopped);
            }
            answer = match spent.too_much() {
                None => spent.in_call(|| instance.resume()),
                Some(error) => return self.failed(batch, &rejected, error).await,
            };
        }
        let endless = CallError::Malformed {
            call: "resume",
            what: format!("more than {ANSWERS_MAX} answers to one batch"),
        };
        self.failed(batch, &rejected, endless).await
    }

    /// After the last answer to a call: a new instance follows if the policy asks for one.
    pub(super) fn answered(&mut self) {
        if std::mem::take(&mut self.restart) {
            self.instance = None;
            self.recovery.failed();
        } else {
            self.recovery.succeeded();
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
                    self.outfit.counters.undelivered(frames.count());
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
        self.outfit.counters.undelivered(left.sum());
    }

    pub(super) fn producer(&self, port: u32) -> Option<&FramesProducer> {
        self.outfit.outputs.get(port as usize)?.producer.as_ref()
    }
}

/// What all answers to one batch have cost so far.
struct Spent {
    time: Duration,
    time_max: Duration,
    bytes: usize,
}

impl Spent {
    const fn of(call_time_max: Duration) -> Self {
        Self {
            time: Duration::ZERO,
            time_max: call_time_max.saturating_mul(ANSWERS_TIME),
            bytes: 0,
        }
    }

    /// Measures a call.
    fn in_call<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let said = call();
        self.time += began.elapsed();
        said
    }

    fn note(&mut self, processed: &Processed) {
        let frames = processed.outputs.iter().map(|(_, frames)| frames);
        self.bytes += frames.map(Frames::wire_len).sum::<usize>();
    }

    /// Why there may be no more of it.
    fn too_much(&self) -> Option<CallError> {
        let call = "resume";
        if self.bytes > ANSWERS_BYTES_MAX {
            let what = format!("more than {ANSWERS_BYTES_MAX} bytes in answer to one batch");
            return Some(CallError::Malformed { call, what });
        }
        (self.time > self.time_max).then_some(CallError::TimedOut {
            call,
            limit: self.time_max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_one_batch_are_bounded_in_time_and_bytes() {
        let mut spent = Spent::of(Duration::from_millis(1));
        let flood = Processed {
            outputs: vec![(0, Frames::single(&vec![0; 1 << 20]))],
            ..Processed::default()
        };
        for _ in 0..4095 {
            spent.note(&flood);
        }
        assert_eq!(spent.too_much(), None);
        spent.note(&flood);
        assert_eq!(
            spent.too_much().unwrap().to_string(),
            "`resume` gave a malformed answer: more than 4294967296 bytes in answer to one batch"
        );
        let mut spent = Spent::of(Duration::from_millis(1));
        spent.in_call(|| std::thread::sleep(Duration::from_millis(101)));
        assert_eq!(
            spent.too_much().unwrap().to_string(),
            "`resume` took longer than 100ms"
        );
    }
}
