//! [`RunTotals`]: collects the totals of a node while it runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use mosaik_streams::{consumer::ConsumerStats, streams::producer::ProducerStats};

use super::summary::{StageSummary, StreamSummary, Summary, add};
use crate::{
    graph::{Role, StageKey, StreamName},
    stage::{Counters, End},
};

/// Collects the totals of a node. Clones share the same totals.
#[derive(Debug, Clone)]
pub(in crate::topology) struct RunTotals {
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
    pub(in crate::topology) fn counters(&self, stage: &StageKey) -> Arc<Counters> {
        Arc::clone(self.pages().counters.entry(stage.clone()).or_default())
    }

    pub(in crate::topology) fn note_start(&self, stage: &StageKey) {
        self.pages().ends.remove(stage);
    }

    pub(in crate::topology) fn note_end(&self, stage: &StageKey, end: End) {
        self.pages().ends.insert(stage.clone(), end);
    }

    pub(in crate::topology) fn has_ended(&self, stage: &StageKey) -> bool {
        self.pages().ends.contains_key(stage)
    }

    pub(in crate::topology) fn has_failed(&self, stage: &StageKey) -> bool {
        matches!(self.pages().ends.get(stage), Some(End::Failed(_)))
    }

    /// Adds the counts of a subscription when it is closed. The records that it still held are
    /// counted by its stage.
    pub(in crate::topology) fn note_consumer(&self, stage: &StageKey, stats: &ConsumerStats) {
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
    pub(in crate::topology) fn note_producer(&self, stream: &StreamName, stats: &ProducerStats) {
        let mut pages = self.pages();
        pages.produced.entry(stream.clone()).or_default().add(stats);
    }

    pub(in crate::topology) fn summary(&self, generation: u64) -> Summary {
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
