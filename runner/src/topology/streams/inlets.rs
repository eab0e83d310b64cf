//! [`Inlets`]: the subscriptions of a node's stages.

use std::collections::BTreeMap;

use mosaik_streams::{Network, consumer::ConsumerControl, durable::SourcePosition};

use super::edges;
use crate::{
    graph::{Diff, Edge, EdgeChange, Graph, Scope, StageKey},
    stage::Input,
    topology::error::StartError,
};

/// The subscriptions of a node's stages, by stage and port.
#[derive(Debug)]
pub(in crate::topology) struct Inlets {
    network: Network,
    controls: BTreeMap<(StageKey, u32), ConsumerControl>,
}

impl Inlets {
    pub(in crate::topology) const fn new(network: Network) -> Self {
        Self {
            network,
            controls: BTreeMap::new(),
        }
    }

    /// Opens a subscription for a stage's input port. `positions` are those at which it goes on in the logs of durable
    /// streams.
    pub(in crate::topology) fn subscribe(
        &mut self,
        graph: &Graph,
        key: &StageKey,
        port: u32,
        edge: &Edge,
        positions: Vec<SourcePosition>,
    ) -> Result<Input, StartError> {
        let stream = &graph.streams[&edge.stream];
        let consumer = edges::open_consumer(&self.network, stream, edge, positions);
        let consumer = consumer.map_err(|reason| StartError::Stream {
            stream: edge.stream.clone(),
            reason,
        })?;
        self.controls
            .insert((key.clone(), port), consumer.control());
        Ok(Input {
            port,
            shared: stream.settings.scope == Scope::Network,
            consumer,
        })
    }

    /// Returns the handles through which observers read the subscriptions.
    pub(in crate::topology) const fn controls(
        &self,
    ) -> &BTreeMap<(StageKey, u32), ConsumerControl> {
        &self.controls
    }

    /// Returns the number of records queued on the subscriptions of a stage.
    pub(in crate::topology) fn queued(&self, stage: &StageKey) -> usize {
        let of_stage = self.controls.iter().filter(|((key, _), _)| key == stage);
        let queued = of_stage.filter_map(|(_, consumer)| Some(consumer.read()?.queued.0));
        queued.sum()
    }

    /// Returns the number of records that the open subscriptions have dropped.
    pub(in crate::topology) fn dropped(&self) -> u64 {
        let readings = self.controls.values().filter_map(ConsumerControl::read);
        let dropped = readings.map(|reading| reading.stats.dropped);
        dropped
            .map(|dropped| dropped.malformed + dropped.too_large + dropped.lost)
            .sum()
    }

    /// Forgets the subscriptions whose port is not in the graph.
    pub(in crate::topology) fn keep_those_of(&mut self, graph: &Graph) {
        let is_in_graph = |(key, port): &(StageKey, u32)| {
            let stage = graph.stage(key);
            stage.is_some_and(|stage| stage.edge_at(*port).is_some())
        };
        self.controls.retain(|place, _| is_in_graph(place));
    }

    /// Applies the differences to the subscriptions that continue. `new` is the new graph.
    pub(in crate::topology) fn retune(&self, diff: &Diff, new: &Graph) {
        for EdgeChange {
            stage,
            port,
            stream,
            changed,
        } in &diff.edges
        {
            let of_stream = diff.changed_of(stream);
            if changed.is_empty() && of_stream.is_empty() {
                continue;
            }
            let edge = new.stage(stage).and_then(|stage| stage.edge_at(*port));
            let consumer = self.controls.get(&(stage.clone(), *port));
            if let (Some(edge), Some(consumer)) = (edge, consumer) {
                let settings = &new.streams[stream].settings;
                edges::retune_consumer(consumer, (changed, edge), (of_stream, settings));
            }
        }
    }
}
