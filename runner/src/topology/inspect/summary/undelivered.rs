//! Finds the known reasons why records were not delivered: their readers were absent or
//! disconnected.

use std::collections::BTreeSet;

use super::{LEFT_BEHIND, StageSummary, Summary};
use crate::{
    graph::{Graph, StageKind, StreamName},
    stage::End,
};

impl Summary {
    /// Marks the stages that held records for shared streams with too few readers at the end.
    pub(in crate::topology) fn note_unread(
        &mut self,
        graph: &Graph,
        unread: &BTreeSet<StreamName>,
    ) {
        for stage in &mut self.stages {
            let ends = graph
                .stage(&stage.stage)
                .map(|declared| graph.shared_ends(declared))
                .unwrap_or_default();
            if ends.is_subset(unread) {
                stage.held_for = ends;
            }
        }
    }

    /// Counts the records held by stages that did not stop in time.
    pub(in crate::topology) fn note_left_behind(&mut self) {
        let is_left = |stage: &&mut StageSummary| matches!(&stage.end, Some(End::Failed(reason)) if reason == LEFT_BEHIND);
        let left = self.stages.iter_mut().filter(is_left);
        left.for_each(StageSummary::note_in_flight);
    }

    /// Records the external sinks whose readers disconnected.
    pub(in crate::topology) fn note_closed(&mut self, graph: &Graph) {
        let closed = self
            .stages
            .iter()
            .filter(|stage| stage.end == Some(End::Closed));
        self.closed = closed
            .map(|stage| {
                match graph.stage(&stage.stage).map(|s| &s.kind) {
                    Some(StageKind::Sink { config, .. }) => config.reader().map(str::to_owned),
                    _ => None,
                }
                .unwrap_or_else(|| stage.stage.to_string())
            })
            .collect();
    }

    /// Returns the number of undelivered records for external sinks whose readers disconnected.
    pub(super) fn dropped_for_closed(&self) -> u64 {
        let stages = self.stages.iter().filter(|stage| stage.reader_left);
        let stages = stages.map(|stage| stage.counts.undelivered());
        let streams = self.streams.values().filter(|stream| stream.reader_left);
        let streams = streams.map(|stream| {
            let reasons = ["nobody", "closed", "offline"].iter();
            let counts = reasons.filter_map(|reason| stream.dropped.get(reason));
            counts.sum::<u64>()
        });
        stages.chain(streams).sum()
    }
}
