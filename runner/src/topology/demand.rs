//! Selects the shared streams that each source waits for before it reads.

use std::collections::BTreeSet;

use mosaik_streams::{FramesProducer, status::When};
use tokio::sync::watch;

use super::node::Node;
use crate::{
    graph::{Scope, StageKey, StreamName},
    stage::Demand,
};

impl Node {
    /// Updates the demand of a source that is about to start.
    pub(super) fn show_demand_to(&mut self, source: &StageKey) {
        let streams = self.streams_awaited_by(source);
        let sender = self.demands.entry(source.clone()).or_default();
        sender.send_replace(streams);
    }

    /// Returns the demand that a source waits for.
    pub(super) fn demand_on(&self, source: &StageKey) -> Demand {
        let sender = self.demands.get(source);
        Demand::of(sender.map_or_else(|| watch::channel(Vec::new()).1, watch::Sender::subscribe))
    }

    /// Updates the demand of all sources.
    pub(super) fn show_demand(&mut self) {
        let graph = std::sync::Arc::clone(&self.graph);
        self.demands
            .retain(|source, _| graph.stage(source).is_some());
        for (source, sender) in &self.demands {
            sender.send_replace(self.streams_awaited_by(source));
        }
    }

    /// Returns an empty list if the source leads to anything that is not a shared stream written
    /// here.
    fn streams_awaited_by(&self, source: &StageKey) -> Vec<When> {
        let Some(stage) = self.graph.stage(source) else {
            return Vec::new();
        };
        let ends = self.graph.shared_ends(stage);
        let producers = ends.iter().map(|stream| self.producers.get(stream));
        let when = producers.map(|producer| producer.map(FramesProducer::when).cloned());
        when.collect::<Option<_>>().unwrap_or_default()
    }

    /// Returns the shared streams that are written here and currently have too few readers.
    pub(super) fn unread_streams(&self) -> BTreeSet<StreamName> {
        let shared = |name: &StreamName| self.graph.streams[name].settings.scope == Scope::Network;
        let unread = self
            .producers
            .iter()
            .filter(|(name, producer)| shared(name) && !producer.is_online());
        unread.map(|(name, _)| name.clone()).collect()
    }
}
