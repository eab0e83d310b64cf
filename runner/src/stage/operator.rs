//! Streams through a WebAssembly operator to streams. It runs on a thread of its own, so that a busy guest delays
//! neither I/O nor other stages.

use std::{sync::Arc, time::Duration};

use mosaik_streams::{Frames, FramesProducer};

use super::{
    BATCH_DATUMS_MAX, Blueprint, Command, Control, Counters, Drain, End, Ended, Input, OnError,
    drain::Draining,
    recovery::{Recovery, letters},
};
use tokio::sync::oneshot;

use crate::operator::{CallError, Instance, Processed, Rejected, State};

/// The most answers that an operator may give to one batch by saying that there is more: 1,048,576.
///
/// Each is handed on before the next is asked for, so the bound is on time, not on memory.
const ANSWERS_MAX: u32 = 1 << 20;

/// How often a stage speaks in the log of what its operator refuses.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(1);

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

struct Running {
    name: String,
    /// `None` after a failure, until the next instance is built.
    instance: Option<Instance>,
    blueprint: Blueprint,
    inputs: Vec<Input>,
    /// Whether the input of the same index can still bring something.
    open: Vec<bool>,
    outputs: Vec<OutputPort>,
    on_error: OnError,
    ticks: Option<tokio::time::Interval>,
    counters: Arc<Counters>,
    recovery: Recovery,
    /// Whether the policy asks for a new instance once the answers to the call at hand have come.
    restart: bool,
    /// The input to look at first, so that a busy one does not starve the others.
    turn: usize,
    last_complaint: Option<std::time::Instant>,
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
            on_error: stage.on_error,
            ticks: stage.tick.map(interval),
            counters: stage.counters,
            recovery: Recovery::default(),
            restart: false,
            turn: 0,
            last_complaint: None,
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
    async fn call(
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
            self.refused(control, batch, &processed.rejected).await?;
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
    fn answered(&mut self) {
        if std::mem::take(&mut self.restart) {
            self.instance = None;
            self.recovery.failed();
        } else {
            self.recovery.succeeded();
        }
    }

    async fn hand_on(&self, control: &Control, outputs: Vec<(u32, Frames)>) -> Result<(), End> {
        let mut outcome = Ok(());
        for (port, frames) in outputs.into_iter().filter(|(_, frames)| !frames.is_empty()) {
            match self
                .outputs
                .get(port as usize)
                .and_then(|output| output.producer.as_ref())
            {
                None => self.counters.unbound(frames.count()),
                Some(_) if outcome.is_err() => self.counters.undelivered(frames.count()),
                Some(producer) => outcome = control.send(producer, frames, &self.counters).await,
            }
        }
        outcome
    }

    /// Applies the policy to single datums of a batch that the guest refused.
    async fn refused(
        &mut self,
        control: &Control,
        batch: Option<(u32, &Frames)>,
        rejected: &[Rejected],
    ) -> Result<(), End> {
        let (Some((port, batch)), Some(first)) = (batch, rejected.first()) else {
            return Ok(());
        };
        self.counters.rejected(rejected.len());
        self.complain(rejected.len(), &first.reason);
        match &self.on_error {
            OnError::Skip => Ok(()),
            OnError::Stop => Err(End::Failed(format!("refused a datum: {}", first.reason))),
            OnError::Restart => {
                self.restart = true;
                Ok(())
            }
            OnError::To(stream) => {
                let mut datums = batch.iter().enumerate();
                let refused = rejected.iter().filter_map(|rejected| {
                    let (_, bytes) = datums.find(|(index, _)| *index == rejected.index as usize)?;
                    Some((bytes, rejected.reason.as_str()))
                });
                let letters = letters(&self.name, self.port_name(port), refused);
                self.send_letters(control, stream, letters).await
            }
        }
    }

    /// Applies the policy to a batch during which the guest failed, and gives the instance up.
    async fn failed(
        &mut self,
        control: &Control,
        batch: Option<(u32, &Frames)>,
        error: CallError,
    ) -> Result<(), End> {
        let reason = error.to_string();
        if error.is_fatal() {
            self.instance = None;
            let pause = self.recovery.failed();
            tracing::error!(
                operator = self.name,
                ?pause,
                "failed: {reason}; a new instance follows"
            );
        }
        self.lost(control, batch, &reason).await
    }

    async fn lost(
        &mut self,
        control: &Control,
        batch: Option<(u32, &Frames)>,
        reason: &str,
    ) -> Result<(), End> {
        let count = batch.map_or(0, |(_, batch)| batch.count());
        self.counters.failed(count);
        if count > 0 {
            self.complain(count, reason);
        }
        match (&self.on_error, batch) {
            (OnError::Stop, _) => Err(End::Failed(reason.to_owned())),
            (OnError::To(stream), Some((port, batch))) => {
                let letters = letters(
                    &self.name,
                    self.port_name(port),
                    batch.iter().map(|datum| (datum, reason)),
                );
                self.send_letters(control, stream, letters).await
            }
            _ => Ok(()),
        }
    }

    /// Letters count at the stream they go to, not as this operator's output; those that do not get there count here.
    async fn send_letters(
        &self,
        control: &Control,
        stream: &FramesProducer,
        mut letters: Frames,
    ) -> Result<(), End> {
        let sent = control
            .send_rest(stream, &mut letters, &Counters::default())
            .await;
        self.counters.undelivered(letters.count());
        sent
    }

    fn port_name(&self, port: u32) -> &str {
        let inputs = &self.blueprint.component.description().inputs;
        inputs.get(port as usize).map_or("", String::as_str)
    }

    fn complain(&mut self, count: usize, reason: &str) {
        if self
            .last_complaint
            .is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL)
        {
            self.last_complaint = Some(std::time::Instant::now());
            tracing::warn!(
                operator = self.name,
                "refused {count} of a batch's datums, the first: {reason}"
            );
        }
    }

    /// Builds the next instance after a failure, from the last snapshot if there is one.
    fn rebuild(&mut self) -> Result<(), End> {
        let built = self
            .blueprint
            .instantiate()
            .map_err(|error| error.to_string())
            .and_then(|mut instance| {
                if let Some(state) = self.recovery.last_state.clone() {
                    instance
                        .restore(&state)
                        .map_err(|error| error.to_string())?;
                }
                Ok(instance)
            });
        match built {
            Ok(instance) => {
                let start = if self.recovery.last_state.is_some() {
                    "its last snapshot"
                } else {
                    "empty state"
                };
                tracing::info!(
                    operator = self.name,
                    "goes on with a new instance from {start}"
                );
                self.instance = Some(instance);
                self.counters.restarted();
                Ok(())
            }
            Err(reason) if matches!(self.on_error, OnError::Stop) => Err(End::Failed(reason)),
            Err(reason) => {
                let pause = self.recovery.failed();
                tracing::error!(
                    operator = self.name,
                    ?pause,
                    "cannot be built anew: {reason}"
                );
                Ok(())
            }
        }
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
