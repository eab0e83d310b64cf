//! Applies a new generation to a running node: builds it beside the running one, then swaps it in
//! completely or not at all.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Receipt,
    build::parts_of,
    node::{Node, StartError},
    plan::Plan,
};
use crate::graph::{Change, Diff, Graph, Stage, StageKey};

/// Time limit for an operator to reach a batch boundary for a swap: 10 s.
pub const SWAP_DEADLINE: Duration = Duration::from_secs(10);
/// Time limit for a rewired or removed stage to process the records queued on its edges: 10 s.
pub const REPLACE_DEADLINE: Duration = Duration::from_secs(10);

/// The reason why a node keeps its current generation.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A change requires a restart of the node.
    #[error("a restart is needed: {0}")]
    NeedsRestart(String),
    /// A part of the new generation could not be built.
    #[error(transparent)]
    Build(#[from] StartError),
    /// The new generation runs, but some of its stages could not be started.
    #[error("some parts could not be started: {0}")]
    Incomplete(StartError),
    /// An operator refused the swap or did not complete it in time.
    #[error("{stage} cannot be swapped: {reason}")]
    Swap {
        /// The operator.
        stage: StageKey,
        /// The reason, as one sentence.
        reason: String,
    },
}

impl Node {
    /// Switches to another graph. Returns `None` if the graph is unchanged.
    ///
    /// # Errors
    /// On any error except [`ApplyError::Incomplete`], the running generation continues unchanged.
    pub async fn apply(&mut self, graph: Graph) -> Result<Option<Receipt>, ApplyError> {
        let diff = Diff::between(&self.graph, &graph);
        if !diff.restart.is_empty() {
            return Err(ApplyError::NeedsRestart(diff.restart.join("; ")));
        }
        let is_owed = graph
            .stages()
            .any(|Stage { key, .. }| !self.stages.contains_key(key) && self.is_owed(key));
        if diff.is_empty() && !is_owed {
            return Ok(None);
        }
        let started = Instant::now();
        if graph.is_networked() {
            self.network.bind().await.map_err(StartError::Network)?;
        }
        let mut parts = BTreeMap::new();
        self.settle_down().await;
        let plan = loop {
            let plan = Plan::new(self, &graph, &diff);
            let running = self.stages.len();
            let new = graph
                .stages()
                .filter(|stage| plan.build.contains(&stage.key) && !parts.contains_key(&stage.key));
            let built = parts_of(&graph, new, &self.library).await;
            parts.extend(built.map_err(StartError::from)?);
            self.settle_down().await;
            // A stage that ends while the new generation is being built can no longer be swapped:
            // it has to be started, and so may other stages. Plan again.
            if self.stages.len() == running {
                break plan;
            }
        };
        let built_in = started.elapsed();
        let restarted = plan
            .build
            .iter()
            .filter(|key| diff.stages_to(Change::Keep).any(|kept| kept == *key))
            .cloned()
            .collect();

        let started = Instant::now();
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
        let inherited = self.stop_all(&plan, &diff, &graph, &mut parts).await;
        self.retune_streams(&graph);
        self.retune_edges(&graph);
        self.retune_node(&graph).await;
        self.graph = Arc::new(graph);
        self.generation += 1;
        self.owed = plan
            .launches()
            .filter(|key| !plan.swap.contains(key))
            .cloned()
            .collect();
        let launched = self.open_streams_for(&parts);
        if let Err(error) = launched.and_then(|()| self.launch(parts, inherited)) {
            self.show();
            return Err(ApplyError::Incomplete(error));
        }
        self.owed.clear();
        self.end_streams_without_writers();
        self.stop_writers_without_readers();
        let receipt = Receipt {
            generation: self.generation,
            diff,
            restarted,
            built_in,
            applied_in: started.elapsed(),
            pauses,
            dropped: self.dropped_so_far().saturating_sub(dropped),
        };
        self.show();
        Ok(Some(receipt))
    }
}
