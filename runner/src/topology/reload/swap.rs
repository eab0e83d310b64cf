//! Swaps operators to a new generation between two batches, all of them or none: replaces their
//! instances, or changes the settings of the existing ones.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{ApplyError, SWAP_DEADLINE, Switch};
use crate::{
    graph::{Stage, StageKey, StageKind, StatePolicy, StreamName},
    stage::{Replacement, Update},
    topology::{
        StartError,
        build::{Parts, PartsOf, partitioning_of},
        stages::{Stages, outputs, settings},
        streams::Outlets,
    },
};

impl<'g> Switch<'g> {
    /// Makes the operators of the plan switch; see [`swap_all`](Self::swap_all). Opens the streams
    /// that they write from now on, such as one for dead-letter records.
    pub(super) async fn swap(
        &self,
        parts: &mut PartsOf<'g>,
        stages: &Stages,
        outlets: &mut Outlets,
    ) -> Result<BTreeMap<StageKey, Duration>, ApplyError> {
        let mut opened = Vec::new();
        let swapped = match self.open_outputs(outlets, &mut opened) {
            Ok(()) => self.swap_all(parts, stages, outlets).await,
            Err(error) => Err(error.into()),
        };
        if swapped.is_err() {
            outlets.withdraw(&opened);
        }
        swapped
    }

    fn open_outputs(
        &self,
        outlets: &mut Outlets,
        opened: &mut Vec<StreamName>,
    ) -> Result<(), StartError> {
        let swapped = self
            .new
            .stages()
            .filter(|stage| self.plan.swaps(&stage.key));
        for stream in swapped.flat_map(Stage::writes) {
            if outlets.open(stream, &self.new.streams[stream])? {
                opened.push(stream.clone());
            }
        }
        Ok(())
    }

    /// Makes operators switch. Each prepares and then pauses its edges until all are ready, writers
    /// before readers, so that none waits for an operator that is already paused. If one refuses,
    /// all stay unchanged. Returns how long each swapped operator paused its edges.
    async fn swap_all(
        &self,
        parts: &mut PartsOf<'g>,
        stages: &Stages,
        outlets: &Outlets,
    ) -> Result<BTreeMap<StageKey, Duration>, ApplyError> {
        let until = Instant::now() + SWAP_DEADLINE;
        let mut agreed = Vec::new();
        let swapped = self
            .new
            .in_order()
            .filter(|stage| self.plan.swaps(&stage.key));
        for stage in swapped {
            let (key, StageKind::Operator(operator)) = (&stage.key, &stage.kind) else {
                continue;
            };
            // An operator that has ended has no settings to change.
            if !stages.runs(key) {
                continue;
            }
            let replacement = match parts.remove(key) {
                Some(Parts::Operator {
                    instances,
                    blueprint,
                    converters,
                    ..
                }) => Some(Replacement {
                    instances,
                    partitioning: partitioning_of(operator),
                    blueprint: *blueprint,
                    outputs: outputs(operator, outlets),
                    converters,
                    carry: operator.settings.state == StatePolicy::Carry,
                }),
                _ => None,
            };
            let is_swap = replacement.is_some();
            let update = Update {
                settings: settings(operator, outlets),
                replacement,
                line: stages.line_again(stage, outlets),
            };
            let Some(asked) = stages.make_ready(key, update, SWAP_DEADLINE, until).await else {
                continue;
            };
            // Returning early drops the agreements so far, which leaves those operators unchanged.
            let agreement = asked.map_err(|reason| {
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
}
