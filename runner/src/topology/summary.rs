//! Totals of a node, from its first generation to its end.

mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use mosaik_streams::{
    consumer::{ConsumerControl, ConsumerStats},
    streams::producer::ProducerStats,
};

use super::{node::Node, observer::Observer};
use crate::{
    graph::{Role, StageKey, StreamName},
    stage::{Counters, End, OperatorCounter, Snapshot},
};

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
    /// The last generation.
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
    fn add(&mut self, stats: &ProducerStats) {
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

/// Collects the totals of a node. Clones share the same totals.
#[derive(Debug, Clone)]
pub(super) struct RunTotals {
    since: Instant,
    pages: Arc<Mutex<Pages>>,
}

#[derive(Debug, Default)]
struct Pages {
    counters: BTreeMap<StageKey, Arc<Counters>>,
    ends: BTreeMap<StageKey, End>,
    /// Totals of the subscriptions that have ended.
    consumed: BTreeMap<StageKey, BTreeMap<&'static str, u64>>,
    produced: BTreeMap<StreamName, StreamSummary>,
}

impl Default for RunTotals {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            pages: Arc::default(),
        }
    }
}

impl RunTotals {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the counters of a stage, which are created on first use. A successor of the same
    /// name continues them.
    pub(super) fn counters(&self, stage: &StageKey) -> Arc<Counters> {
        Arc::clone(self.pages().counters.entry(stage.clone()).or_default())
    }

    pub(super) fn note_start(&self, stage: &StageKey) {
        self.pages().ends.remove(stage);
    }

    pub(super) fn note_end(&self, stage: &StageKey, end: End) {
        self.pages().ends.insert(stage.clone(), end);
    }

    pub(super) fn has_ended(&self, stage: &StageKey) -> bool {
        self.pages().ends.contains_key(stage)
    }

    pub(super) fn has_failed(&self, stage: &StageKey) -> bool {
        matches!(self.pages().ends.get(stage), Some(End::Failed(_)))
    }

    /// Adds the counts of a subscription when it is closed. The records that it still held are
    /// counted by its stage.
    pub(super) fn note_consumer(&self, stage: &StageKey, stats: &ConsumerStats) {
        let dropped = stats.dropped;
        let mut pages = self.pages();
        let totals = pages.consumed.entry(stage.clone()).or_default();
        let reasons = [
            ("malformed", dropped.malformed),
            ("too_large", dropped.too_large),
            ("lost", dropped.lost),
        ];
        add(totals, reasons);
    }

    /// Adds the counts of this node's producer of a stream when it is closed.
    pub(super) fn note_producer(&self, stream: &StreamName, stats: &ProducerStats) {
        let mut pages = self.pages();
        pages.produced.entry(stream.clone()).or_default().add(stats);
    }

    pub(super) fn summary(&self, generation: u64) -> Summary {
        let pages = self.pages();
        let stages = pages.counters.iter().map(|(stage, counters)| {
            let dropped = pages.consumed.get(stage).cloned().unwrap_or_default();
            let mut counts = counters.snapshot();
            if stage.role == Role::Producer {
                counts.inputs.answered = counts.datums_out;
            }
            StageSummary {
                stage: stage.clone(),
                end: pages.ends.get(stage).cloned(),
                counts,
                dropped,
                counters: counters.of_operator().read(),
                obstacle: counters.obstacle(),
                reader_left: false,
                held_for: BTreeSet::new(),
            }
        });
        Summary {
            generation,
            uptime: self.since.elapsed(),
            stages: stages.collect(),
            streams: pages.produced.clone(),
            closed: BTreeSet::new(),
        }
    }
}

impl Observer {
    /// Returns the totals so far. The records that stages and streams still hold count as
    /// undelivered.
    pub fn summary(&self) -> Summary {
        let view = self.view();
        let mut summary = view.run_totals.summary(view.generation);
        for stage in &mut summary.stages {
            if stage.end.is_some() {
                continue;
            }
            stage.note_in_flight();
            let edges = view
                .edges
                .iter()
                .filter(|((key, _), _)| *key == stage.stage);
            let queued = edges.filter_map(|(_, edge)| Some(edge.read()?.queued.0 as u64));
            stage.counts.undelivered_queued += queued.sum::<u64>();
        }
        for (name, producer) in &view.producers {
            if let Some(reading) = producer.read() {
                let stream = summary.streams.entry(name.clone()).or_default();
                stream.add(&reading.stats);
                add(
                    &mut stream.dropped,
                    [("undelivered", reading.queued.0 as u64)],
                );
            }
        }
        summary.note_readers_that_left(&view.graph);
        summary.note_closed(&view.graph);
        summary
    }
}

impl Node {
    /// Returns the number of records that did not reach their destination since the node started,
    /// in ended and running parts.
    pub(super) fn dropped_so_far(&self) -> u64 {
        let edges = self.observer.view().edges.clone();
        let reading = edges.values().filter_map(ConsumerControl::read);
        let consumers = reading.map(|reading| reading.stats.dropped);
        let consumed =
            consumers.map(|dropped| dropped.malformed + dropped.too_large + dropped.lost);
        let producers = self
            .producers
            .values()
            .map(|producer| producer.stats().dropped);
        // Records that are too large are counted by their stage.
        let produced = producers.map(|dropped| dropped.total() - dropped.too_large);
        let past = self.run_totals.summary(self.generation).dropped();
        past + consumed.sum::<u64>() + produced.sum::<u64>()
    }
}

fn add(
    totals: &mut BTreeMap<&'static str, u64>,
    counts: impl IntoIterator<Item = (&'static str, u64)>,
) {
    for (reason, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        *totals.entry(reason).or_default() += count;
    }
}
