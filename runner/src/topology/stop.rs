//! Stops the stages that a new generation replaces or removes: writers before readers, so that
//! records in flight arrive.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use mosaik_streams::producer::FinishReport;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{apply::REPLACE_DEADLINE, build::Parts, node::Node, plan::Plan};
use crate::{
    graph::{Change, Diff, Edge, Graph, StageKey, StreamName},
    stage::{Drain, Input},
};

/// Minimum time that a reader gets to drain its edges, even if the stages before it have used up
/// the limit: 1 s.
const DRAIN_LEAST: Duration = Duration::from_secs(1);

/// Producers that are being closed: their remaining records go to their readers.
type Closing = BTreeMap<StreamName, JoinHandle<FinishReport>>;

impl Node {
    /// Stops the stages that are rewired or removed, writers before readers. Closes the streams
    /// that change or have no writers here any more, and returns the subscriptions that continue.
    pub(super) async fn stop_all(
        &mut self,
        plan: &Plan,
        diff: &Diff,
        graph: &Graph,
        parts: &mut BTreeMap<StageKey, Parts>,
    ) -> BTreeMap<StageKey, Vec<Input>> {
        let until = Instant::now() + REPLACE_DEADLINE;
        let left = || until.saturating_duration_since(Instant::now());
        let old = std::sync::Arc::clone(&self.graph);
        let over: Vec<StreamName> = self.streams_to_close(diff, graph);
        let mut closing = Closing::new();
        let mut inherited = BTreeMap::new();
        for stage in old
            .in_order()
            .filter(|stage| plan.stop.contains(&stage.key))
        {
            let id = &stage.key;
            for Edge { stream, .. } in stage.edges() {
                if let Some(task) = closing.get_mut(stream)
                    && let Ok(report) = timeout(left(), &mut *task).await
                {
                    self.note_closed(stream, report.ok());
                    closing.remove(stream);
                }
            }
            if let Some(running) = self.stages.remove(id) {
                let drain = if plan.hand_over.contains(id) {
                    Drain::HandOver
                } else {
                    Drain::Queued
                };
                let mut ended = running
                    .stop(
                        drain,
                        sleep(left().max(DRAIN_LEAST)),
                        &CancellationToken::new(),
                    )
                    .await;
                if let Some(ended) = &mut ended {
                    let (kept, dropped) = ended
                        .inputs
                        .drain(..)
                        .partition(|input| self.keeps_edge(graph, id, input.port));
                    ended.inputs = dropped;
                    inherited.insert(id.clone(), kept);
                    if plan.hand_over.contains(id)
                        && let Some((source, held)) = ended.source.take()
                    {
                        parts.insert(id.clone(), Parts::Source(source, held));
                    }
                }
                self.settle(id, ended);
            }
            let written: Vec<_> = stage
                .writes()
                .filter(|stream| over.contains(stream))
                .collect();
            for stream in written {
                if !self.is_written(stream) {
                    self.close_stream(stream, &mut closing);
                }
            }
        }
        for stream in &over {
            self.close_stream(stream, &mut closing);
        }
        for (stream, task) in closing {
            let report = task.await.ok();
            self.note_closed(&stream, report);
        }
        inherited
    }

    fn streams_to_close(&self, diff: &Diff, graph: &Graph) -> Vec<StreamName> {
        let replaced: Vec<_> = diff
            .streams_to(Change::Rewire)
            .chain(diff.streams_to(Change::Remove))
            .collect();
        let streams = self.producers.keys();
        streams
            .filter(|stream| replaced.contains(stream) || graph.writers(stream).next().is_none())
            .cloned()
            .collect()
    }

    /// Starts to close this node's producer of a stream, also if other handles to it exist.
    fn close_stream(&mut self, stream: &StreamName, closing: &mut Closing) {
        if let Some(producer) = self.producers.remove(stream) {
            let closed = tokio::spawn(producer.retire_within(REPLACE_DEADLINE));
            closing.insert(stream.clone(), closed);
        }
    }

    fn note_closed(&self, stream: &StreamName, report: Option<FinishReport>) {
        if let Some(report) = report {
            self.run_totals.note_producer(stream, &report.stats);
        }
    }

    /// Returns true if a stage's subscription at a port is to the same stream in both graphs. All
    /// remaining differences can then be changed in place.
    fn keeps_edge(&self, graph: &Graph, id: &StageKey, port: u32) -> bool {
        let stream = |graph: &Graph| {
            let name = graph.stage(id)?.edge_at(port)?.stream.clone();
            let stream = graph.streams.get(&name)?.clone();
            Some((name, stream.id, stream.settings.scope, stream.encoding))
        };
        stream(&self.graph).is_some_and(|old| stream(graph) == Some(old))
    }
}
