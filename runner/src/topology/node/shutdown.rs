//! Shuts a node down.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Node;
use crate::{
    checkpoint::Outcome,
    stage::Drain,
    topology::{Summary, shutdown::stop_stages},
};

/// Time limit for leaving the network once the node has to stop immediately: 300 ms.
const LEAVE_HURRIED: Duration = Duration::from_millis(300);

impl Node {
    /// Stops the sources, processes the records in flight, leaves the network and returns a
    /// summary. Records that remain at the deadline count as undelivered.
    pub async fn shutdown(self, deadline: Duration) -> Summary {
        self.shutdown_unless(deadline, &CancellationToken::new())
            .await
    }

    /// Like [`shutdown`](Self::shutdown), but brings the deadline forward when `hurry` is
    /// cancelled.
    pub async fn shutdown_unless(
        mut self,
        deadline: Duration,
        hurry: &CancellationToken,
    ) -> Summary {
        let unread = self.outlets.without_readers(&self.graph);
        let drain = self.last_checkpoint(hurry).await;
        self.wind_up(drain.unwrap_or(Drain::ToEnd), deadline, hurry)
            .await;
        let mut summary = self.totals.summary(self.generation);
        summary.note_readers_that_left(&self.graph);
        summary.note_left_behind();
        summary.note_closed(&self.graph);
        summary.note_unread(&self.graph, &unread);
        summary
    }

    /// Takes the last checkpoint, from which the next process goes on. Returns how the stages then stop; `None` if the
    /// node takes no checkpoints, or has nothing left to do.
    pub(super) async fn last_checkpoint(&self, hurry: &CancellationToken) -> Option<Drain> {
        let checkpoints = self.stages.checkpoints()?;
        if self.stages.is_empty() {
            return None;
        }
        let outcome = tokio::select! {
            outcome = checkpoints.take(true) => outcome,
            () = hurry.cancelled() => return Some(Drain::Suspend),
        };
        match outcome {
            Outcome::Committed { number } => {
                tracing::info!("checkpoint {number} taken; the next start goes on from it");
            }
            Outcome::GivenUp { reason } => tracing::warn!(
                "no last checkpoint: {reason}; the next start goes on from checkpoint {}",
                checkpoints.committed()
            ),
        }
        Some(Drain::Suspend)
    }

    /// Like [`shutdown_unless`](Self::shutdown_unless), but without a summary. Afterwards, no part
    /// of the node runs. With [`Drain::Queued`] for the sources, later ones of this process continue
    /// with standard input where these stopped.
    pub(super) async fn wind_up(
        &mut self,
        sources_drain: Drain,
        deadline: Duration,
        hurry: &CancellationToken,
    ) {
        let until = Instant::now() + deadline;
        // The log of a durable stream is read also by later processes, which must not write it again.
        let is_over = self.stages.is_empty()
            && self.outlets.logs().is_empty()
            && !self.totals.summary(self.generation).has_failures();
        stop_stages(
            &self.graph,
            &mut self.stages,
            &mut self.outlets,
            sources_drain,
            until,
            hurry,
        )
        .await;
        if is_over && let Some(checkpoints) = self.stages.checkpoints() {
            // Another start begins from the beginning, as it does without checkpoints.
            checkpoints.clear().await;
        }
        self.stages.close_checkpoints().await;
        self.outlets.close_all(until, hurry).await;
        self.outlets.close_logs().await;
        let mut leaving = std::pin::pin!(self.network.clone().shutdown());
        tokio::select! {
            () = &mut leaving => {}
            () = hurry.cancelled() => {
                // Peers detect on their own that it is gone.
                let _ = timeout(LEAVE_HURRIED, leaving).await;
            }
        }
    }
}
