//! Shuts a node down in order: stops the sources, then drains the stages in the order of the graph.

use std::time::Duration;

use futures::future::{join_all, select_all};
use mosaik_streams::status::When;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Summary, node::Node};
use crate::{
    graph::{Role, Scope, Stage, StageKey},
    stage::Drain,
};

/// Time for which a stopping node keeps records for a stream that currently has no readers: 1 s.
const OFFLINE_GRACE: Duration = Duration::from_secs(1);

/// Time limit for streams that are cut off to count their remaining records: 2 s.
const CUT_GRACE: Duration = Duration::from_secs(2);

/// The same limit, also for leaving the network, once the node has to stop immediately: 300 ms.
const HURRIED_GRACE: Duration = Duration::from_millis(300);

/// Resolves at the deadline, or once one of these streams has been offline for [`OFFLINE_GRACE`].
async fn over(until: Instant, streams: Vec<When>) {
    let is_offline = || streams.iter().any(|when| !when.is_online());
    let offline = async {
        loop {
            if is_offline() {
                sleep(OFFLINE_GRACE).await;
                if is_offline() {
                    return;
                }
            } else if streams.is_empty() {
                std::future::pending::<()>().await;
            } else {
                select_all(streams.iter().map(|when| Box::pin(when.offline()))).await;
            }
        }
    };
    // Either way, the time is over.
    let _ = timeout_at(until, offline).await;
}

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
        let unread = self.unread_streams();
        self.wind_up(Drain::ToEnd, deadline, hurry).await;
        let mut summary = self.run_totals.summary(self.generation);
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
        let order: Vec<StageKey> = self
            .graph
            .in_order()
            .map(|stage| stage.key.clone())
            .collect();
        let (sources, others): (Vec<_>, Vec<_>) = order
            .into_iter()
            .partition(|key| key.role == Role::Producer);
        let mut stopping = Vec::new();
        for key in sources {
            let over = over(until, self.outputs_of(&key));
            if let Some(running) = self.stages.remove(&key) {
                stopping.push(async move { (key, running.stop(sources_drain, over, hurry).await) });
            }
        }
        for (key, ended) in join_all(stopping).await {
            self.settle(&key, ended);
        }
        for key in others {
            self.end_private_streams();
            let over = over(until, self.outputs_of(&key));
            if let Some(running) = self.stages.remove(&key) {
                let ended = running.stop(Drain::ToEnd, over, hurry).await;
                self.settle(&key, ended);
            }
        }
        self.end_private_streams();
        for (stream, producer) in std::mem::take(&mut self.producers) {
            let over = over(until, vec![producer.when().clone()]);
            let cut = async {
                tokio::select! {
                    // Triggered when the time is over, or the stream has had no readers for long enough.
                    () = over => {}
                    // Triggered when the node has to stop immediately.
                    () = hurry.cancelled() => {}
                }
            };
            let left = until.saturating_duration_since(Instant::now());
            let report = producer.close_unless(left, cut).await;
            self.run_totals.note_producer(&stream, &report.stats);
        }
        let endings = self.endings.values();
        let over = join_all(endings.map(|ending| over(until, vec![ending.when.clone()])));
        let are_read = tokio::select! {
            biased;
            // Triggered when all streams are read.
            () = self.all_read() => true,
            // Triggered when the time is over for each of them.
            _ = over => false,
            // Triggered when the node has to stop immediately.
            () = hurry.cancelled() => false,
        };
        let grace = || {
            if hurry.is_cancelled() {
                HURRIED_GRACE
            } else {
                CUT_GRACE
            }
        };
        if !are_read {
            self.endings.values().for_each(|ending| ending.cut.cancel());
            if timeout(grace(), self.all_read()).await.is_err() {
                tracing::warn!(
                    "a stream did not close in time; its queued records are missing from the summary"
                );
            }
        }
        let mut leaving = std::pin::pin!(self.network.clone().shutdown());
        tokio::select! {
            () = &mut leaving => {}
            () = hurry.cancelled() => {
                // Peers detect on their own that it is gone.
                let _ = timeout(HURRIED_GRACE, leaving).await;
            }
        }
    }

    /// Waits for the ended streams to be read. Cancel safe.
    async fn all_read(&mut self) {
        while let Some(ended) = self.ending.join_next().await {
            self.stream_ended(ended);
        }
    }

    /// Returns the online conditions of the streams that a stage writes to.
    fn outputs_of(&self, key: &StageKey) -> Vec<When> {
        let writes = self.graph.stage(key).into_iter().flat_map(Stage::writes);
        let producers = writes.filter_map(|name| self.producers.get(name));
        producers.map(|producer| producer.when().clone()).collect()
    }

    /// Ends the private streams whose writers have ended. Shared streams are closed later and may
    /// be opened again.
    fn end_private_streams(&mut self) {
        let shared: Vec<_> = self
            .producers
            .keys()
            .filter(|name| self.graph.streams[*name].settings.scope == Scope::Network)
            .cloned()
            .collect();
        let kept: Vec<_> = shared
            .into_iter()
            .filter_map(|name| self.producers.remove_entry(&name))
            .collect();
        self.end_streams_without_writers();
        self.producers.extend(kept);
    }
}
