//! Counts the lost records of a [`Summary`]: those dropped without permission in the manifest.

use std::collections::{BTreeMap, BTreeSet};

use super::{StageSummary, Summary};
use crate::{
    graph::{Graph, Scope, StageKey, StreamName},
    operator::CounterClass,
    stage::{End, OperatorCounter},
};

impl Summary {
    /// Returns the number of lost records: those dropped without permission in the manifest, or
    /// counted as lost by an operator.
    ///
    /// Records for a sink whose reader disconnected, like that of a pipe, do not count.
    pub fn lost(&self) -> u64 {
        let stages = self.stages.iter().map(StageSummary::lost);
        let streams = self.streams.values().map(|stream| {
            // A shared stream needs no reader unless `online_when` requires one. If it does,
            // nothing is produced without a reader, and the records that a reader leaves behind
            // have no other reader.
            let is_excused = |reason: &str| match reason {
                "nobody" => stream.reader_left || stream.shared,
                "closed" => stream.reader_left || (stream.shared && !stream.waits_for_readers),
                "offline" => stream.reader_left,
                _ => false,
            };
            let dropped = stream.dropped.iter();
            let lost = dropped.filter(|(reason, _)| !is_excused(reason));
            lost.map(|(_, count)| *count).sum::<u64>()
        });
        let counted = self.lost_by_counter();
        stages.chain(streams).chain(counted.into_values()).sum()
    }

    /// Returns the numbers of records that stages counted as lost themselves, by counter. No other
    /// count includes them.
    pub(super) fn lost_by_counter(&self) -> BTreeMap<&str, u64> {
        let mut lost = BTreeMap::new();
        for (name, counter) in self.counters_of(CounterClass::Lost) {
            *lost.entry(name).or_default() += counter.total;
        }
        lost
    }

    /// Returns the number of records that are missing from results because of the configuration of
    /// operators, as counted by them.
    pub fn incomplete(&self) -> u64 {
        let counters = self.counters_of(CounterClass::Incomplete);
        counters.map(|(_, counter)| counter.total).sum()
    }

    fn counters_of(&self, class: CounterClass) -> impl Iterator<Item = (&str, &OperatorCounter)> {
        let counters = self.stages.iter().flat_map(|stage| &stage.counters);
        counters
            .map(|(name, counter)| (name.as_str(), counter))
            .filter(move |(_, counter)| counter.class == class && counter.total > 0)
    }

    /// Marks the stages and streams whose output led only to sinks whose readers disconnected.
    pub(in crate::topology) fn note_readers_that_left(&mut self, graph: &Graph) {
        let closed = self.stages.iter();
        let closed = closed
            .filter(|stage| stage.end == Some(End::Closed))
            .map(|stage| stage.stage.clone());
        let (stages, streams) = led_to(graph, closed.collect());
        for stage in &mut self.stages {
            stage.reader_left = stages.contains(&stage.stage);
        }
        for (name, stream) in &mut self.streams {
            stream.reader_left = streams.contains(name);
            let declared = graph.streams.get(name);
            stream.shared = declared.is_some_and(|stream| stream.settings.scope == Scope::Network);
            stream.waits_for_readers =
                declared.is_some_and(|stream| stream.settings.online_when.producer.is_some());
        }
    }
}

impl StageSummary {
    /// Returns the number of records lost at this stage and on its subscriptions.
    pub fn lost(&self) -> u64 {
        let excused = if self.reader_left {
            self.counts.undelivered()
        } else {
            0
        };
        self.counts.lost() - excused + self.dropped.values().sum::<u64>()
    }
}

/// Returns the stages and streams of a graph whose entire output leads to these sinks.
fn led_to(
    graph: &Graph,
    mut stages: BTreeSet<StageKey>,
) -> (BTreeSet<StageKey>, BTreeSet<StreamName>) {
    let mut order: Vec<_> = graph.in_order().collect();
    order.reverse();
    let mut streams = BTreeSet::new();
    for stage in order {
        let mut written = stage.results().peekable();
        if written.peek().is_none() {
            continue;
        }
        let mut all_left = true;
        for stream in written {
            let mut readers = graph
                .stages()
                .filter(|reader| reader.edges().any(|edge| edge.stream == *stream))
                .peekable();
            let left =
                readers.peek().is_some() && readers.all(|reader| stages.contains(&reader.key));
            if left {
                streams.insert(stream.clone());
            }
            all_left &= left;
        }
        if all_left {
            stages.insert(stage.key.clone());
        }
    }
    (stages, streams)
}
