//! Runs a WebAssembly operator between streams. It runs on its own thread, so that a busy guest
//! delays neither I/O nor other stages. If there are several instances, each has its own thread.

use std::{sync::Arc, time::Duration};

use super::{
    BATCH_DATUMS_MAX, Blueprint, Command, Control, Converters, Counters, Drain, End, Ended,
    Handoff, Input, OutputPort, Partitioning, RestoredState, Settings, drain::Draining,
    history::Saved, image::instance_images, instance_set::InstanceSet,
    read_position::read_positions, worker::SharedConfig,
};
use crate::{
    checkpoint::{Alignment, Line, Signal, StageImage},
    operator::Instance,
};
use mosaik_streams::{Frames, Received};

/// A running operator of the manifest.
#[derive(Debug)]
pub struct OperatorStage {
    /// The operator's name in the manifest.
    pub name: String,
    /// The opened instances; their number matches `partitioning`.
    pub instances: Vec<Instance>,
    /// The state that was restored in them from a checkpoint.
    pub restored: Option<RestoredState>,
    /// The rule that assigns records to instances.
    pub partitioning: Partitioning,
    /// Builds the instances again after a failure.
    pub blueprint: Blueprint,
    /// The subscriptions to read from, by input port.
    pub inputs: Vec<Input>,
    /// Its output ports, in the component's order.
    pub outputs: Vec<OutputPort>,
    /// The converters for ports that use JSON on postcard streams.
    pub converters: Converters,
    /// The settings that can change at run time. The limits are those of `blueprint`.
    pub settings: Settings,
    /// The counters of the stage.
    pub counters: Arc<Counters>,
    /// Its line to the coordinator of checkpoints.
    pub line: Line,
}

impl OperatorStage {
    /// Processes records until all inputs have ended, the operator fails permanently, or the stage
    /// is asked to stop. Blocks the polling thread during guest calls.
    pub async fn run(self, mut control: Control) -> Ended {
        let (mut running, instances, saved) = Running::new(self, control.handoff.clone());
        let members = instances.into_iter().zip(saved);
        let end = match InstanceSet::new(
            &running.shared,
            members.collect(),
            &running.partitioning,
            (&[], &running.ended_ports),
        ) {
            Ok(mut instances) => {
                let end = running.pump(&mut instances, &mut control).await;
                if end == End::Finished && running.line.is_used() {
                    running.note_end(&mut instances).await;
                }
                let at_once = end != End::Finished && !running.is_suspended;
                instances.end(at_once, running.is_suspended).await;
                end
            }
            Err(error) => End::Failed(error.to_string()),
        };
        Ended {
            end,
            inputs: running.inputs,
            source: None,
        }
    }
}

/// The state of a running stage.
pub(super) struct Running {
    pub(super) shared: SharedConfig,
    pub(super) partitioning: Partitioning,
    pub(super) inputs: Vec<Input>,
    /// True if the input of the same index is still open.
    pub(super) open: Vec<bool>,
    pub(super) ticks: Option<tokio::time::Interval>,
    /// The input to poll first. It rotates, so that a busy input does not starve the others.
    turn: usize,
    pub(super) line: Line,
    alignment: Alignment,
    /// The input ports whose end an earlier process has worked off.
    ended_ports: Vec<u32>,
    /// True if a later process goes on with the state of the last checkpoint.
    is_suspended: bool,
}

enum Event {
    Command(Option<Command>),
    Tick,
    Instances(Result<(), End>),
    HandedOn(Result<(), End>),
    /// The outputs take records again after a barrier.
    Open,
    Signal(Signal),
    Received(usize, Option<Received>),
}

