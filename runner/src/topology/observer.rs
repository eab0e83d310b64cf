//! [`Observer`]: looks on at a node from elsewhere, also while it goes over to another generation.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mosaik_streams::{
    Criteria, consumer::ConsumerControl, criteria::NotSelectable, discovery::Discovery,
    producer::ProducerControl, schema::Transcoder, tap::Tap,
};
use tokio::sync::watch;

use super::{build::transcoder, node::Node, report::Reload, summary::Ledger};
use crate::graph::{Edge, Graph, StageKey, StreamConfig, StreamName};

/// Reloads that are remembered, the oldest forgotten first.
pub const RELOADS_MAX: usize = 32;

/// Looks on at a node. Clones look at the same one.
#[derive(Debug, Clone)]
pub struct Observer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    view: Mutex<View>,
    /// Counts what a node shows, so that whoever waits for something else looks again.
    shown: watch::Sender<u64>,
}

/// What there is to see.
#[derive(Debug)]
pub(super) struct View {
    pub(super) graph: Arc<Graph>,
    pub(super) generation: u64,
    pub(super) discovery: Discovery,
    pub(super) ledger: Ledger,
    /// The subscriptions of stages, by port.
    pub(super) edges: BTreeMap<(StageKey, u32), ConsumerControl>,
    /// This node's ends of the streams that are written here.
    pub(super) producers: BTreeMap<StreamName, ProducerControl>,
    /// The stages that run.
    pub(super) running: BTreeSet<StageKey>,
    pub(super) reloads: VecDeque<Reload>,
}

/// A stream that is looked on at.
#[derive(Debug)]
pub struct Tapped {
    /// Its datums.
    pub tap: Tap,
    /// What makes JSON of them, if they are postcard.
    pub transcoder: Option<Transcoder>,
}

/// Why a stream cannot be looked on at.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The manifest has no such stream.
    #[error("the manifest that runs has no stream `{0}`")]
    NoStream(String),
    /// The criteria do not go with the stream's encoding.
    #[error(transparent)]
    NotSelectable(#[from] NotSelectable),
}

impl Observer {
    pub(super) fn new(view: View) -> Self {
        Self(Arc::new(Shared {
            view: Mutex::new(view),
            shown: watch::Sender::new(0),
        }))
    }

    /// Looks on at the node's next life, and remembers what it knows of this one.
    pub(super) fn of_next_life(self, next: View) -> Self {
        let mut view = self.view();
        let reloads = std::mem::take(&mut view.reloads);
        *view = View { reloads, ..next };
        drop(view);
        self
    }

    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.0.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The graph that runs.
    pub fn graph(&self) -> Arc<Graph> {
        Arc::clone(&self.view().graph)
    }

    /// Remembers how a reload went.
    pub fn note(&self, reload: Reload) {
        let mut view = self.view();
        if view.reloads.len() >= RELOADS_MAX {
            view.reloads.pop_front();
        }
        view.reloads.push_back(reload);
    }

    /// Tells when the node shows something else than before: a generation, an end of a stage.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.shown.subscribe()
    }

    /// Looks on at a stream: at what is written here, else at what the first of its readers takes. `None` while neither
    /// is to be seen.
    ///
    /// # Errors
    /// There is no such stream, or it cannot be selected from so.
    pub fn tap(&self, stream: &str, criteria: &Criteria) -> Result<Option<Tapped>, TapError> {
        let view = self.view();
        let (name, _) = view.stream(stream)?;
        // One whose schema cannot be was refused with its manifest.
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
    /// A stream of the graph by its name.
    pub(super) fn stream(&self, name: &str) -> Result<(&StreamName, &StreamConfig), TapError> {
        let found = self.graph.streams.get_key_value(name);
        found.ok_or_else(|| TapError::NoStream(name.to_owned()))
    }

    /// The subscriptions to a stream, and whose they are.
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

impl Node {
    /// Looks on at this node from elsewhere.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// Shows what there is now.
    pub(super) fn show(&mut self) {
        self.show_demand();
        let mut view = self.observer.view();
        view.graph = Arc::clone(&self.graph);
        view.generation = self.generation;
        view.producers = self
            .producers
            .iter()
            .map(|(name, producer)| (name.clone(), producer.control()))
            .collect();
        view.running = self.stages.keys().cloned().collect();
        let graph = Arc::clone(&self.graph);
        view.edges.retain(|(key, port), _| {
            graph
                .stage(key)
                .is_some_and(|stage| stage.edge_at(*port).is_some())
        });
        drop(view);
        self.observer.0.shown.send_modify(|count| *count += 1);
    }
}
