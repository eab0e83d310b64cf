//! Streams through a WebAssembly operator to streams. It runs on a thread of its own, so that a busy guest delays
//! neither I/O nor other stages; several instances run on one each.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    BATCH_DATUMS_MAX, Blueprint, Command, Control, Converters, Counters, Drain, End, Ended,
    Handoff, Input, OnError, OutputPort, Reply, Spread,
    drain::Draining,
    pool::Pool,
    spread::spread,
    worker::{Outfit, Worker},
};
use crate::operator::{Instance, Limits, State};
use mosaik_streams::Frames;

/// What a running operator goes on with after a swap.
#[derive(Debug)]
pub struct Replacement {
    /// The new instances, opened; as many as `spread` says.
    pub instances: Vec<Instance>,
    /// Which of them gets what.
    pub spread: Spread,
    /// How to build them again.
    pub blueprint: Blueprint,
    /// Whether they take over the state of the old ones.
    pub carry: bool,
    /// What else changes.
    pub settings: Settings,
}

/// What of a running operator can change without another instance.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What its instances are held to.
    pub limits: Limits,
    /// What to do with what it refuses.
    pub on_error: OnError,
    /// How often it is called without a datum; never without this.
    pub tick: Option<Duration>,
    /// How often it is asked what it knows, for the instance that follows a failure; never without this.
    pub checkpoint: Option<Duration>,
}

/// A running operator of the manifest.
#[derive(Debug)]
pub struct OperatorStage {
    /// The operator's name in the manifest.
    pub name: String,
    /// The instances, opened; as many as `spread` says.
    pub instances: Vec<Instance>,
    /// Which of them gets what.
    pub spread: Spread,
    /// How to build them again.
    pub blueprint: Blueprint,
    /// Its subscriptions.
    pub inputs: Vec<Input>,
    /// Its output ports, in the component's order.
    pub outputs: Vec<OutputPort>,
    /// Where postcard is JSON for it.
    pub converters: Converters,
    /// What can change while it runs. The limits are those of `blueprint`.
    pub settings: Settings,
    /// Where it counts.
    pub counters: Arc<Counters>,
}

impl OperatorStage {
    /// Works until all inputs have ended, the operator fails for good, or the stage is told to stop. Blocks the thread
    /// it is polled on during guest calls.
    pub async fn run(self, mut control: Control) -> Ended {
        let (mut running, instances) = Running::new(self, control.handoff.clone());
        let members = instances.into_iter().map(|instance| (instance, None));
        let end = match Crew::new(&running.outfit, members.collect(), &running.spread, &[]) {
            Ok(mut crew) => {
                let end = running.pump(&mut crew, &mut control).await;
                crew.end(!matches!(end, End::Finished)).await;
                end
            }
            Err(reason) => End::Failed(reason),
        };
        Ended {
            end,
            inputs: running.inputs,
            source: None,
        }
    }
}

/// The instances of a stage.
enum Crew {
    /// One, on the stage's own thread.
    One(Box<Worker>),
    Many(Pool),
}

impl Crew {
    /// Instances with the state they were given, after these input ports have ended.
    fn new(
        outfit: &Outfit,
        members: Vec<(Instance, Option<State>)>,
        spread: &Spread,
        ended: &[u32],
    ) -> Result<Self, String> {
        let mut workers: Vec<Worker> = members
            .into_iter()
            .map(|(instance, state)| Worker::new(outfit.clone(), instance, state, ended.to_vec()))
            .collect();
        if workers.len() > 1 {
            return Pool::start(workers, spread).map(Self::Many);
        }
        let alone = workers.pop().ok_or("it has no instance")?;
        Ok(Self::One(Box::new(alone)))
    }

    /// Whether batches can be taken. A pool takes them while an instance is being brought back.
    const fn is_ready(&self) -> bool {
        match self {
            Self::One(worker) => worker.instance.is_some(),
            Self::Many(_) => true,
        }
    }

    /// Goes on once there is an instance again, or when one of a pool has the stage end. Cancel safe.
    async fn changes(&mut self) -> Result<(), End> {
        match self {
            Self::One(worker) => worker.revive().await,
            Self::Many(pool) => Err(pool.failed().await),
        }
    }

    /// Whether something that was answered waits to be handed on, before anything else is taken.
    fn holds(&self) -> bool {
        matches!(self, Self::One(worker) if worker.holds())
    }

    /// Hands on what waits for that. Cancel safe.
    async fn hand_on(&mut self) -> Result<(), End> {
        match self {
            Self::One(worker) => worker.hand_on().await,
            Self::Many(_) => Ok(()),
        }
    }

    /// Goes on with what the instances before had answered, and not handed on.
    fn inherit(&mut self, before: &mut Self) {
        if let (Self::One(worker), Self::One(before)) = (self, before) {
            worker.held.append(&mut before.held);
        }
    }