impl Running {
    fn new(stage: OperatorStage, handoff: Handoff) -> (Self, Vec<Instance>, Vec<Option<Saved>>) {
        let (saved, ended_ports) = match stage.restored {
            Some(restored) => restored.into_parts(),
            None => (vec![None; stage.instances.len()], Vec::new()),
        };
        let shared = SharedConfig {
            name: stage.name,
            blueprint: stage.blueprint,
            outputs: stage.outputs,
            converters: stage.converters,
            on_error: stage.settings.on_error,
            checkpoint: stage.settings.checkpoint,
            counters: stage.counters,
            handoff,
        };
        let running = Self {
            shared,
            partitioning: stage.partitioning,
            open: vec![true; stage.inputs.len()],
            inputs: stage.inputs,
            ticks: stage.settings.tick.map(interval),
            turn: 0,
            alignment: stage.line.alignment(),
            line: stage.line,
            ended_ports,
            is_suspended: false,
        };
        (running, stage.instances, saved)
    }

    async fn pump(&mut self, instances: &mut InstanceSet, control: &mut Control) -> End {
        loop {
            if !instances.holds() {
                let open = &self.open;
                if let Some(number) = self.alignment.complete(&self.line, |input| open[input]) {
                    self.alignment.release();
                    self.pass_barrier(instances, number).await;
                }
            }
            let handled = match self.next_event(instances, control).await {
                Event::Command(Some(Command::Drain(Drain::Suspend))) => {
                    self.is_suspended = true;
                    return End::Stopped;
                }
                Event::Command(Some(Command::Drain(drain))) => {
                    return self.drain(instances, drain).await;
                }
                Event::Open => Ok(()),
                Event::Signal(Signal::Over) => {
                    self.alignment.release_if_over(&self.line);
                    Ok(())
                }
                Event::Signal(Signal::Begun(begun)) => {
                    self.pass_barrier(instances, begun.number).await;
                    Ok(())
                }
                Event::Command(None) => return End::Stopped,
                Event::Command(Some(Command::Update(update, asked))) => {
                    self.update(instances, *update, asked).await
                }
                Event::Instances(changed) => {
                    // Batches come first after a failure, so that a tick that always fails does not
                    // block them.
                    self.ticks.iter_mut().for_each(tokio::time::Interval::reset);
                    changed
                }
                Event::HandedOn(handed_on) => handed_on,
                Event::Tick => instances.tick().await,
                Event::Received(index, Some(Received::Batch(batch))) => {
                    self.batch(instances, self.inputs[index].port, batch).await
                }
                Event::Received(index, Some(Received::Mark(mark))) => {
                    self.alignment.arrive(&self.line, index, mark);
                    Ok(())
                }
                Event::Received(index, None) => {
                    self.open[index] = false;
                    let port = self.inputs[index].port;
                    if self.ended_ports.contains(&port) {
                        Ok(())
                    } else {
                        instances.finish(port).await
                    }
                }
            };
            if let Err(end) = handled {
                return end;
            }
            if !self.open.contains(&true) && !instances.holds() {
                return End::Finished;
            }
        }
    }

    /// Waits for the next event. Without an instance, no batch is taken: it stays queued on its
    /// edge.
    ///
    /// Triggered when a command arrives; when output is handed on; when the pause after a failure
    /// is over, or an instance ends the stage; when a tick is due; when an open input has a batch or
    /// has ended; or when a checkpoint begins here, is over, or is passed by all other writers
    /// of the outputs.
    async fn next_event(&mut self, instances: &mut InstanceSet, control: &mut Control) -> Event {
        if instances.holds() {
            return tokio::select! {
                biased;
                command = control.commands.recv() => Event::Command(command),
                handed_on = instances.hand_on() => Event::HandedOn(handed_on),
            };
        }
        if !self.line.is_open() {
            return tokio::select! {
                biased;
                command = control.commands.recv() => Event::Command(command),
                () = self.line.opens() => Event::Open,
            };
        }
        let ready = instances.is_ready();
        let is_pool = matches!(instances, InstanceSet::Many(_));
        self.turn = self.turn.wrapping_add(1);
        tokio::select! {
            biased;
            command = control.commands.recv() => Event::Command(command),
            changed = instances.changes(), if !ready || is_pool => Event::Instances(changed),
            () = next_tick(self.ticks.as_mut()), if ready => Event::Tick,
            signal = self.line.signal() => Event::Signal(signal),
            (index, received) = next_received(&mut self.inputs, &self.open, &self.alignment, self.turn), if ready => Event::Received(index, received),
        }
    }

