//! Streams through a WebAssembly operator to streams. It runs on a thread of its own, so that a busy guest delays
//! neither I/O nor other stages.

use std::{sync::Arc, time::Duration};

use mosaik_streams::{Frames, FramesProducer};

use super::{
    BATCH_DATUMS_MAX, Blueprint, Command, Control, Converters, Counters, Drain, End, Ended, Input,
    OnError,
    convert::{Complaints, Port},
    drain::Draining,
    recovery::Recovery,
};
use tokio::sync::oneshot;

use crate::operator::{CallError, Instance, Processed, State};

/// The most answers that an operator may give to one batch by saying that there is more: 1,048,576.
///
/// Each is handed on before the next is asked for, so the bound is on time, not on memory.
const ANSWERS_MAX: u32 = 1 << 20;

/// Where the datums of an output port go.
#[derive(Debug)]
pub struct OutputPort {
    /// The stream; without one, what is sent here is counted as `unbound`.
    pub producer: Option<FramesProducer>,
}

/// What a running operator goes on with after a swap.
#[derive(Debug)]
pub struct Replacement {
    /// The new instance, opened.
    pub instance: Instance,
    /// How to build it again.
    pub blueprint: Blueprint,
    /// Whether it takes over the state of the old one.
    pub carry: bool,
    /// The new policy.
    pub on_error: OnError,
    /// The new interval of ticks.
    pub tick: Option<Duration>,
}

/// A running operator of the manifest.
#[derive(Debug)]
pub struct OperatorStage {
    /// The operator's name in the manifest.
    pub name: String,
    /// The instance, opened.
    pub instance: Instance,
    /// How to build it again.
    pub blueprint: Blueprint,
    /// Its subscriptions.
    pub inputs: Vec<Input>,
    /// Its output ports, in the component's order.
    pub outputs: Vec<OutputPort>,
    /// Where postcard is JSON for it.
    pub converters: Converters,
    /// What to do with what it refuses.
    pub on_error: OnError,
    /// How often it is called without a datum; never without this.
    pub tick: Option<Duration>,
    /// Where it counts.
    pub counters: Arc<Counters>,
}

impl OperatorStage {
    /// Works until all inputs have ended, the operator fails for good, or the stage is told to stop. Blocks the thread
    /// it is polled on during guest calls.
    pub async fn run(self, mut control: Control) -> Ended {
        let mut running = Running::new(self);
        let end = running.pump(&mut control).await;
        Ended {
            end,
            inputs: running.inputs,
            source: None,
        }
    }
}

/// The state of a running stage.
pub(super) struct Running {
    pub(super) name: String,
    /// `None` after a failure, until the next instance is built.
    pub(super) instance: Option<Instance>,
    pub(super) blueprint: Blueprint,
    pub(super) inputs: Vec<Input>,
    /// Whether the input of the same index can still bring something.
    pub(super) open: Vec<bool>,
    pub(super) outputs: Vec<OutputPort>,
    pub(super) converters: Converters,
    pub(super) on_error: OnError,
    pub(super) ticks: Option<tokio::time::Interval>,
    pub(super) counters: Arc<Counters>,
    pub(super) recovery: Recovery,
    /// Whether the policy asks for a new instance once the answers to the call at hand have come.
    pub(super) restart: bool,
    /// The input to look at first, so that a busy one does not starve the others.
    pub(super) turn: usize,
    pub(super) complaints: Complaints,
}

enum Event {
    Command(Option<Command>),
    Tick,
    Rebuild,
    Batch(usize, Option<Frames>),
}

impl Running {
    fn new(stage: OperatorStage) -> Self {
        Self {
            name: stage.name,
            instance: Some(stage.instance),
            blueprint: stage.blueprint,
            open: vec![true; stage.inputs.len()],
            inputs: stage.inputs,
            outputs: stage.outputs,
            converters: stage.converters,
            on_error: stage.on_error,
            ticks: stage.tick.map(interval),
            counters: stage.counters,
            recovery: Recovery::default(),
            restart: false,
            turn: 0,
            complaints: Complaints::default(),
        }
    }