    async fn batch(&mut self, port: u32, batch: Frames) -> Result<(), End> {
        match self {
            Self::One(worker) => worker.batch(port, batch, None).await,
            Self::Many(pool) => pool.batch(port, batch).await,
        }
    }

    async fn tick(&mut self) -> Result<(), End> {
        match self {
            Self::One(worker) => worker.tick(None).await,
            Self::Many(pool) => pool.tick().await,
        }
    }

    async fn checkpoint(&mut self) -> Result<(), End> {
        match self {
            Self::One(worker) => worker.checkpoint().await,
            Self::Many(pool) => pool.checkpoint().await,
        }
    }

    async fn retune(&mut self, settings: &Settings) -> Result<(), End> {
        match self {
            Self::One(worker) => {
                worker.retune(settings);
                Ok(())
            }
            Self::Many(pool) => pool.retune(settings).await,
        }
    }

    async fn finish(&mut self, port: u32) -> Result<(), End> {
        match self {
            Self::One(worker) => worker.finish(port, None).await,
            Self::Many(pool) => pool.finish(port).await,
        }
    }

    async fn snapshots(&mut self) -> Result<Vec<Option<State>>, String> {
        match self {
            Self::One(worker) => Ok(vec![worker.snapshot()?]),
            Self::Many(pool) => pool.snapshots().await,
        }
    }

    async fn end(self, at_once: bool) {
        match self {
            Self::One(mut worker) => worker.give_up(),
            Self::Many(pool) => pool.end(at_once).await,
        }
    }
}

/// The state of a running stage.
struct Running {
    outfit: Outfit,
    spread: Spread,
    inputs: Vec<Input>,
    /// Whether the input of the same index can still bring something.
    open: Vec<bool>,
    ticks: Option<tokio::time::Interval>,
    checkpoints: Option<tokio::time::Interval>,
    /// The input to look at first, so that a busy one does not starve the others.
    turn: usize,
}

enum Event {
    Command(Option<Command>),
    Tick,
    Checkpoint,
    Crew(Result<(), End>),
    HandedOn(Result<(), End>),
    Batch(usize, Option<Frames>),
}

impl Running {
    fn new(stage: OperatorStage, handoff: Handoff) -> (Self, Vec<Instance>) {
        let outfit = Outfit {
            name: stage.name,
            blueprint: stage.blueprint,
            outputs: stage.outputs,
            converters: stage.converters,
            on_error: stage.settings.on_error,
            counters: stage.counters,
            handoff,
        };
        let running = Self {
            outfit,
            spread: stage.spread,
            open: vec![true; stage.inputs.len()],
            inputs: stage.inputs,
            ticks: stage.settings.tick.map(interval),
            checkpoints: stage.settings.checkpoint.map(interval),
            turn: 0,
        };
        (running, stage.instances)
    }

    async fn pump(&mut self, crew: &mut Crew, control: &mut Control) -> End {
        loop {
            let handled = match self.next_event(crew, control).await {
                Event::Command(Some(Command::Drain(drain))) => {
                    return self.drain(crew, drain).await;
                }
                Event::Command(None) => return End::Stopped,
                Event::Command(Some(Command::Swap(replacement, reply))) => {
                    self.swap(crew, *replacement, reply).await
                }
                Event::Command(Some(Command::Retune(settings, reply))) => {
                    self.retune(crew, *settings, reply).await
                }
                Event::Crew(changed) => changed,
                Event::HandedOn(handed_on) => handed_on,
                Event::Checkpoint => crew.checkpoint().await,
                Event::Tick => crew.tick().await,
                Event::Batch(index, Some(batch)) => {
                    self.batch(crew, self.inputs[index].port, batch).await
                }
                Event::Batch(index, None) => {
                    self.open[index] = false;
                    crew.finish(self.inputs[index].port).await
                }
            };
            if let Err(end) = handled {
                return end;
            }
            if !self.open.contains(&true) && !crew.holds() {
                return End::Finished;
            }
        }
    }

    /// Waits for what comes first. Without an instance, no batch is taken: the edges hold them.
    ///
    /// Triggered when: a command arrives; what was answered is handed on; the pause after a failure is over, or an instance has the stage end; a
    /// checkpoint or a tick is due; an open input has a batch or has ended.
    async fn next_event(&mut self, crew: &mut Crew, control: &mut Control) -> Event {
        if crew.holds() {
            return tokio::select! {
                biased;
                command = control.commands.recv() => Event::Command(command),
                handed_on = crew.hand_on() => Event::HandedOn(handed_on),
            };
        }
        let ready = crew.is_ready();
        let is_pool = matches!(crew, Crew::Many(_));
        self.turn = self.turn.wrapping_add(1);
        tokio::select! {
            biased;
            command = control.commands.recv() => Event::Command(command),
            changed = crew.changes(), if !ready || is_pool => Event::Crew(changed),
            () = next_tick(self.checkpoints.as_mut()), if ready => Event::Checkpoint,
            () = next_tick(self.ticks.as_mut()), if ready => Event::Tick,
            (index, batch) = next_batch(&mut self.inputs, &self.open, self.turn), if ready => Event::Batch(index, batch),
        }
    }

