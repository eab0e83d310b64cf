//! Going over to a new generation: built beside the one that runs, then swapped in, or not at all.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Receipt,
    build::{Parts, parts_of},
    node::{Node, StartError},
    plan::Plan,
};
use crate::{
    graph::{Change, Diff, Graph, Stage, StageKey, StreamConfig},
    stage::{Drain, Input},
};

/// How long an operator may take to come to a batch boundary for a swap: 10 s.
pub const SWAP_DEADLINE: Duration = Duration::from_secs(10);
/// How long a stage that is rewired or removed may take to work off its edges: 10 s.
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
        let dropped = self.dropped_so_far();
        let opened = self.open_for_swaps(&graph, &plan.swap)?;
        let pauses = match self.swap_all(&graph, &plan.swap, &mut parts).await {
            Ok(pauses) => pauses,
            Err(error) => {
                self.producers.retain(|stream, _| !opened.contains(stream));
                return Err(error);
            }
        };
        let inherited = self.stop_all(&plan, &graph, &mut parts).await;
        self.close_streams(&diff, &graph).await;
        self.retune_streams(&graph);
        self.retune_edges(&graph);
        self.retune_node(&graph).await;
        self.graph = Arc::new(graph);
        self.generation += 1;
        let launched = self.open_streams_for(&parts);
        if let Err(error) = launched.and_then(|()| self.launch(parts, inherited)) {
            self.show();
            return Err(ApplyError::Incomplete(error));
        }
        self.end_streams_without_writers();
        self.stop_writers_without_readers();
        self.library.retain(&self.graph.component_hashes());
        let receipt = Receipt {
            generation: self.generation,
            diff,
            built_in,
            applied_in: started.elapsed(),
            pauses,
            dropped: self.dropped_so_far().saturating_sub(dropped),
        };
        self.show();
        Ok(Some(receipt))
    }

    /// Stops what is rewired or removed, writers before readers, and keeps the subscriptions that go on.
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
            let drain = if plan.hand_over.contains(&id) {
                Drain::HandOver
            } else {
                Drain::Queued
            };
            let mut ended = running.stop(drain, left).await;
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

    /// Whether a stage's subscription at a port is to the same stream in both graphs, so that all that may differ can
    /// change in place.
    fn keeps_edge(&self, graph: &Graph, id: &StageKey, port: u32) -> bool {
        let stream = |graph: &Graph| {
            let name = graph.stage(id)?.edge_at(port)?.stream.clone();
            let StreamConfig {
                id,
                scope,
                encoding,
                ..
            } = graph.streams.get(&name)?.clone();
            Some((name, id, scope, encoding))
        };
        stream(&self.graph).is_some_and(|old| stream(graph) == Some(old))
    }

    /// Closes this node's end of the streams that changed or are no longer written here; nobody here uses them now.
    async fn close_streams(&mut self, diff: &Diff, graph: &Graph) {
        let replaced: Vec<_> = diff
            .streams_to(Change::Rewire)
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