    async fn pump(&mut self, control: &mut Control) -> End {
        loop {
            let handled = match self.next_event(control).await {
                Event::Command(Some(Command::Drain(drain))) => {
                    return self.drain(drain, control).await;
                }
                Event::Command(None) => return End::Stopped,
                Event::Command(Some(Command::Swap(replacement, reply))) => {
                    self.swap(*replacement, reply);
                    Ok(())
                }
                Event::Rebuild => self.rebuild(),
                Event::Tick => self.call(control, None, Instance::tick).await,
                Event::Batch(index, Some(batch)) => {
                    self.batch(control, self.inputs[index].port, batch).await
                }
                Event::Batch(index, None) => self.input_ended(control, index).await,
            };
            if let Err(end) = handled {
                return end;
            }
            if !self.open.contains(&true) {
                return End::Finished;
            }
        }
    }

    /// Waits for what comes first. Without an instance, no batch is taken: the edges hold them.
    ///
    /// Triggered when: a command arrives; the pause after a failure is over; a tick is due; an open input has a batch
    /// or has ended.
    async fn next_event(&mut self, control: &mut Control) -> Event {
        let ready = self.instance.is_some();
        let not_before = self.recovery.not_before();
        self.turn = self.turn.wrapping_add(1);
        tokio::select! {
            biased;
            command = control.commands.recv() => Event::Command(command),
            () = tokio::time::sleep_until(not_before.into()), if !ready => Event::Rebuild,
            () = next_tick(self.ticks.as_mut()), if ready => Event::Tick,
            (index, batch) = next_batch(&mut self.inputs, &self.open, self.turn), if ready => Event::Batch(index, batch),
        }
    }

    /// Works off the edges, then ends every input.
    async fn drain(&mut self, drain: Drain, control: &Control) -> End {
        let mut inputs = std::mem::take(&mut self.inputs);
        let mut end = End::Stopped;
        for (index, input) in inputs.iter_mut().enumerate() {
            if !std::mem::replace(&mut self.open[index], false) {
                continue;
            }
            if let Err(early) = self.drain_input(drain, control, input).await {
                end = early;
                break;
            }
        }
        self.inputs = inputs;
        end
    }

    async fn drain_input(
        &mut self,
        drain: Drain,
        control: &Control,
        input: &mut Input,
    ) -> Result<(), End> {
        let port = input.port;
        let mut draining = Draining::new(drain, input);
        while let Some(batch) = draining.next(&control.abandon).await {
            self.batch(control, port, batch).await?;
        }
        self.call(control, None, |instance| instance.finish(port))
            .await
    }

    async fn batch(&mut self, control: &Control, port: u32, batch: Frames) -> Result<(), End> {
        self.counters.took(batch.count(), batch.payload_len());
        if let Some(Some(transcoder)) = self.converters.inputs.get(port as usize) {
            let transcoder = transcoder.clone();
            return self
                .process_as_json(control, port, &transcoder, batch)
                .await;
        }
        self.call(control, Some((port, &batch)), |instance| {
            instance.process(port, &batch)
        })
        .await
    }

    async fn input_ended(&mut self, control: &Control, index: usize) -> Result<(), End> {
        self.open[index] = false;
        let port = self.inputs[index].port;
        self.call(control, None, |instance| instance.finish(port))
            .await
    }

