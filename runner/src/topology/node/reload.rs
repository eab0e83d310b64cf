//! Switches a node to another graph: while it runs, or by a restart in the same process.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{Node, Past};
use crate::{
    graph::{Diff, Graph, Stage, StageKey},
    stage::{Drain, End},
    topology::{
        ApplyError, DRAIN_DEADLINE, Receipt, StartError,
        build::PartsOf,
        reload::{self, Plan, Switch},
    },
};

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
        let is_owed =
            |Stage { key, .. }: &Stage| !self.stages.runs(key) && self.stages.is_owed(key);
        if diff.is_empty() && !graph.stages().any(is_owed) {
            return Ok(None);
        }
        let began = Instant::now();
        if graph.is_networked() {
            self.network.bind().await.map_err(StartError::Network)?;
        }
        let graph = Arc::new(graph);
        let (plan, parts) = self.prepare(&graph, &diff).await?;
        let built_in = began.elapsed();
        let restarted = plan.restarted(&diff);

        let began = Instant::now();
        let dropped = self.dropped_so_far();
        let old = Arc::clone(&self.graph);
        let switch = Switch::new(&old, &graph, &diff, &plan);
        let (pauses, mut prepared) = switch
            .apply(parts, &mut self.stages, &mut self.outlets)
            .await?;
        let name = self.settings.shown_name(&graph);
        switch.retune_node(self.network.discovery(), name).await;
        self.graph = Arc::clone(&graph);
        self.generation += 1;
        let noted = switch.note(&mut prepared, &self.stages).await;
        let launched = switch.launch(prepared, &mut self.stages, &mut self.outlets);
        if let Err(error) = noted.and(launched) {
            self.show();
            return Err(ApplyError::Incomplete(error));
        }
        self.end_unneeded();
        let receipt = Receipt {
            generation: self.generation,
            diff,
            restarted,
            built_in,
            applied_in: began.elapsed(),
            pauses,
            dropped: self.dropped_so_far().saturating_sub(dropped),
        };
        self.show();
        Ok(Some(receipt))
    }

    /// Plans the switch to another graph, and builds the parts that it needs.
    async fn prepare<'g>(
        &mut self,
        graph: &'g Graph,
        diff: &Diff,
    ) -> Result<(Plan, PartsOf<'g>), StartError> {
        let mut parts = PartsOf::new();
        self.settle_down().await;
        loop {
            let plan = Plan::new(graph, diff, &self.stages);
            let running = self.stages.count();
            plan.build(graph, &self.library, &mut parts).await?;
            self.settle_down().await;
            // A stage that ends while the new generation is being built can no longer be swapped:
            // it has to be started, and so may other stages. Plan again.
            if self.stages.count() == running {
                return Ok((plan, parts));
            }
        }
    }

    /// Shuts the node down in order and starts it with another graph, which may differ in any way.
    /// Operators lose their state, connections are closed, and sources read from the start;
    /// counters continue.
    ///
    /// # Errors
    /// The other graph does not start. The node then runs the previous graph, started again.
    /// [`ApplyError::Incomplete`] if that does not start either, and nothing runs.
    pub async fn restart(&mut self, graph: Graph) -> Result<Receipt, ApplyError> {
        reload::try_parts(&graph, &self.library).await?;
        let before = Arc::clone(&self.graph);
        let diff = Diff::between(&before, &graph);
        let began = Instant::now();
        let dropped = self.dropped_so_far();
        let never = CancellationToken::new();
        let drain = self.last_checkpoint(&never).await;
        self.wind_up(drain.unwrap_or(Drain::Queued), DRAIN_DEADLINE, &never)
            .await;
        if let Err(error) = self.start_again(Arc::new(graph)).await {
            let stages: Vec<StageKey> = before.stages().map(|stage| stage.key.clone()).collect();
            if let Err(lost) = self.start_again(before).await {
                // Nothing runs: report each stage as failed.
                for stage in stages {
                    let reason = format!("it could not be restarted: {lost}");
                    self.totals.note_end(&stage, End::Failed(reason));
                }
                return Err(ApplyError::Incomplete(lost));
            }
            return Err(error.into());
        }
        self.generation += 1;
        self.show();
        Ok(Receipt {
            generation: self.generation,
            diff,
            restarted: Vec::new(),
            built_in: Duration::ZERO,
            applied_in: began.elapsed(),
            pauses: BTreeMap::new(),
            dropped: self.dropped_so_far().saturating_sub(dropped),
        })
    }

    async fn start_again(&mut self, graph: Arc<Graph>) -> Result<(), StartError> {
        let past = Past {
            generation: self.generation,
            totals: self.totals.clone(),
            observer: Some(self.observer()),
        };
        let library = Arc::clone(&self.library);
        *self = Self::start_after(past, graph, library, &self.settings.clone()).await?;
        Ok(())
    }

    /// Returns the number of records that did not reach their destination since the node started,
    /// in ended and running parts.
    fn dropped_so_far(&self) -> u64 {
        let past = self.totals.summary(self.generation).dropped();
        past + self.stages.inlets().dropped() + self.outlets.dropped()
    }
}