    async fn batch(&mut self, crew: &mut Crew, port: u32, batch: Frames) -> Result<(), End> {
        self.outfit
            .counters
            .took(batch.count(), batch.payload_len());
        crew.batch(port, batch).await
    }

    /// Works off the edges, then ends every input.
    async fn drain(&mut self, crew: &mut Crew, drain: Drain) -> End {
        let mut inputs = std::mem::take(&mut self.inputs);
        let mut end = End::Stopped;
        for (index, input) in inputs.iter_mut().enumerate() {
            if !std::mem::replace(&mut self.open[index], false) {
                continue;
            }
            if let Err(early) = self.drain_input(crew, drain, input).await {
                end = early;
                break;
            }
        }
        self.inputs = inputs;
        if end == End::Stopped
            && let Err(early) = crew.hand_on().await
        {
            end = early;
        }
        end
    }

    async fn drain_input(
        &mut self,
        crew: &mut Crew,
        drain: Drain,
        input: &mut Input,
    ) -> Result<(), End> {
        let port = input.port;
        let handoff = self.outfit.handoff.clone();
        let mut draining = Draining::new(drain, input);
        while let Some(batch) = draining.next(&handoff).await {
            self.batch(crew, port, batch).await?;
        }
        crew.finish(port).await
    }

    /// Goes on with new instances, with the state of the old ones if it is carried. Those stay if the new ones refuse
    /// the state, or if whoever asked no longer waits.
    async fn swap(
        &mut self,
        crew: &mut Crew,
        replacement: Replacement,
        reply: Reply,
    ) -> Result<(), End> {
        if replacement.spread.instances > 1 {
            // They hand on in turns, of which what is held has none.
            crew.hand_on().await?;
        }
        let began = Instant::now();
        let settings = replacement.settings;
        let outfit = Outfit {
            blueprint: replacement.blueprint,
            on_error: settings.on_error,
            ..self.outfit.clone()
        };
        let states = if replacement.carry {
            let states = crew.snapshots().await;
            states.and_then(|states| spread(states, &self.spread, &replacement.spread))
        } else {
            Ok(vec![None; replacement.spread.instances])
        };
        let inputs = self.inputs.iter().zip(&self.open);
        let ended: Vec<_> = inputs
            .filter_map(|(input, open)| (!open).then_some(input.port))
            .collect();
        let made = states
            .and_then(|states| restored(replacement.instances, states))
            .and_then(|members| Crew::new(&outfit, members, &replacement.spread, &ended));
        let next = match made {
            Ok(next) => next,
            Err(reason) => {
                // Nobody waits for it any more, at worst.
                let _ = reply.send(Err(reason));
                return Ok(());
            }
        };
        if reply.send(Ok(began.elapsed())).is_ok() {
            let mut before = std::mem::replace(crew, next);
            crew.inherit(&mut before);
            self.outfit = outfit;
            self.spread = replacement.spread;
            self.ticks = settings.tick.map(interval);
            self.checkpoints = settings.checkpoint.map(interval);
            before.end(false).await;
        }
        Ok(())
    }

    /// Goes on with other settings, unless whoever asked no longer waits.
    async fn retune(
        &mut self,
        crew: &mut Crew,
        settings: Settings,
        reply: Reply,
    ) -> Result<(), End> {
        if reply.send(Ok(Duration::ZERO)).is_err() {
            return Ok(());
        }
        self.outfit.on_error = settings.on_error.clone();
        self.outfit.blueprint.setup.limits = settings.limits;
        retime(&mut self.ticks, settings.tick);
        retime(&mut self.checkpoints, settings.checkpoint);
        crew.retune(&settings).await
    }
}

/// Gives each instance its state.
fn restored(
    instances: Vec<Instance>,
    states: Vec<Option<State>>,
) -> Result<Vec<(Instance, Option<State>)>, String> {
    let mut members = Vec::new();
    for (mut instance, state) in instances.into_iter().zip(states) {
        if let Some(state) = &state {
            instance.restore(state).map_err(|error| {
                format!("the new one refuses the state of the old one: {error}")
            })?;
        }
        members.push((instance, state));
    }
    Ok(members)
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

/// Another period from now on; the same one goes on as it was.
fn retime(ticks: &mut Option<tokio::time::Interval>, period: Option<Duration>) {
    if ticks.as_ref().map(tokio::time::Interval::period) != period {
        *ticks = period.map(interval);
    }
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