    /// Calls the guest and hands on what it answers, and the rest of the answer, part by part.
    pub(super) async fn call(
        &mut self,
        control: &Control,
        batch: Option<(u32, &Frames)>,
        first: impl FnOnce(&mut Instance) -> Result<Processed, CallError>,
    ) -> Result<(), End> {
        if self.instance.is_none() {
            self.rebuild()?;
        }
        let Some(instance) = &mut self.instance else {
            return self
                .lost(control, batch, "the operator could not be built anew")
                .await;
        };
        let mut answer = first(instance);
        for _ in 0..ANSWERS_MAX {
            let processed = match answer {
                Ok(processed) => processed,
                Err(error) => return self.failed(control, batch, error).await,
            };
            self.hand_on(control, processed.outputs).await?;
            if let Some((port, batch)) = batch {
                self.counters.rejected(processed.rejected.len());
                self.refused(control, Port::Input(port), batch, &processed.rejected)
                    .await?;
            }
            let (true, Some(instance)) = (processed.more, &mut self.instance) else {
                self.answered();
                return Ok(());
            };
            if control.abandon.is_cancelled() {
                return Err(End::Stopped);
            }
            answer = instance.resume();
        }
        let endless = CallError::Malformed {
            call: "resume",
            what: format!("more than {ANSWERS_MAX} answers to one batch"),
        };
        self.failed(control, batch, endless).await
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

    async fn hand_on(&mut self, control: &Control, outputs: Vec<(u32, Frames)>) -> Result<(), End> {
        let mut outcome = Ok(());
        for (port, frames) in outputs.into_iter().filter(|(_, frames)| !frames.is_empty()) {
            let converter = self.converters.outputs.get(port as usize);
            match (self.producer(port), converter) {
                (None, _) => self.counters.unbound(frames.count()),
                (Some(_), _) if outcome.is_err() => self.counters.undelivered(frames.count()),
                (Some(_), Some(Some(transcoder))) => {
                    let transcoder = transcoder.clone();
                    outcome = self
                        .send_as_postcard(control, port, &transcoder, frames)
                        .await;
                }
                (Some(producer), _) => {
                    outcome = control.send(producer, frames, &self.counters).await;
                }
            }
        }
        outcome
    }

    pub(super) fn producer(&self, port: u32) -> Option<&FramesProducer> {
        self.outputs.get(port as usize)?.producer.as_ref()
    }

    /// Goes on with a new instance, with the state of the old one if it is carried. The old one stays if the new one
    /// refuses the state, or if whoever asked no longer waits.
    fn swap(&mut self, mut replacement: Replacement, reply: oneshot::Sender<Result<(), String>>) {
        let carried = if replacement.carry {
            self.carry_state(&mut replacement.instance)
        } else {
            Ok(None)
        };
        let answered = match &carried {
            Ok(_) => reply.send(Ok(())),
            Err(reason) => reply.send(Err(reason.clone())),
        };
        if let (Ok(state), Ok(())) = (carried, answered) {
            self.recovery.last_state = state;
            self.instance = Some(replacement.instance);
            self.blueprint = replacement.blueprint;
            self.on_error = replacement.on_error;
            self.ticks = replacement.tick.map(interval);
        }
    }

    fn carry_state(&mut self, next: &mut Instance) -> Result<Option<State>, String> {
        let Some(old) = &mut self.instance else {
            return Ok(None);
        };
        let state = old
            .snapshot()
            .map_err(|error| format!("its state could not be taken: {error}"))?;
        let restored = next.restore(&state);
        restored
            .map_err(|error| format!("the new one refuses the state of the old one: {error}"))?;
        Ok(Some(state))
    }
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

async fn next_tick(ticks: Option<&mut tokio::time::Interval>) {
    match ticks {
        Some(ticks) => _ = ticks.tick().await,
        None => std::future::pending().await,
    }
}

/// The next batch of any open input, beginning to look at `turn`. Cancel safe.
async fn next_batch(inputs: &mut [Input], open: &[bool], turn: usize) -> (usize, Option<Frames>) {
    let count = inputs.len().max(1);
    let mut waits: Vec<_> = inputs
        .iter_mut()
        .enumerate()
        .filter(|(index, _)| open[*index])
        .map(|(index, input)| {
            Box::pin(async move { (index, input.consumer.recv_frames(BATCH_DATUMS_MAX).await) })
        })
        .collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    let first = turn % count % waits.len();
    waits.rotate_left(first);
    futures::future::select_all(waits).await.0
}
