//! [`Observer`]: reads the state of a node from other tasks, also during a change of generation.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mosaik_streams::{
    Criteria, consumer::ConsumerControl, criteria::NotSelectable, discovery::Discovery,
    producer::ProducerControl, schema::Transcoder, tap::Tap,
};
use tokio::sync::watch;

use super::{report::Reload, totals::RunTotals};
use crate::{
    checkpoint::SharedProgress,
    graph::{Edge, Graph, StageKey, StreamConfig, StreamName},
    topology::build::transcoder,
};

/// Number of past reloads that a node remembers: 32. The oldest is forgotten first.
pub const RELOADS_MAX: usize = 32;

/// A read-only view of a node. Clones observe the same node.
#[derive(Debug, Clone)]
pub struct Observer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    view: Mutex<View>,
    /// Version of the published state. It increases with each change, so that waiting observers
    /// read again.
    shown: watch::Sender<u64>,
}

/// The published state of a node.
#[derive(Debug)]
pub(in crate::topology) struct View {
    pub(super) graph: Arc<Graph>,
    pub(super) generation: u64,
    pub(super) discovery: Discovery,
    pub(super) run_totals: RunTotals,
    /// The subscriptions of stages, by port.
    pub(super) edges: BTreeMap<(StageKey, u32), ConsumerControl>,
    /// This node's producers of the streams that are written here.
    pub(super) producers: BTreeMap<StreamName, ProducerControl>,
    /// The running stages.
    pub(super) running: BTreeSet<StageKey>,
    /// `None` if the node takes no checkpoints.
    pub(super) checkpoints: Option<SharedProgress>,
    pub(super) reloads: VecDeque<Reload>,
}

/// A tap on a stream.
#[derive(Debug)]
pub struct Tapped {
    /// The stream's records.
    pub tap: Tap,
    /// Converts the records to JSON; `None` if they are not postcard.
    pub transcoder: Option<Transcoder>,
}

/// The reason why a stream cannot be tapped.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The running manifest has no such stream.
    #[error("the manifest that runs has no stream `{0}`")]
    NoStream(String),
    /// The criteria do not fit the stream's encoding.
    #[error(transparent)]
    NotSelectable(#[from] NotSelectable),
}

impl Observer {
    pub(in crate::topology) fn new(view: View) -> Self {
        Self(Arc::new(Shared {
            view: Mutex::new(view),
            shown: watch::Sender::new(0),
        }))
    }

    /// Publishes the state of the node. The reloads recorded so far are kept.
    pub(in crate::topology) fn publish(&self, next: View) {
        let mut view = self.view();
        let reloads = std::mem::take(&mut view.reloads);
        *view = View { reloads, ..next };
        drop(view);
        self.0.shown.send_modify(|count| *count += 1);
    }

    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.0.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the running graph.
    pub fn graph(&self) -> Arc<Graph> {
        Arc::clone(&self.view().graph)
    }

    /// Records a reload and its outcome.
    pub fn note(&self, reload: Reload) {
        let mut view = self.view();
        if view.reloads.len() >= RELOADS_MAX {
            view.reloads.pop_front();
        }
        view.reloads.push_back(reload);
    }

    /// Returns a receiver that is notified when the published state changes, such as with a new
    /// generation or the end of a stage.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.shown.subscribe()
    }

    /// Taps a stream: at this node's producer if there is one, or else at the first subscription
    /// that can be tapped. Returns `None` while there is neither.
    ///
    /// # Errors
    /// The stream does not exist, or the criteria do not fit its encoding.
    pub fn tap(&self, stream: &str, criteria: &Criteria) -> Result<Option<Tapped>, TapError> {
        let view = self.view();
        let (name, _) = view.stream(stream)?;
        // The manifest check has already refused invalid schemas.
        let transcoder = transcoder(&view.graph, name).unwrap_or_default();
        if let Some(producer) = view.producers.get(name)
            && let Some(tap) = producer.tap(criteria)?
        {
            return Ok(Some(Tapped { tap, transcoder }));
        }
        for (_, _, consumer) in view.edges_of(name) {
            if let Some(tap) = consumer.tap(criteria)? {
                return Ok(Some(Tapped { tap, transcoder }));
            }
        }
        Ok(None)
    }
}

impl View {
    /// Returns the state of a node of which no stage runs yet.
    pub(in crate::topology) fn new(
        graph: Arc<Graph>,
        generation: u64,
        discovery: Discovery,
        run_totals: RunTotals,
    ) -> Self {
        Self {
            graph,
            generation,
            discovery,
            run_totals,
            edges: BTreeMap::new(),
            producers: BTreeMap::new(),
            running: BTreeSet::new(),
            checkpoints: None,
            reloads: VecDeque::new(),
        }
    }

    /// Adds the running stages, their subscriptions and the producers of the streams that they
    /// write.
    pub(in crate::topology) fn with(
        self,
        running: BTreeSet<StageKey>,
        edges: BTreeMap<(StageKey, u32), ConsumerControl>,
        producers: BTreeMap<StreamName, ProducerControl>,
    ) -> Self {
        Self {
            edges,
            producers,
            running,
            ..self
        }
    }

    /// Adds the checkpoints of the node.
    pub(in crate::topology) fn with_checkpoints(self, checkpoints: Option<SharedProgress>) -> Self {
        Self {
            checkpoints,
            ..self
        }
    }

    /// Returns a stream of the graph by its name.
    pub(super) fn stream(&self, name: &str) -> Result<(&StreamName, &StreamConfig), TapError> {
        let found = self.graph.streams.get_key_value(name);
        found.ok_or_else(|| TapError::NoStream(name.to_owned()))
    }

    /// Returns the subscriptions to a stream, with the stage and port that own each.
    pub(super) fn edges_of<'v>(
        &'v self,
        stream: &'v StreamName,
    ) -> impl Iterator<Item = (&'v StageKey, &'v Edge, &'v ConsumerControl)> {
        self.edges
            .iter()
            .filter_map(move |((key, port), consumer)| {
                let edge = self.graph.stage(key)?.edge_at(*port)?;
                (edge.stream == *stream).then_some((key, edge, consumer))
            })
    }
}
