//! The node's ends of streams: a producer for each stream that it writes, and the subscriptions of
//! its stages.

mod closing;
mod edges;
mod inlets;
mod logs;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mosaik_streams::{
    FramesProducer, Network,
    producer::{FinishReport, ProducerControl},
    status::When,
};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub(super) use self::{
    closing::over,
    edges::{bootstrap, tags},
    inlets::Inlets,
    logs::{Logs, log_id},
};
use super::{
    DRAIN_DEADLINE,
    error::{StartError, StreamError},
    inspect::RunTotals,
};
use crate::checkpoint::Stages;
use crate::graph::{Change, Diff, Graph, Scope, StageKey, StreamConfig, StreamName};

/// A graph and its running stages, which decide whether a stream is still written and read.
pub(super) struct Active<'a> {
    graph: &'a Graph,
    running: BTreeSet<&'a StageKey>,
}

impl<'a> Active<'a> {
    pub(super) fn new(graph: &'a Graph, running: impl Iterator<Item = &'a StageKey>) -> Self {
        Self {
            graph,
            running: running.collect(),
        }
    }

    /// Returns true if a stream may still have readers: a stage here, or another node.
    pub(super) fn is_read(&self, stream: &StreamName) -> bool {
        is_shared(self.graph, stream)
            || self
                .graph
                .readers(stream)
                .any(|reader| self.running.contains(&reader.key))
    }

    /// Returns true if a stage here still writes a stream.
    pub(super) fn is_written(&self, stream: &StreamName) -> bool {
        self.graph
            .writers(stream)
            .any(|writer| self.running.contains(&writer.key))
    }
}

fn is_shared(graph: &Graph, stream: &StreamName) -> bool {
    graph.streams[stream].settings.scope == Scope::Network
}

/// A stream that has ended while its readers still read.
#[derive(Debug)]
struct Ending {
    /// Cuts the readers off.
    cut: CancellationToken,
    /// The stream's online state: it is offline when it has no readers.
    when: When,
}

/// This node's producers: opened for their writers, ended after their writers, and cut off if they
/// have no readers.
#[derive(Debug)]
pub(super) struct Outlets {
    network: Network,
    totals: RunTotals,
    /// This node's own handle to each stream that is written here.
    producers: BTreeMap<StreamName, FramesProducer>,
    /// The tasks that wait until the readers of ended streams have read all of them.
    closing: JoinSet<StreamName>,
    endings: BTreeMap<StreamName, Ending>,
    /// The logs of the durable streams that are written here.
    logs: Logs,
}

impl Outlets {
    pub(super) fn new(network: Network, totals: RunTotals, logs: Logs) -> Self {
        Self {
            logs,
            network,
            totals,
            producers: BTreeMap::new(),
            closing: JoinSet::new(),
            endings: BTreeMap::new(),
        }
    }

    /// Returns the logs of the durable streams that are written here.
    pub(super) const fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Opens the logs of a new graph's durable streams. Returns their positions.
    ///
    /// # Errors
    /// A log cannot be opened.
    pub(super) async fn prepare_logs(&mut self, graph: &Graph) -> Result<Stages, StartError> {
        self.logs.prepare(graph, &BTreeMap::new()).await
    }

    /// Waits until the records of durable streams are on the disk, and closes their logs.
    pub(super) async fn close_logs(&mut self) {
        self.logs.close().await;
    }

    /// Closes the logs of streams that are no durable streams of the graph.
    pub(super) fn keep_logs_of(&mut self, graph: &Graph) {
        self.logs.keep_those_of(graph);
    }

    /// Returns the names of the streams that are open for writing.
    pub(super) fn names(&self) -> impl Iterator<Item = &StreamName> {
        self.producers.keys()
    }

    /// Returns the producer of a stream that was opened for its writers.
    pub(super) fn producer(&self, stream: &StreamName) -> FramesProducer {
        self.producers[stream].clone()
    }

    /// Returns the online state of a stream that is open for writing.
    pub(super) fn when(&self, stream: &StreamName) -> Option<When> {
        self.producers
            .get(stream)
            .map(FramesProducer::when)
            .cloned()
    }

    /// Returns the handles through which observers read the producers.
    pub(super) fn controls(&self) -> BTreeMap<StreamName, ProducerControl> {
        let producers = self.producers.iter();
        producers
            .map(|(name, producer)| (name.clone(), producer.control()))
            .collect()
    }

    /// Returns the number of records that the open producers have dropped.
    pub(super) fn dropped(&self) -> u64 {
        let producers = self.producers.values();
        let dropped = producers.map(|producer| producer.stats().dropped);
        // Records that are too large are counted by their stage.
        dropped
            .map(|dropped| dropped.total() - dropped.too_large)
            .sum()
    }

    /// Returns the shared streams that are written here and currently have too few readers.
    pub(super) fn without_readers(&self, graph: &Graph) -> BTreeSet<StreamName> {
        let unread = self
            .producers
            .iter()
            .filter(|(name, producer)| is_shared(graph, name) && !producer.is_online());
        unread.map(|(name, _)| name.clone()).collect()
    }

    /// Returns true if a private stream has been written and read to its end.
    pub(super) fn is_over(&self, graph: &Graph, stream: &StreamName) -> bool {
        !is_shared(graph, stream)
            && !self.producers.contains_key(stream)
            && !self.endings.contains_key(stream)
    }

    /// Returns true if no ended stream is still being read.
    pub(super) fn all_are_read(&self) -> bool {
        self.closing.is_empty()
    }

