//! Applies the difference between two graphs to the stages and streams of a running node.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{ApplyError, Plan};
use crate::{
    graph::{Diff, Graph, Stage, StageKey},
    stage::Input,
    topology::{
        StartError, build::PartsOf, recovery::first_images, stages::Stages, streams::Outlets,
    },
};

/// The switch of a running node from one graph to another.
pub(in crate::topology) struct Switch<'g> {
    pub(super) old: &'g Graph,
    pub(super) new: &'g Graph,
    pub(super) diff: &'g Diff,
    pub(super) plan: &'g Plan,
}

/// The stages that are left to launch.
pub(in crate::topology) struct Prepared<'g> {
    parts: PartsOf<'g>,
    /// The subscriptions that continue from the predecessors of the stages.
    inherited: BTreeMap<StageKey, Vec<Input>>,
}

impl<'g> Switch<'g> {
    pub(in crate::topology) const fn new(
        old: &'g Graph,
        new: &'g Graph,
        diff: &'g Diff,
        plan: &'g Plan,
    ) -> Self {
        Self {
            old,
            new,
            diff,
            plan,
        }
    }

    /// Swaps operators, stops the stages that are replaced or removed, and retunes the streams that
    /// continue. Returns how long each swapped operator paused its edges.
    ///
    /// # Errors
    /// The running generation continues unchanged.
    pub(in crate::topology) async fn apply(
        &self,
        mut parts: PartsOf<'g>,
        stages: &mut Stages,
        outlets: &mut Outlets,
    ) -> Result<(BTreeMap<StageKey, Duration>, Prepared<'g>), ApplyError> {
        self.plan
            .launches()
            .filter_map(|key| self.new.stage(key))
            .flat_map(Stage::writes)
            .try_for_each(|stream| outlets.refuse_while_ending(stream))?;
        let new_logs = outlets.prepare_logs(self.new).await?;
        if let Some(checkpoints) = stages.checkpoints().filter(|_| !new_logs.is_empty()) {
            checkpoints.add(new_logs, BTreeMap::new()).await;
        }
        let pauses = self.swap(&mut parts, stages, outlets).await?;
        self.retune_sinks(stages, outlets);
        let inherited = self.stop(&mut parts, stages, outlets).await;
        self.retune_streams(stages, outlets);
        Ok((pauses, Prepared { parts, inherited }))
    }

    /// Adds the sources and sinks that are about to be launched to the last checkpoint. Those whose connector has changed
    /// replace their predecessors, whose position or output is not theirs.
    ///
    /// # Errors
    /// A sink cannot be synced.
    pub(in crate::topology) async fn note(
        &self,
        prepared: &mut Prepared<'g>,
        stages: &Stages,
    ) -> Result<(), StartError> {
        if let Some(checkpoints) = stages.checkpoints() {
            let parts = prepared.parts.iter_mut();
            let (others, same): (Vec<_>, Vec<_>) =
                parts.partition(|(key, _)| self.plan.changes_connector(key, self.diff));
            let added = first_images(same).await?;
            checkpoints.add(added, first_images(others).await?).await;
        }
        Ok(())
    }

    /// Launches the stages of the new graph that were built or continue at their position.
    ///
    /// # Errors
    /// Some of the stages do not run. They are owed.
    pub(in crate::topology) fn launch(
        &self,
        prepared: Prepared<'g>,
        stages: &mut Stages,
        outlets: &mut Outlets,
    ) -> Result<(), StartError> {
        let Prepared { parts, inherited } = prepared;
        let owed = self.plan.launches().filter(|key| !self.plan.swaps(key));
        stages.owe(owed.cloned().collect());
        outlets.open_for(parts.keys(), &stages.active(self.new))?;
        stages.launch(self.new, outlets, parts, inherited)?;
        stages.owe(BTreeSet::new());
        Ok(())
    }
}
