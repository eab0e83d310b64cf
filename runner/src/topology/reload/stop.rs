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

use super::{REPLACE_DEADLINE, Switch};
use crate::{
    graph::{Change, Edge, StageKey, StageKind, StreamName},
    stage::{Drain, Input},
    topology::{
        build::{Parts, PartsOf},
        stages::Stages,
        streams::Outlets,
    },
};

/// Minimum time that a reader gets to drain its edges, even if the stages before it have used up
/// the limit: 1 s.
const DRAIN_LEAST: Duration = Duration::from_secs(1);

/// Producers that are being closed: their remaining records go to their readers.
#[derive(Default)]
struct Closing(BTreeMap<StreamName, JoinHandle<FinishReport>>);

impl Closing {
    /// Starts to close the producer of a stream, unless it is closed or being closed.
    fn start(&mut self, stream: &StreamName, outlets: &mut Outlets) {
        if let Some(closed) = outlets.retire(stream, REPLACE_DEADLINE) {
            self.0.insert(stream.clone(), closed);
        }
    }

    /// Waits until the readers of a stream have its remaining records, for at most `limit`.
    async fn wait_for(&mut self, stream: &StreamName, limit: Duration, outlets: &Outlets) {
        if let Some(task) = self.0.get_mut(stream)
            && let Ok(report) = timeout(limit, &mut *task).await
        {
            outlets.note_retired(stream, report.ok());
            self.0.remove(stream);
        }
    }

    async fn wait_for_all(self, outlets: &Outlets) {
        for (stream, task) in self.0 {
            let report = task.await.ok();
            outlets.note_retired(&stream, report);
        }
    }
}

impl<'g> Switch<'g> {
    /// Stops the stages that are rewired or removed, writers before readers. Closes the streams
    /// that change or have no writers here any more, and returns the subscriptions that continue.
    pub(super) async fn stop(
        &self,
        parts: &mut PartsOf<'g>,
        stages: &mut Stages,
        outlets: &mut Outlets,
    ) -> BTreeMap<StageKey, Vec<Input>> {
        let until = Instant::now() + REPLACE_DEADLINE;
        let left = || until.saturating_duration_since(Instant::now());
        let over = self.streams_to_close(outlets);
        let mut closing = Closing::default();
        let mut inherited = BTreeMap::new();
        let never = CancellationToken::new();
        for stage in self
            .old
            .in_order()
            .filter(|stage| self.plan.stops(&stage.key))
        {
            let id = &stage.key;
            for Edge { stream, .. } in stage.edges() {
                closing.wait_for(stream, left(), outlets).await;
            }
            let drain = if self.plan.hands_over(id) {
                Drain::HandOver
            } else {
                Drain::Queued
            };
            if let Some(stopped) = stages.stop(id, drain, sleep(left().max(DRAIN_LEAST)), &never) {
                let mut ended = stopped.await;
                if let Some(ended) = &mut ended {
                    let (kept, dropped) = ended
                        .inputs
                        .drain(..)
                        .partition(|input| self.keeps_edge(id, input.port));
                    ended.inputs = dropped;
                    inherited.insert(id.clone(), kept);
                    if self.plan.hands_over(id)
                        && let Some(to) = self.output_of(id)
                        && let Some(reading) = ended.source.take()
                    {
                        parts.insert(id.clone(), Parts::Source { to, reading });
                    }
                }
                stages.settle(self.old, id, ended);
            }
            for stream in stage.writes().filter(|stream| over.contains(stream)) {
                if !stages.active(self.old).is_written(stream) {
                    closing.start(stream, outlets);
                }
            }
        }
        for stream in &over {
            closing.start(stream, outlets);
        }
        closing.wait_for_all(outlets).await;
        inherited
    }

    fn streams_to_close(&self, outlets: &Outlets) -> Vec<StreamName> {
        let replaced: Vec<_> = self
            .diff
            .streams_to(Change::Rewire)
            .chain(self.diff.streams_to(Change::Remove))
            .collect();
        let streams = outlets.names();
        streams
            .filter(|stream| replaced.contains(stream) || self.new.writers(stream).next().is_none())
            .cloned()
            .collect()
    }

    /// Returns the stream that a producer of the new graph writes.
    fn output_of(&self, key: &StageKey) -> Option<&'g StreamName> {
        match &self.new.stage(key)?.kind {
            StageKind::Source { to, .. } => Some(to),
            StageKind::Operator(_) | StageKind::Sink { .. } => None,
        }
    }

    /// Returns true if a stage's subscription at a port continues. All its differences can be
    /// changed in place.
    fn keeps_edge(&self, id: &StageKey, port: u32) -> bool {
        let mut edges = self.diff.edges.iter();
        edges.any(|edge| edge.stage == *id && edge.port == port)
    }
}
