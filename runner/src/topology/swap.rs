//! Swaps operators to a new generation between two batches, all of them or none: replaces their
//! instances, or changes the settings of the existing ones.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{
    ApplyError, StartError,
    apply::SWAP_DEADLINE,
    build::{Parts, partitioning_of},
    node::Node,
    setup::limits,
};
use crate::{
    graph::{Graph, OperatorStage, Stage, StageKey, StageKind, StatePolicy, StreamName},
    stage::{Replacement, Settings, Update},
};

impl Node {
    /// Opens the streams that the swapped operators write from now on, such as one for dead-letter
    /// records. Returns the streams that were not open before.
    pub(super) fn open_for_swaps(
        &mut self,
        graph: &Graph,
        swaps: &[StageKey],
    ) -> Result<Vec<StreamName>, StartError> {
        let mut opened = Vec::new();
        for stream in swaps
            .iter()
            .filter_map(|key| graph.stage(key))
            .flat_map(Stage::writes)
        {
            if !self.producers.contains_key(stream) {
                self.open_stream(stream, &graph.streams[stream])?;
                opened.push(stream.clone());
            }
        }
        Ok(opened)
    }

    /// Makes operators switch. Each prepares and then pauses its edges until all are ready, writers
    /// before readers, so that none waits for an operator that is already paused. If one refuses,
    /// all stay unchanged. Returns how long each swapped operator paused its edges.
    pub(super) async fn swap_all(
        &mut self,
        graph: &Graph,
        stages: &[StageKey],
        parts: &mut BTreeMap<StageKey, Parts>,
    ) -> Result<BTreeMap<StageKey, Duration>, ApplyError> {
        let until = Instant::now() + SWAP_DEADLINE;
        let mut agreed = Vec::new();
        for stage in graph.in_order().filter(|stage| stages.contains(&stage.key)) {
            let (key, StageKind::Operator(operator)) = (&stage.key, &stage.kind) else {
                continue;
            };
            // An operator that has ended has no settings to change.
            let Some(running) = self.stages.get(key) else {
                continue;
            };
            let replacement = match parts.remove(key) {
                Some(Parts::Operator {
                    instances,
                    blueprint,
                    converters,
                }) => Some(Replacement {
                    instances,
                    partitioning: partitioning_of(operator),
                    blueprint: *blueprint,
                    outputs: self.outputs(operator),
                    converters,
                    carry: operator.settings.state == StatePolicy::Carry,
                }),
                _ => None,
            };
            let is_swap = replacement.is_some();
            let update = Update {
                settings: self.settings(operator),
                replacement,
            };
            // Returning early drops the agreements so far, which leaves those operators unchanged.
            let agreement = running.make_ready(update, until).await.map_err(|reason| {
                let stage = key.clone();
                ApplyError::Swap { stage, reason }
            })?;
            agreed.push((key, agreement, is_swap));
        }
        let mut pauses = BTreeMap::new();
        for (key, agreement, is_swap) in agreed {
            let pause = agreement.go().await.filter(|_| is_swap);
            pauses.extend(pause.map(|pause| (key.clone(), pause)));
        }
        Ok(pauses)
    }

    /// Returns the settings of an operator that can change without a new instance.
    pub(super) fn settings(&self, operator: &OperatorStage) -> Settings {
        Settings {
            limits: limits(&operator.settings.limits),
            on_error: self.on_error(&operator.settings.on_error),
            tick: operator.settings.tick,
            checkpoint: operator.settings.checkpoint,
        }
    }
}
