//! [`Summary`]: the totals of a node, from its first generation to its end.

mod loss;
mod text;
mod undelivered;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mosaik_streams::streams::producer::ProducerStats;

use crate::{
    graph::{StageKey, StreamName},
    stage::{End, OperatorCounter, Snapshot},
};

/// Failure reason of a stage that did not stop in time.
pub(in crate::topology) const LEFT_BEHIND: &str = "it did not stop in time and was abandoned";

/// Totals of one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSummary {
    /// The stage.
    pub stage: StageKey,
    /// The outcome; `None` while it runs.
    pub end: Option<End>,
    /// The stage's own counts.
    pub counts: Snapshot,
    /// Number of records that its subscriptions dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// The operator's own counters.
    pub counters: BTreeMap<String, OperatorCounter>,
    /// The reason why it currently cannot write, if there is one.
    pub obstacle: Option<String>,
    /// True if all its output led to external readers that disconnected, like that of a pipe.
    pub reader_left: bool,
    /// The shared streams for which it held records because they had too few readers when the node
    /// stopped.
    pub held_for: BTreeSet<StreamName>,
}

/// Totals of this node's producer of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamSummary {
    /// Number of records sent to other nodes, counted once per subscriber.
    pub sent_remote: u64,
    /// Number of records resent to a restarted node that had not confirmed them.
    pub redelivered: u64,
    /// Number of records sent to nodes that do not confirm received records.
    pub unconfirmed: u64,
    /// Number of dropped records, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// True if all its readers on this node led to external readers that disconnected.
    pub reader_left: bool,
    /// True if other nodes may read it.
    pub shared: bool,
    /// True if `online_when` makes it wait for readers.
    pub waits_for_readers: bool,
}

/// Totals of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The number of the last version of the graph.
    pub generation: u64,
    /// Time for which it ran.
    pub uptime: Duration,
    /// The stages, sorted by role (producers, operators, consumers) and name.
    pub stages: Vec<StageSummary>,
    /// The streams written here.
    pub streams: BTreeMap<StreamName, StreamSummary>,
    /// External sinks whose readers disconnected, such as `stdout`.
    pub closed: BTreeSet<String>,
}

impl Summary {
    /// Returns true if a stage failed.
    pub fn has_failures(&self) -> bool {
        self.stages
            .iter()
            .any(|stage| matches!(stage.end, Some(End::Failed(_))))
    }

    /// Returns the number of records that did not reach their destination, for any reason.
    pub fn dropped(&self) -> u64 {
        let stages = self.stages.iter().map(|stage| {
            stage.counts.dropped().map(|(_, count)| count).sum::<u64>()
                + stage.dropped.values().sum::<u64>()
        });
        let streams = self
            .streams
            .values()
            .map(|stream| stream.dropped.values().sum::<u64>());
        stages.chain(streams).sum()
    }
}

impl StageSummary {
    /// Counts as undelivered the records that the stage received and did not finish processing.
    pub(super) fn note_in_flight(&mut self) {
        let Snapshot {
            datums_in, inputs, ..
        } = self.counts;
        self.counts.inputs.undelivered += datums_in.saturating_sub(inputs.total());
    }
}

impl StreamSummary {
    pub(super) fn add(&mut self, stats: &ProducerStats) {
        self.sent_remote += stats.sent_datums;
        self.redelivered += stats.redelivered;
        self.unconfirmed += stats.unconfirmed;
        let dropped = &stats.dropped;
        let reasons = [
            ("offline", dropped.offline),
            ("lagging", dropped.lagging),
            ("closed", dropped.closed),
            ("nobody", dropped.nobody),
            ("lost", dropped.lost),
        ];
        add(&mut self.dropped, reasons);
    }
}

pub(super) fn add(
    totals: &mut BTreeMap<&'static str, u64>,
    counts: impl IntoIterator<Item = (&'static str, u64)>,
) {
    for (reason, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        *totals.entry(reason).or_default() += count;
    }
}
