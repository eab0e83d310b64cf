//! Restarts a node in the same process to apply changes that a running node cannot apply: drains
//! it, stops it and starts it again.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use tokio_util::sync::CancellationToken;

use super::{
    ApplyError, DRAIN_DEADLINE, Receipt, StartError,
    build::parts_of,
    node::{Node, Past},
};
use crate::{
    graph::{Diff, Graph, Role},
    stage::{Drain, End},
};

impl Node {
    /// Shuts the node down in order and starts it with another graph, which may differ in any way.
    /// Operators lose their state, connections are closed, and sources read from the start;
    /// counters continue.
    ///
    /// # Errors
    /// The other graph does not start. The node then runs the previous graph, started again.
    /// [`ApplyError::Incomplete`] if that does not start either, and nothing runs.
    pub async fn restart(&mut self, graph: Graph) -> Result<Receipt, ApplyError> {
        // Build everything that can be tried before the shutdown. Sources are excluded: a second
        // reader would take records from the first.
        let tried = graph
            .stages()
            .filter(|stage| stage.key.role != Role::Producer);
        parts_of(&graph, tried, &self.library)
            .await
            .map_err(StartError::from)?;
        let before = (*self.graph).clone();
        let diff = Diff::between(&before, &graph);
        let started = Instant::now();
        let dropped = self.dropped_so_far();
        self.wind_up(Drain::Queued, DRAIN_DEADLINE, &CancellationToken::new())
            .await;
        let applied = self.start_anew(graph).await;
        if let Err(error) = applied {
            let stages: Vec<_> = before.stages().map(|stage| stage.key.clone()).collect();
            if let Err(lost) = self.start_anew(before).await {
                // Nothing runs: report each stage as failed.
                for stage in stages {
                    let reason = format!("it could not be restarted: {lost}");
                    self.run_totals.note_end(&stage, End::Failed(reason));
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
            built_in: std::time::Duration::ZERO,
            applied_in: started.elapsed(),
            pauses: BTreeMap::new(),
            dropped: self.dropped_so_far().saturating_sub(dropped),
        })
    }

    async fn start_anew(&mut self, graph: Graph) -> Result<(), StartError> {
        let past = Past {
            generation: self.generation,
            run_totals: self.run_totals.clone(),
            observer: Some(self.observer()),
        };
        let library = Arc::clone(&self.library);
        *self = Self::start_after(past, graph, library, &self.settings.clone()).await?;
        Ok(())
    }
}
