//! What a difference between two graphs means for the stages of a node that runs.

use super::node::Node;
use crate::graph::{Change, Diff, Graph, Role, StageChange, StageKey, StageKind};

/// What has to be done to which stage.
pub(super) struct Plan {
    /// Operators to swap, or whose settings change: those of them that are in `build` are swapped.
    pub(super) swap: Vec<StageKey>,
    /// Stages to stop.
    pub(super) stop: Vec<StageKey>,
    /// Stages of the new graph to build parts for.
    pub(super) build: Vec<StageKey>,
    /// Producers that are stopped and go on where they were: what they read from is the same.
    pub(super) hand_over: Vec<StageKey>,
}

impl Node {
    /// Whether a stage that does not run should: it could not be started, or has failed.
    pub(super) fn is_owed(&self, key: &StageKey) -> bool {
        self.owed.contains(key) || self.ledger.has_failed(key)
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
                // One that could not be started last time, or has failed since, is started now.
                _ if !runs && *change != Change::Remove && node.is_owed(key) => {
                    plan.build.push(key.clone());
                }
                Change::Keep | Change::Retune if !runs && !node.ledger.has_ended(key) => {
                    plan.build.push(key.clone());
                }
                Change::Retune if runs && key.role == Role::Operator => plan.swap.push(key.clone()),
                Change::Keep | Change::Retune => {}
                // An operator that has ended has nothing to swap between batches: it starts anew.
                Change::Swap if runs => {
                    plan.swap.push(key.clone());
                    plan.build.push(key.clone());
                }
                Change::Rewire if reads_on(node, graph, key) => {
                    // One that has come to its end stays there.
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
        // Whoever is woken may wake others.
        while plan.wake_writers(node, graph) | plan.wake_readers(node, graph) {}
        plan
    }

    /// What will run under a new hold: built anew, or going on where it was.
    pub(super) fn launches(&self) -> impl Iterator<Item = &StageKey> {
        self.build.iter().chain(&self.hand_over)
    }

    fn starts(&self, key: &StageKey) -> bool {
        self.launches().any(|launched| launched == key)
    }

    /// Starts those again that were told to stop because nobody read what they write, if somebody does now. Whether there
    /// are any.
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

    /// Starts those again that had come to the end of a stream which is now written anew, and those after them. Whether
    /// there are any.
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

/// Whether a producer reads from the same in both graphs, and makes the same of it.
fn reads_on(node: &Node, graph: &Graph, key: &StageKey) -> bool {
    let reads = |graph: &Graph| match &graph.stage(key)?.kind {
        StageKind::Source { config, to } => {
            Some((config.clone(), graph.streams[to].encoding.clone()))
        }
        _ => None,
    };
    reads(&node.graph).is_some_and(|before| reads(graph) == Some(before))
}
