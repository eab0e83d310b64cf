//! Shuts a node down.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Node;
use crate::{
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
        self.wind_up(Drain::ToEnd, deadline, hurry).await;
        let mut summary = self.totals.summary(self.generation);
        summary.note_readers_that_left(&self.graph);
        summary.note_left_behind();
        summary.note_closed(&self.graph);
        summary.note_unread(&self.graph, &unread);
        summary
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
        stop_stages(
            &self.graph,
            &mut self.stages,
            &mut self.outlets,
            sources_drain,
            until,
            hurry,
        )
        .await;
        self.outlets.close_all(until, hurry).await;
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