    /// Notes the state of the instances for a checkpoint, and passes the barrier on.
    async fn pass_barrier(&mut self, instances: &mut InstanceSet, number: u64) {
        match instances.snapshots().await {
            Ok(saved) => {
                let image = self.image(saved, false);
                self.line.pass(number, image);
            }
            Err(error) => self.line.refuse(number, error.to_string()),
        }
    }

    /// Replaces the line to the coordinator of checkpoints. Inputs that have brought the barrier of a checkpoint that is
    /// under way still wait for the others.
    pub(super) fn replace_line(&mut self, line: Line) {
        self.line.replace(line);
        self.alignment.release_if_over(&self.line);
    }

    /// Notes the final state.
    async fn note_end(&mut self, instances: &mut InstanceSet) {
        match instances.snapshots().await {
            Ok(saved) => {
                let image = self.image(saved, true);
                self.line.ends(image);
            }
            Err(error) => tracing::warn!(
                operator = self.shared.name,
                "no more checkpoints: its final state is lost: {error}"
            ),
        }
    }

    fn image(&mut self, saved: Vec<Saved>, ended: bool) -> StageImage {
        let read = read_positions(&mut self.inputs);
        let inputs = self.inputs.iter().zip(&self.open);
        let mut ended_ports = self.ended_ports.clone();
        ended_ports.extend(inputs.filter_map(|(input, open)| (!open).then_some(input.port)));
        ended_ports.sort_unstable();
        ended_ports.dedup();
        StageImage::Operator {
            ended_ports,
            key: self
                .partitioning
                .key
                .as_ref()
                .map(|key| key.fields().to_vec()),
            component: self.shared.blueprint.component.hash(),
            read,
            instances: instance_images(saved),
            ended,
        }
    }

    async fn batch(
        &mut self,
        instances: &mut InstanceSet,
        port: u32,
        batch: Frames,
    ) -> Result<(), End> {
        self.shared
            .counters
            .took(batch.count(), batch.payload_len());
        instances.batch(port, batch).await
    }

    /// Drains the edges, then ends each input.
    async fn drain(&mut self, instances: &mut InstanceSet, drain: Drain) -> End {
        let mut inputs = std::mem::take(&mut self.inputs);
        let mut end = End::Stopped;
        for (index, input) in inputs.iter_mut().enumerate() {
            if !std::mem::replace(&mut self.open[index], false) {
                continue;
            }
            if let Err(early) = self.drain_input(instances, drain, input).await {
                end = early;
                break;
            }
        }
        self.inputs = inputs;
        if end == End::Stopped
            && let Err(early) = instances.hand_on().await
        {
            end = early;
        }
        end
    }

    async fn drain_input(
        &mut self,
        instances: &mut InstanceSet,
        drain: Drain,
        input: &mut Input,
    ) -> Result<(), End> {
        let port = input.port;
        let handoff = self.shared.handoff.clone();
        let mut draining = Draining::new(drain, input);
        while let Some(batch) = draining.next(&handoff).await {
            self.batch(instances, port, batch).await?;
        }
        instances.finish(port).await
    }
}

pub(super) fn interval(period: Duration) -> tokio::time::Interval {
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

/// Receives from any open input that the alignment does not hold. Polls the inputs
/// starting at `turn`. Cancel safe.
async fn next_received(
    inputs: &mut [Input],
    open: &[bool],
    alignment: &Alignment,
    turn: usize,
) -> (usize, Option<Received>) {
    let count = inputs.len().max(1);
    let mut waits: Vec<_> = inputs
        .iter_mut()
        .enumerate()
        .filter(|(index, _)| open[*index] && !alignment.holds(*index))
        .map(|(index, input)| {
            Box::pin(async move { (index, input.consumer.recv_next(BATCH_DATUMS_MAX).await) })
        })
        .collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    let first = turn % count % waits.len();
    waits.rotate_left(first);
    futures::future::select_all(waits).await.0
}
