//! A checked, wired manifest: stages as vertices, their subscriptions as edges. No runtime, no network, no WebAssembly.

mod build;
mod check;
mod classes;
mod component;
mod config_place;
mod cycle;
mod data_file;
mod diff;
mod ends;
mod load;
mod outside;
mod places;
mod render;
mod steps;
mod streams;
mod traps;
mod wiring;

use std::{collections::BTreeMap, fmt, time::Duration};

use mosaik_streams::Criteria;
use petgraph::graph::{DiGraph, NodeIndex};

pub use classes::{CLASSES, Class};
pub use component::{ComponentInfo, Components};
pub(crate) use config_place::hint as config_hint;
pub use data_file::{DataFile, MAX_DATA_FILE_BYTES};
pub use diff::{Change, Diff, StageChange, StreamChange};
pub use load::{Loaded, load};
pub use places::{Part, Places};
pub use steps::Step;

pub use crate::manifest::{
    Backoff, ComponentSource, Condition, DataFormat, Grants, Guarded, Lagging, MAX_BATCH_SIZE,
    NodeConfig, OnError, OnlineWhen, OperatorConfig, OperatorLimits, PortName, PostcardPolicy,
    Require, Requirement, Scope, StageName, StatePolicy, StreamConfig, StreamName,
    connector::{SinkConfig, SourceConfig},
};

/// What a stage is; with its name it is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// From outside to a stream.
    Producer,
    /// From streams to streams.
    Operator,
    /// From a stream to outside.
    Consumer,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Producer => "producer",
            Self::Operator => "operator",
            Self::Consumer => "consumer",
        })
    }
}

/// What a stage is known by: `operator spread`. Names are unique among stages of one role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageKey {
    /// What it is.
    pub role: Role,
    /// Its name.
    pub name: StageName,
}

impl fmt::Display for StageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.name)
    }
}

/// A subscription to a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// The stream.
    pub stream: StreamName,
    /// Which datums: what the stream's criteria and the edge's both want.
    pub criteria: Guarded<Criteria>,
    /// Datums that wait.
    pub buffer_size: usize,
    /// Bytes that wait; whichever bound is reached first.
    pub buffer_bytes: usize,
    /// The most datums that are taken at once.
    pub batch_size: usize,
    /// When this consumer counts as online; without one, from the start.
    pub online_when: Option<Condition>,
}

/// An operator's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name, as the component describes it.
    pub port: PortName,
    /// What feeds it.
    pub edge: Edge,
}

/// An operator's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name, as the component describes it.
    pub port: PortName,
    /// Where it goes.
    pub stream: StreamName,
}

/// An operator.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorStage {
    /// Where its code comes from.
    pub component: Guarded<ComponentSource>,
    /// What the code says of itself.
    pub info: ComponentInfo,
    /// What it reads, in the component's order of ports.
    pub inputs: Vec<Input>,
    /// What it writes, in the component's order of ports. A port that is missing here goes nowhere.
    pub outputs: Vec<Output>,
    /// What it is opened with, together with `files`.
    pub config: Guarded<OperatorConfig>,
    /// What of `config` stands in files: then `config` is an object that has none of these.
    pub files: Vec<DataFile>,
    /// What it may use.
    pub limits: OperatorLimits,
    /// What it may reach beyond its streams.
    pub grants: Grants,
    /// What becomes of datums that it fails on.
    pub on_error: OnError,
    /// What becomes of its state over a reload.
    pub state: StatePolicy,
    /// How often it is called without a datum.
    pub tick: Option<Duration>,
    /// How often what it knows is kept for the instance that follows a failure.
    pub checkpoint: Option<Duration>,
    /// How many instances run side by side.
    pub instances: usize,
    /// The fields, written with dots, whose values say which instance gets a datum; without any, whichever is free.
    pub key: Option<Vec<String>>,
    /// What streams of encoding `postcard` are to it; `Native` where there are none.
    pub postcard: PostcardPolicy,
}

/// What a stage does.
#[derive(Debug, Clone, PartialEq)]
pub enum StageKind {
    /// A producer.
    Source {
        /// Where its datums come from; paths are absolute.
        config: Guarded<SourceConfig>,
        /// The stream it writes.
        to: StreamName,
    },
    /// An operator.
    Operator(Box<OperatorStage>),
    /// A consumer.
    Sink {
        /// What it reads.
        from: Edge,
        /// Where its datums go; paths are absolute.
        config: Guarded<SinkConfig>,
    },
}

/// A vertex of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// What it is known by.
    pub key: StageKey,
    /// What it does.
    pub kind: StageKind,
}

impl Stage {
    /// How many instances of an operator it runs.
    pub(crate) fn instances(&self) -> usize {
        match &self.kind {
            StageKind::Operator(operator) => operator.instances,
            StageKind::Source { .. } | StageKind::Sink { .. } => 0,
        }
    }

    /// How many threads it runs on, beside those that all stages share.
    pub(crate) fn threads(&self) -> usize {
        match &self.kind {
            // One hands out to the others.
            StageKind::Operator(operator) if operator.instances > 1 => operator.instances + 1,
            StageKind::Operator(_) | StageKind::Sink { .. } => 1,
            StageKind::Source { .. } => 0,
        }
    }

