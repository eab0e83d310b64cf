//! [`Demands`]: the shared streams that each source waits for before it reads.

use std::collections::BTreeMap;

use mosaik_streams::status::When;
use tokio::sync::watch;

use crate::{
    graph::{Graph, StageKey},
    stage::Demand,
    topology::streams::Outlets,
};

/// The shared streams that each source waits for.
#[derive(Debug, Default)]
pub(super) struct Demands(BTreeMap<StageKey, watch::Sender<Vec<When>>>);

impl Demands {
    /// Updates the demand of a source that is about to start, and returns it.
    pub(super) fn start(&mut self, source: &StageKey, graph: &Graph, outlets: &Outlets) -> Demand {
        let sender = self.0.entry(source.clone()).or_default();
        sender.send_replace(awaited_by(source, graph, outlets));
        Demand::of(sender.subscribe())
    }

    /// Updates the demand of all sources.
    pub(super) fn update(&mut self, graph: &Graph, outlets: &Outlets) {
        self.0.retain(|source, _| graph.stage(source).is_some());
        for (source, sender) in &self.0 {
            sender.send_replace(awaited_by(source, graph, outlets));
        }
    }
}

/// Returns an empty list if the source leads to anything that is not a shared stream written here.
fn awaited_by(source: &StageKey, graph: &Graph, outlets: &Outlets) -> Vec<When> {
    let Some(stage) = graph.stage(source) else {
        return Vec::new();
    };
    let ends = graph.shared_ends(stage);
    let when = ends.iter().map(|stream| outlets.when(stream));
    when.collect::<Option<_>>().unwrap_or_default()
}