    /// Waits until an ended stream was read to its end or cut off. Returns false if there is none.
    /// Cancel safe.
    pub(super) async fn next_read(&mut self) -> bool {
        let read = self.closing.join_next().await;
        read.is_some_and(|read| self.forget(read))
    }

    /// Forgets the ended streams that were read to their end or cut off.
    pub(super) fn forget_read(&mut self) {
        while let Some(read) = self.closing.try_join_next() {
            self.forget(read);
        }
    }

    fn forget(&mut self, read: Result<StreamName, JoinError>) -> bool {
        if let Ok(stream) = read {
            self.endings.remove(&stream);
        }
        true
    }

    /// Returns an error if a stream has ended and is still being read: it cannot be written again
    /// until then.
    pub(super) fn refuse_while_ending(&self, stream: &StreamName) -> Result<(), StartError> {
        if !self.endings.contains_key(stream) {
            return Ok(());
        }
        Err(StartError::Stream {
            stream: stream.clone(),
            reason: StreamError::Ending,
        })
    }

    /// Opens this node's producer for a stream. Returns false if it is already open.
    ///
    /// # Errors
    /// The stream has just ended and is still being read.
    pub(super) fn open(
        &mut self,
        name: &StreamName,
        stream: &StreamConfig,
    ) -> Result<bool, StartError> {
        if self.producers.contains_key(name) {
            return Ok(false);
        }
        self.refuse_while_ending(name)?;
        let log = self.logs.get(name);
        let producer = edges::open_producer(&self.network, name, stream, log);
        let producer = producer.map_err(|reason| StartError::Stream {
            stream: name.clone(),
            reason,
        })?;
        self.logs.join(name);
        self.producers.insert(name.clone(), producer);
        Ok(true)
    }

    /// Opens the streams that the stages to be launched write. It also opens the private streams
    /// that these stages read and that have no writers any more, so that the readers see their end.
    pub(super) fn open_for<'k>(
        &mut self,
        launched: impl Iterator<Item = &'k StageKey>,
        active: &Active<'_>,
    ) -> Result<(), StartError> {
        let graph = active.graph;
        let mut wanted = BTreeSet::new();
        for stage in launched.filter_map(|key| graph.stage(key)) {
            let over = |stream: &&StreamName| {
                !is_shared(graph, stream)
                    && !self.endings.contains_key(*stream)
                    && !active.is_written(stream)
            };
            let read = stage.edges().map(|edge| &edge.stream).filter(over);
            wanted.extend(stage.writes().chain(read));
        }
        wanted
            .into_iter()
            .try_for_each(|name| self.open(name, &graph.streams[name]).map(drop))
    }

    /// Closes the handles to streams to which nothing was written.
    pub(super) fn withdraw(&mut self, streams: &[StreamName]) {
        self.producers.retain(|stream, _| !streams.contains(stream));
    }

    /// Ends the streams whose writers have all ended, so that their readers see the end.
    pub(super) fn end_unwritten(&mut self, active: &Active<'_>) {
        self.end(active, |_| true);
    }

    /// Ends the private streams whose writers have ended. Shared streams are closed later and may
    /// be opened again.
    pub(super) fn end_private(&mut self, active: &Active<'_>) {
        self.end(active, |stream| !is_shared(active.graph, stream));
    }

    fn end(&mut self, active: &Active<'_>, ends: impl Fn(&StreamName) -> bool) {
        let ended: Vec<_> = self
            .names()
            .filter(|stream| ends(stream) && !active.is_written(stream))
            .cloned()
            .collect();
        for stream in ended {
            let Some(producer) = self.producers.remove(&stream) else {
                continue;
            };
            let failed = active
                .graph
                .writers(&stream)
                .any(|stage| self.totals.has_failed(&stage.key));
            let shared = is_shared(active.graph, &stream);
            let ending = Ending {
                cut: CancellationToken::new(),
                when: producer.when().clone(),
            };
            let (cut, totals) = (ending.cut.clone(), self.totals.clone());
            self.endings.insert(stream.clone(), ending);
            self.closing.spawn(async move {
                // When a writer of a shared stream has failed, other nodes must not see the end of
                // the stream: the writer may be restarted.
                let report = if failed && shared {
                    producer.close_within(DRAIN_DEADLINE).await
                } else {
                    producer.finish_unless(cut.cancelled()).await
                };
                totals.note_producer(&stream, &report.stats);
                stream
            });
        }
        self.cut_unread(active);
    }

    /// Cuts off the ended streams without readers: their remaining records can never be read.
    fn cut_unread(&self, active: &Active<'_>) {
        for (stream, ending) in &self.endings {
            if !active.is_read(stream) {
                ending.cut.cancel();
            }
        }
    }

    /// Applies the differences of streams to their producers. `new` is the new graph.
    pub(super) fn retune(&self, diff: &Diff, new: &Graph) {
        for name in diff.streams_to(Change::Retune) {
            if let Some(producer) = self.producers.get(name) {
                let settings = &new.streams[name].settings;
                edges::retune_producer(&producer.control(), diff.changed_of(name), settings);
            }
        }
    }

    /// Starts to close this node's producer of a stream, also if other handles to it exist. Returns
    /// `None` if it is not open.
    pub(super) fn retire(
        &mut self,
        stream: &StreamName,
        limit: Duration,
    ) -> Option<JoinHandle<FinishReport>> {
        let producer = self.producers.remove(stream)?;
        Some(tokio::spawn(producer.retire_within(limit)))
    }

    /// Adds the counts of a retired producer to the totals.
    pub(super) fn note_retired(&self, stream: &StreamName, report: Option<FinishReport>) {
        if let Some(report) = report {
            self.totals.note_producer(stream, &report.stats);
        }
    }
}