    /// The subscriptions it holds.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        let (one, many) = match &self.kind {
            StageKind::Source { .. } => (None, [].as_slice()),
            StageKind::Sink { from, .. } => (Some(from), [].as_slice()),
            StageKind::Operator(operator) => (None, operator.inputs.as_slice()),
        };
        one.into_iter().chain(many.iter().map(|input| &input.edge))
    }

    /// The subscription at an input port, by the port's number as the component has it; 0 of a consumer.
    pub fn edge_at(&self, port: u32) -> Option<&Edge> {
        match &self.kind {
            StageKind::Source { .. } => None,
            StageKind::Sink { from, .. } => (port == 0).then_some(from),
            StageKind::Operator(operator) => {
                let name = operator.info.inputs.get(port as usize)?;
                let mut inputs = operator.inputs.iter();
                let wired = inputs.find(|input| input.port.as_str() == name.as_str());
                wired.map(|input| &input.edge)
            }
        }
    }

    /// A message of it without what was put into its settings from the environment or files.
    pub(crate) fn mask(&self, message: String) -> String {
        match &self.kind {
            StageKind::Source { config, .. } => config.mask(message),
            StageKind::Sink { config, .. } => config.mask(message),
            StageKind::Operator(operator) => operator.config.mask(message),
        }
    }

    /// The hash of its code, if it is an operator.
    pub fn component_hash(&self) -> Option<&str> {
        match &self.kind {
            StageKind::Operator(operator) => Some(&operator.info.hash),
            _ => None,
        }
    }

    /// The streams it writes, where an operator's failures go included.
    pub fn writes(&self) -> impl Iterator<Item = &StreamName> {
        let failures = match &self.kind {
            StageKind::Operator(operator) => match &operator.on_error {
                OnError::To(stream) => Some(stream),
                _ => None,
            },
            StageKind::Source { .. } | StageKind::Sink { .. } => None,
        };
        self.results().chain(failures)
    }

    /// The streams that its results go to: all that it writes, but for where an operator's failures go.
    pub fn results(&self) -> impl Iterator<Item = &StreamName> {
        let (one, many) = match &self.kind {
            StageKind::Source { to, .. } => (Some(to), [].as_slice()),
            StageKind::Sink { .. } => (None, [].as_slice()),
            StageKind::Operator(operator) => (None, operator.outputs.as_slice()),
        };
        many.iter().map(|output| &output.stream).chain(one)
    }
}

/// A checked, wired manifest.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The network, if the manifest names one; it does if it shares a stream.
    pub network: Option<Guarded<String>>,
    /// The process that runs it.
    pub node: NodeConfig,
    /// All streams.
    pub streams: BTreeMap<StreamName, StreamConfig>,
    vertices: DiGraph<Stage, StreamName>,
    index: BTreeMap<StageKey, NodeIndex>,
}

impl Graph {
    fn new(
        network: Option<Guarded<String>>,
        node: NodeConfig,
        streams: BTreeMap<StreamName, StreamConfig>,
    ) -> Self {
        Self {
            network,
            node,
            streams,
            vertices: DiGraph::new(),
            index: BTreeMap::new(),
        }
    }

    /// All stages: producers, operators, consumers, each kind by name.
    pub fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.index.values().map(|index| &self.vertices[*index])
    }

    /// A stage by what it is known by.
    pub fn stage(&self, key: &StageKey) -> Option<&Stage> {
        self.index.get(key).map(|index| &self.vertices[*index])
    }

    /// All stages, writers before readers.
    pub fn in_order(&self) -> impl Iterator<Item = &Stage> {
        // A checked graph has no cycle; should one slip through, any order is better than none.
        let order = petgraph::algo::toposort(&self.vertices, None);
        let order = order.unwrap_or_else(|_| self.vertices.node_indices().collect());
        order.into_iter().map(|index| &self.vertices[index])
    }

    /// The hashes of the operators' code.
    pub fn component_hashes(&self) -> Vec<&str> {
        self.stages().filter_map(Stage::component_hash).collect()
    }

    /// The vertices and, from each writer to each reader of a stream, the edges.
    pub fn petgraph(&self) -> &DiGraph<Stage, StreamName> {
        &self.vertices
    }

    /// The stages here that write a stream.
    pub fn writers<'a>(&'a self, stream: &'a StreamName) -> impl Iterator<Item = &'a Stage> {
        self.stages()
            .filter(move |stage| stage.writes().any(|written| written == stream))
    }

    /// The stages here that read a stream.
    pub fn readers<'a>(&'a self, stream: &'a StreamName) -> impl Iterator<Item = &'a Stage> {
        self.stages()
            .filter(move |stage| stage.edges().any(|edge| edge.stream == *stream))
    }

    /// Whether anything is shared, so that the node needs a socket.
    pub fn is_networked(&self) -> bool {
        self.streams
            .values()
            .any(|stream| stream.scope == Scope::Network)
    }

    fn add(&mut self, stage: Stage) {
        let key = stage.key.clone();
        let index = self.vertices.add_node(stage);
        self.index.insert(key, index);
    }
}

#[cfg(test)]
mod tests;
