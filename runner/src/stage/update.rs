//! Updates a running operator between two batches: replaces its instances or changes its settings.
//! It first prepares, and it switches only when all other operators of the same update are ready
//! too. Until then, it is unchanged.

use std::time::{Duration, Instant};

use tokio::{sync::oneshot, time::Interval};

use super::{
    Blueprint, Converters, End, OnError, OutputPort, Partitioning, UpdateError,
    history::Saved,
    instance_set::InstanceSet,
    operator::{Running, interval},
    partitioning::repartition,
    worker::SharedConfig,
};
use crate::{
    checkpoint::Line,
    operator::{Instance, Limits},
};

/// An update of a running operator.
#[derive(Debug)]
pub struct Update {
    /// The new settings.
    pub settings: Settings,
    /// The new instances; `None` keeps the existing ones.
    pub replacement: Option<Replacement>,
    /// Connects the stage, with its outputs after the update, to the coordinator of checkpoints.
    pub line: Line,
}

/// New instances and their properties.
#[derive(Debug)]
pub struct Replacement {
    /// The opened instances; their number matches `partitioning`.
    pub instances: Vec<Instance>,
    /// The rule that assigns records to instances.
    pub partitioning: Partitioning,
    /// Builds the instances again after a failure.
    pub blueprint: Blueprint,
    /// Their output ports, in the new component's order.
    pub outputs: Vec<OutputPort>,
    /// The converters for ports that use JSON on postcard streams.
    pub converters: Converters,
    /// True if they take over the state of the old instances.
    pub carry: bool,
}

/// The settings of a running operator that can change without new instances.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The limits of its instances.
    pub limits: Limits,
    /// The policy for records that it rejects or fails on.
    pub on_error: OnError,
    /// Interval between ticks; `None` disables them.
    pub tick: Option<Duration>,
    /// Interval between snapshots of its state while it is used, for the instance that follows a
    /// failure. `None` means [`SNAPSHOT_INTERVAL`](super::SNAPSHOT_INTERVAL).
    pub checkpoint: Option<Duration>,
}

/// The operator's end of an agreement to switch.
#[derive(Debug)]
pub struct Asked {
    /// Reports that the operator is ready, or why it is not.
    pub ready: oneshot::Sender<Result<(), UpdateError>>,
    /// Receives the commit signal and reports how long the inputs were paused. If the other end is
    /// dropped, the operator stays unchanged.
    pub go: oneshot::Receiver<oneshot::Sender<Duration>>,
}

/// A prepared replacement.
struct Next {
    instances: InstanceSet,
    shared: SharedConfig,
    partitioning: Partitioning,
}

impl Running {
    /// Prepares the update, reports that it is ready, waits for the commit signal and switches.
    /// Without the signal, the old instances continue and have lost nothing.
    pub(super) async fn update(
        &mut self,
        instances: &mut InstanceSet,
        update: Update,
        asked: Asked,
    ) -> Result<(), End> {
        let Update {
            settings,
            replacement,
            line,
        } = update;
        if let Some(replacement) = &replacement
            && replacement.partitioning.instances > 1
        {
            // Several instances hand on their output in turns, and the held output has no turn.
            instances.hand_on().await?;
        }
        let began = Instant::now();
        let next = match replacement {
            Some(replacement) => self
                .make_ready(instances, replacement, &settings)
                .await
                .map(Some),
            None => Ok(None),
        };
        let (next, ready) = match next {
            Ok(next) => (next, Ok(())),
            Err(error) => (None, Err(error)),
        };
        let refused = ready.is_err();
        // If the requester is gone, the update is cancelled.
        if asked.ready.send(ready).is_err() || refused {
            return Ok(());
        }
        let Ok(done) = asked.go.await else {
            return Ok(());
        };
        self.replace_line(line);
        let Some(next) = next else {
            self.shared.on_error = settings.on_error.clone();
            self.shared.blueprint.setup.limits = settings.limits;
            retime(&mut self.ticks, settings.tick);
            self.shared.checkpoint = settings.checkpoint;
            let _ = done.send(began.elapsed());
            return instances.retune(&settings).await;
        };
        let mut before = std::mem::replace(instances, next.instances);
        instances.inherit(&mut before);
        self.shared = next.shared;
        self.partitioning = next.partitioning;
        self.ticks = settings.tick.map(interval);
        let _ = done.send(began.elapsed());
        // The state was taken over, or is dropped because of `state: reset`.
        before.end(false, true).await;
        Ok(())
    }

    /// Prepares the new instances, with the state of the old ones if it is carried over.
    async fn make_ready(
        &self,
        instances: &mut InstanceSet,
        replacement: Replacement,
        settings: &Settings,
    ) -> Result<Next, UpdateError> {
        let shared = SharedConfig {
            blueprint: replacement.blueprint,
            outputs: replacement.outputs,
            converters: replacement.converters,
            on_error: settings.on_error.clone(),
            checkpoint: settings.checkpoint,
            ..self.shared.clone()
        };
        let saved = if replacement.carry {
            repartition(
                instances.snapshots().await?,
                &self.partitioning,
                &replacement.partitioning,
            )?
        } else {
            vec![None; replacement.partitioning.instances]
        };
        let inputs = self.inputs.iter().zip(&self.open);
        let ended: Vec<_> = inputs
            .filter_map(|(input, open)| (!open).then_some(input.port))
            .collect();
        let members = restored(replacement.instances, saved)?;
        Ok(Next {
            instances: InstanceSet::new(
                &shared,
                members,
                &replacement.partitioning,
                (&ended, &[]),
            )?,
            shared,
            partitioning: replacement.partitioning,
        })
    }
}

/// Restores the state of each instance.
fn restored(
    instances: Vec<Instance>,
    saved: Vec<Option<Saved>>,
) -> Result<Vec<(Instance, Option<Saved>)>, UpdateError> {
    let mut members = Vec::new();
    for (mut instance, saved) in instances.into_iter().zip(saved) {
        if let Some(saved) = &saved {
            let restored = instance.restore(&saved.state);
            restored.map_err(UpdateError::Rejected)?;
        }
        members.push((instance, saved));
    }
    Ok(members)
}

/// Sets the interval between ticks. If it is unchanged, the schedule continues.
fn retime(ticks: &mut Option<Interval>, period: Option<Duration>) {
    if ticks.as_ref().map(Interval::period) != period {
        *ticks = period.map(interval);
    }
}
