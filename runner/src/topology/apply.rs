//! Going over to a new generation: built beside the one that runs, then swapped in, or not at all.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use mosaik_streams::Tag;

use super::{
    Receipt,
    build::{Parts, parts_of, spread_of},
    edges,
    node::{Node, StartError},
    plan::Plan,
};
use crate::{
    graph::{Change, Diff, Edge, Graph, Stage, StageKey, StageKind, StatePolicy, StreamName},
    manifest::shown_tickets,
    stage::{Blueprint, Drain, Input, Replacement},
};

/// How long an operator may take to come to a batch boundary for a swap: 10 s.
pub const SWAP_DEADLINE: Duration = Duration::from_secs(10);
/// How long a stage that is replaced or removed may take to work off its edges: 10 s.
pub const REPLACE_DEADLINE: Duration = Duration::from_secs(10);

/// Why a node stays with the generation it has.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Something changed that only a restart can bring about.
    #[error("a restart is needed: {0}")]
    NeedsRestart(String),
    /// Something could not be built.
    #[error(transparent)]
    Build(#[from] StartError),
    /// The new generation runs, but not all of its stages could be started.
    #[error("not all of it could be started: {0}")]
    Incomplete(StartError),
    /// An operator did not take the swap.
    #[error("{stage} cannot be swapped: {reason}")]
    Swap {
        /// The operator.
        stage: StageKey,
        /// One clear sentence.
        reason: String,
    },
}

impl Node {
    /// Goes over to another graph. `None` when it is the same.
    ///
    /// # Errors
    /// The running generation goes on as it was, but for [`ApplyError::Incomplete`].
    pub async fn apply(&mut self, graph: Graph) -> Result<Option<Receipt>, ApplyError> {
        let diff = Diff::between(&self.graph, &graph);
        if !diff.restart.is_empty() {
            return Err(ApplyError::NeedsRestart(diff.restart.join("; ")));
        }
        if diff.is_empty() {
            return Ok(None);
        }
        let started = Instant::now();
        if graph.is_networked() {
            self.network.bind().await.map_err(StartError::Network)?;
        }
        let mut plan = Plan::new(self, &graph, &diff);
        let new = graph
            .stages()
            .filter(|stage| plan.build.contains(&stage.key));
        let mut parts = parts_of(&graph, new, &self.library)
            .await
            .map_err(StartError::from)?;
        let built_in = started.elapsed();

        let started = Instant::now();
        // What ended while the new generation was being built is not to be swapped, but to be started.
        self.catch_up();
        plan.swap.retain(|key| self.stages.contains_key(key));
        plan.launches()
            .filter_map(|key| graph.stage(key))
            .flat_map(Stage::writes)
            .try_for_each(|stream| self.refuse_while_ending(stream))?;
        let opened = self.open_for_swaps(&graph, &plan.swap)?;
        if let Err(error) = self.swap_all(&graph, &plan.swap, &mut parts).await {
            self.producers.retain(|stream, _| !opened.contains(stream));
            return Err(error);
        }
        let inherited = self.stop_all(&plan, &graph, &mut parts).await;
        self.close_streams(&diff, &graph).await;
        self.change_node(&graph).await;
        self.graph = graph;
        self.generation += 1;
        self.open_streams_for(&parts)
            .map_err(ApplyError::Incomplete)?;
        self.launch(parts, inherited)
            .map_err(ApplyError::Incomplete)?;
        self.end_streams_without_writers();
        self.stop_writers_without_readers();
        self.library.retain(&self.graph.component_hashes());
        Ok(Some(Receipt {
            generation: self.generation,
            diff,
            built_in,
            applied_in: started.elapsed(),
        }))
    }

