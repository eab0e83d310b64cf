//! A node's orderly end: sources stop, what is under way is worked off in the order of the graph.

use std::time::Duration;

use mosaik_streams::FramesProducer;
use tokio::time::Instant;

use super::{Summary, node::Node};
use crate::{
    graph::{Role, Scope, Stage, StageKey},
    stage::Drain,
};

/// How long something is held for a stream that nobody reads at the moment, once the node is to stop: 1 s.
const OFFLINE_GRACE: Duration = Duration::from_secs(1);

/// How long streams that are cut off may take to count what they still hold: 2 s.
const CUT_GRACE: Duration = Duration::from_secs(2);

impl Node {
    /// Stops the sources, works off what is under way, says good-bye to the network, and tells what was done. What is
    /// left at the deadline counts as undelivered.
    pub async fn shutdown(mut self, deadline: Duration) -> Summary {
        self.wind_up(deadline).await;
        let mut summary = self.ledger.summary(self.generation);
        summary.note_readers_that_left(&self.graph);
        summary
    }

    /// As [`shutdown`](Self::shutdown); afterwards nothing of it runs.
    pub(super) async fn wind_up(&mut self, deadline: Duration) {
        let until = Instant::now() + deadline;
        let left = |online: bool| {
            let left = until.saturating_duration_since(Instant::now());
            if online {
                left
            } else {
                left.min(OFFLINE_GRACE)
            }
        };
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
            let limit = left(self.can_deliver(&key));
            if let Some(running) = self.stages.remove(&key) {
                stopping.push(async move { (key, running.stop(Drain::ToEnd, limit).await) });
            }
        }
        for (key, ended) in futures::future::join_all(stopping).await {
            self.settle(&key, ended);
        }
        for key in others {
            self.end_private_streams();
            let limit = left(self.can_deliver(&key));
            if let Some(running) = self.stages.remove(&key) {
                let ended = running.stop(Drain::ToEnd, limit).await;
                self.settle(&key, ended);
            }
        }
        self.end_private_streams();
        for (stream, producer) in std::mem::take(&mut self.producers) {
            let limit = left(producer.is_online());
            let report = producer.close_within(limit).await;
            self.ledger.note_producer(&stream, &report.stats);
        }
        let online = self.endings.values().any(|ending| ending.when.is_online());
        if !self.all_read(left(online)).await {
            self.endings.values().for_each(|ending| ending.cut.cancel());
            if !self.all_read(CUT_GRACE).await {
                tracing::warn!(
                    "a stream was not cut off in time; what it still held is missing from the summary"
                );
            }
        }
        self.network.clone().shutdown().await;
    }

    /// Whether the streams that have ended were read to their ends within a time.
    async fn all_read(&mut self, limit: Duration) -> bool {
        let read = async {
            while let Some(ended) = self.ending.join_next().await {
                self.stream_ended(ended);
            }
        };
        tokio::time::timeout(limit, read).await.is_ok()
    }

    /// Whether anybody reads what a stage writes at the moment, or it writes nothing.
    fn can_deliver(&self, key: &StageKey) -> bool {
        let mut producers = self
            .graph
            .stage(key)
            .into_iter()
            .flat_map(Stage::writes)
            .map(|name| self.producers.get(name));
        producers.all(|producer| producer.is_none_or(FramesProducer::is_online))
    }

    /// Ends the node's own streams whose writers have ended. Shared ones are closed later and may come back.
    fn end_private_streams(&mut self) {
        let shared: Vec<_> = self
            .producers
            .keys()
            .filter(|name| self.graph.streams[*name].scope == Scope::Network)
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
