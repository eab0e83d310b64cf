//! Plans the changes to the stages of a running node from the difference between two graphs.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    components::Library,
    graph::{Change, Diff, Graph, Role, StageChange, StageKey},
    topology::{
        StartError,
        build::{PartsOf, parts_of},
        stages::Stages,
    },
};

/// The actions that a new generation requires, by stage.
pub(in crate::topology) struct Plan {
    /// Operators to swap or to retune, and sinks to retune. Those that are also in `build` are
    /// swapped.
    swap: Vec<StageKey>,
    /// Stages to stop.
    stop: Vec<StageKey>,
    /// Stages of the new graph to build parts for.
    build: Vec<StageKey>,
    /// Producers that are stopped and continue at their position, because their input is the same.
    hand_over: Vec<StageKey>,
}

impl Plan {
    pub(in crate::topology) fn new(graph: &Graph, diff: &Diff, stages: &Stages) -> Self {
        let mut plan = Self {
            swap: Vec::new(),
            stop: Vec::new(),
            build: Vec::new(),
            hand_over: Vec::new(),
        };
        for StageChange {
            key,
            change,
            keeps_source,
            ..
        } in &diff.stages
        {
            let runs = stages.runs(key);
            match change {
                // A stage that could not be started last time, or has failed since, is started now.
                _ if !runs && *change != Change::Remove && stages.is_owed(key) => {
                    plan.build.push(key.clone());
                }
                Change::Keep | Change::Retune if !runs && !stages.has_ended(key) => {
                    plan.build.push(key.clone());
                }
                Change::Retune if runs && key.role != Role::Producer => plan.swap.push(key.clone()),
                Change::Keep | Change::Retune => {}
                // An operator that has ended has no batch boundary to swap at: it is started again.
                Change::Swap if runs => {
                    plan.swap.push(key.clone());
                    plan.build.push(key.clone());
                }
                Change::Rewire if *keeps_source => {
                    // A stage that has finished stays finished.
                    if runs {
                        plan.stop.push(key.clone());
                        plan.hand_over.push(key.clone());
                    }
                }
                Change::Swap | Change::Rewire | Change::Add => {
                    plan.stop.push(key.clone());
                    plan.build.push(key.clone());
                }
                Change::Remove => plan.stop.push(key.clone()),
            }
        }
        // A stage that is restarted may cause others to be restarted.
        while plan.wake_writers(stages, graph) | plan.wake_readers(stages, graph) {}
        plan
    }

    /// Builds the parts of the stages to build, except those that are built already.
    pub(in crate::topology) async fn build<'g>(
        &self,
        graph: &'g Graph,
        library: &Arc<Library>,
        parts: &mut PartsOf<'g>,
    ) -> Result<(), StartError> {
        let new = graph
            .stages()
            .filter(|stage| self.build.contains(&stage.key) && !parts.contains_key(&stage.key));
        let built = parts_of(graph, new, library).await?;
        parts.extend(built);
        Ok(())
    }

    /// Returns the unchanged stages that are started again.
    pub(in crate::topology) fn restarted(&self, diff: &Diff) -> Vec<StageKey> {
        let unchanged: BTreeSet<_> = diff.stages_to(Change::Keep).collect();
        let build = self.build.iter();
        build
            .filter(|key| unchanged.contains(key))
            .cloned()
            .collect()
    }

    /// Returns true if an operator is swapped or retuned, or a sink is retuned.
    pub(super) fn swaps(&self, key: &StageKey) -> bool {
        self.swap.contains(key)
    }

    /// Returns true if a stage is stopped.
    pub(super) fn stops(&self, key: &StageKey) -> bool {
        self.stop.contains(key)
    }

    /// Returns true if a producer is stopped and continues at its position.
    pub(super) fn hands_over(&self, key: &StageKey) -> bool {
        self.hand_over.contains(key)
    }

    /// Returns true if a source or sink is built for another connector, or for other settings of it, than before.
    pub(super) fn changes_connector(&self, key: &StageKey, diff: &Diff) -> bool {
        let mut changes = diff.stages.iter().filter(|change| change.key == *key);
        self.build.contains(key) && changes.any(StageChange::changes_connector)
    }

    /// Returns the stages to launch: those built again and those that continue at their position.
    pub(super) fn launches(&self) -> impl Iterator<Item = &StageKey> {
        self.build.iter().chain(&self.hand_over)
    }

    fn starts(&self, key: &StageKey) -> bool {
        self.launches().any(|launched| launched == key)
    }

    /// Restarts the stages that were stopped because their output had no readers, if it has readers
    /// now. Returns true if there are any.
    fn wake_writers(&mut self, stages: &Stages, graph: &Graph) -> bool {
        let before = self.build.len();
        for stage in graph.stages().filter(|stage| stages.was_unread(&stage.key)) {
            let runs = |key: &StageKey| stages.runs(key) || self.starts(key);
            let is_read = stage
                .writes()
                .any(|stream| graph.readers(stream).any(|reader| runs(&reader.key)));
            if is_read && !runs(&stage.key) {
                self.build.push(stage.key.clone());
            }
        }
        self.build.len() > before
    }

    /// Restarts the finished stages whose input streams are written again, and their downstream
    /// stages. Returns true if there are any.
    fn wake_readers(&mut self, stages: &Stages, graph: &Graph) -> bool {
        let before = self.build.len();
        for stage in graph.in_order() {
            let fed = stage.edges().any(|edge| {
                graph
                    .writers(&edge.stream)
                    .any(|writer| self.starts(&writer.key))
            });
            if fed && !self.starts(&stage.key) && !stages.runs(&stage.key) {
                self.build.push(stage.key.clone());
            }
        }
        self.build.len() > before
    }
}