    /// Opens the streams to which operators send their failures from now on. Tells which were not open before.
    fn open_for_swaps(
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

    /// What of the node itself can change while it runs: its tags and tickets, and whom it asks for the network.
    async fn change_node(&self, graph: &Graph) {
        let discovery = self.network.discovery();
        let (before, after) = (
            edges::tags(&self.graph.node.tags),
            edges::tags(&graph.node.tags),
        );
        let without = |tags: &[Tag], others: &[Tag]| -> Vec<Tag> {
            tags.iter()
                .filter(|tag| !others.contains(tag))
                .copied()
                .collect()
        };
        // New tickets first: with a renewed one, whoever asks for it sees no gap.
        let (old, new) = (&self.graph.node.tickets, &graph.node.tickets);
        shown_tickets(new).for_each(|ticket| discovery.add_ticket(ticket));
        let kept: Vec<_> = shown_tickets(new).map(|ticket| ticket.id()).collect();
        shown_tickets(old)
            .filter(|ticket| !kept.contains(&ticket.id()))
            .for_each(|ticket| discovery.remove_ticket(ticket.id()));
        discovery.remove_tags(without(&before, &after));
        discovery.add_tags(without(&after, &before));
        let added = graph
            .node
            .bootstrap
            .iter()
            .filter(|peer| !self.graph.node.bootstrap.contains(peer));
        discovery.dial(edges::bootstrap(added)).await;
    }

    /// Swaps operators one after the other; when one refuses, those before it are swapped back.
    async fn swap_all(
        &mut self,
        graph: &Graph,
        stages: &[StageKey],
        parts: &mut BTreeMap<StageKey, Parts>,
    ) -> Result<(), ApplyError> {
        let mut swapped: Vec<(StageKey, Blueprint)> = Vec::new();
        for id in stages {
            let Some(Parts::Operator {
                instances,
                blueprint,
                ..
            }) = parts.remove(id)
            else {
                continue;
            };
            let Some(StageKind::Operator(operator)) = graph.stage(id).map(|stage| &stage.kind)
            else {
                continue;
            };
            let replacement = Replacement {
                instances,
                spread: spread_of(operator),
                blueprint: (*blueprint).clone(),
                carry: operator.state == StatePolicy::Carry,
                on_error: self.on_error(&operator.on_error),
                tick: operator.tick,
                checkpoint: operator.checkpoint,
            };
            let Some(running) = self.stages.get(id) else {
                continue;
            };
            if let Err(reason) = running.swap(replacement, SWAP_DEADLINE).await {
                self.swap_back(swapped).await;
                return Err(ApplyError::Swap {
                    stage: id.clone(),
                    reason,
                });
            }
            if let Some(before) = self.blueprints.insert(id.clone(), *blueprint) {
                swapped.push((id.clone(), before));
            }
        }
        Ok(())
    }

    /// Puts the instances of before back, with the state as it is now.
    async fn swap_back(&mut self, swapped: Vec<(StageKey, Blueprint)>) {
        for (id, before) in swapped.into_iter().rev() {
            let Some(StageKind::Operator(operator)) =
                self.graph.stage(&id).map(|stage| &stage.kind)
            else {
                continue;
            };
            let on_error = self.on_error(&operator.on_error);
            let (tick, checkpoint) = (operator.tick, operator.checkpoint);
            let spread = spread_of(operator);
            let (blueprint, count) = (before.clone(), spread.instances);
            let made = tokio::task::spawn_blocking(move || blueprint.instances(count)).await;
            let outcome = match (made, self.stages.get(&id)) {
                (Ok(Ok(instances)), Some(running)) => {
                    let replacement = Replacement {
                        instances,
                        spread,
                        blueprint: before.clone(),
                        carry: true,
                        on_error,
                        tick,
                        checkpoint,
                    };
                    running.swap(replacement, SWAP_DEADLINE).await
                }
                (Ok(Err(error)), _) => Err(error.to_string()),
                (_, _) => Err("it has ended".to_owned()),
            };
            match outcome {
                Ok(()) => _ = self.blueprints.insert(id, before),
                Err(reason) => tracing::error!("{id} could not be swapped back: {reason}"),
            }
        }
    }

    /// Stops what is replaced or removed, writers before readers, and keeps the subscriptions that go on.
    async fn stop_all(
        &mut self,
        plan: &Plan,
        graph: &Graph,
        parts: &mut BTreeMap<StageKey, Parts>,
    ) -> BTreeMap<StageKey, Vec<Input>> {
        let until = Instant::now() + REPLACE_DEADLINE;
        let mut inherited = BTreeMap::new();
        let order: Vec<StageKey> = self
            .graph
            .in_order()
            .map(|stage| stage.key.clone())
            .filter(|id| plan.stop.contains(id))
            .collect();
        for id in order {
            let Some(running) = self.stages.remove(&id) else {
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            let mut ended = running.stop(Drain::Queued, left).await;
            if let Some(ended) = &mut ended {
                let (kept, dropped) = ended
                    .inputs
                    .drain(..)
                    .partition(|input| self.keeps_edge(graph, &id, input.port));
                ended.inputs = dropped;
                inherited.insert(id.clone(), kept);
                if plan.hand_over.contains(&id)
                    && let Some((source, held)) = ended.source.take()
                {
                    parts.insert(id.clone(), Parts::Source(source, held));
                }
            }
            self.settle(&id, ended);
        }
        inherited
    }

    /// Whether a stage's subscription at a port is the same in both graphs, its stream included.
    fn keeps_edge(&self, graph: &Graph, id: &StageKey, port: u32) -> bool {
        let edge = |graph: &Graph| {
            let edge = edge_at(graph.stage(id)?, port)?.clone();
            let stream = graph.streams.get(&edge.stream)?.clone();
            Some((edge, stream))
        };
        edge(&self.graph).is_some_and(|old| edge(graph) == Some(old))
    }

    /// Closes this node's end of the streams that changed or are no longer written here; nobody here uses them now.
    async fn close_streams(&mut self, diff: &Diff, graph: &Graph) {
        let replaced: Vec<_> = diff
            .streams_to(Change::Replace)
            .chain(diff.streams_to(Change::Remove))
            .collect();
        let closed: Vec<_> = self
            .producers
            .keys()
            .filter(|stream| replaced.contains(stream) || graph.writers(stream).next().is_none())
            .cloned()
            .collect();
        for stream in closed {
            if let Some(producer) = self.producers.remove(&stream) {
                let report = producer.close_within(REPLACE_DEADLINE).await;
                self.ledger.note_producer(&stream, &report.stats);
            }
        }
    }
}

fn edge_at(stage: &Stage, port: u32) -> Option<&Edge> {
    match &stage.kind {
        StageKind::Source { .. } => None,
        StageKind::Sink { from, .. } => Some(from),
        StageKind::Operator(operator) => {
            let name = operator.info.inputs.get(port as usize)?;
            operator
                .inputs
                .iter()
                .find(|input| input.port.as_str() == name.as_str())
                .map(|input| &input.edge)
        }
    }
}
