//! Plans the changes to the stages of a running node from the difference between two graphs.

use super::node::Node;
use crate::graph::{Change, Diff, Graph, Role, StageChange, StageKey, StageKind};

/// The actions that a new generation requires, by stage.
pub(super) struct Plan {
    /// Operators to swap or to retune. Those that are also in `build` are swapped.
    pub(super) swap: Vec<StageKey>,
    /// Stages to stop.
    pub(super) stop: Vec<StageKey>,
    /// Stages of the new graph to build parts for.
    pub(super) build: Vec<StageKey>,
    /// Producers that are stopped and continue at their position, because their input is the same.
    pub(super) hand_over: Vec<StageKey>,
}

impl Node {
    /// Returns true if a stage does not run but should: it could not be started, or has failed.
    pub(super) fn is_owed(&self, key: &StageKey) -> bool {
        self.owed.contains(key) || self.run_totals.has_failed(key)
    }
}

impl Plan {
    pub(super) fn new(node: &Node, graph: &Graph, diff: &Diff) -> Self {
        let mut plan = Self {
            swap: Vec::new(),
            stop: Vec::new(),
            build: Vec::new(),
            hand_over: Vec::new(),
        };
        for StageChange { key, change, .. } in &diff.stages {
            let runs = node.stages.contains_key(key);
            match change {
                // A stage that could not be started last time, or has failed since, is started now.
                _ if !runs && *change != Change::Remove && node.is_owed(key) => {
                    plan.build.push(key.clone());
                }
                Change::Keep | Change::Retune if !runs && !node.run_totals.has_ended(key) => {
                    plan.build.push(key.clone());
                }
                Change::Retune if runs && key.role == Role::Operator => plan.swap.push(key.clone()),
                Change::Keep | Change::Retune => {}
                // An operator that has ended has no batch boundary to swap at: it is started again.
                Change::Swap if runs => {
                    plan.swap.push(key.clone());
                    plan.build.push(key.clone());
                }
                Change::Rewire if reads_on(node, graph, key) => {
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
        while plan.wake_writers(node, graph) | plan.wake_readers(node, graph) {}
        plan
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
    fn wake_writers(&mut self, node: &Node, graph: &Graph) -> bool {
        let before = self.build.len();
        for stage in graph
            .stages()
            .filter(|stage| node.unread.contains(&stage.key))
        {
            let runs = |key: &StageKey| node.stages.contains_key(key) || self.starts(key);
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
    fn wake_readers(&mut self, node: &Node, graph: &Graph) -> bool {
        let before = self.build.len();
        for stage in graph.in_order() {
            let fed = stage.edges().any(|edge| {
                graph
                    .writers(&edge.stream)
                    .any(|writer| self.starts(&writer.key))
            });
            if fed && !self.starts(&stage.key) && !node.stages.contains_key(&stage.key) {
                self.build.push(stage.key.clone());
            }
        }
        self.build.len() > before
    }
}

/// Returns true if a producer has the same source configuration and output encoding in both graphs.
fn reads_on(node: &Node, graph: &Graph, key: &StageKey) -> bool {
    let reads = |graph: &Graph| match &graph.stage(key)?.kind {
        StageKind::Source { config, to } => {
            Some((config.clone(), graph.streams[to].encoding.clone()))
        }
        _ => None,
    };
    reads(&node.graph).is_some_and(|before| reads(graph) == Some(before))
}
