//! A checked and wired manifest, with stages as vertices and their subscriptions as edges. Independent of the runtime,
//! the network and WebAssembly.

mod build;
mod check;
mod classes;
mod component;
mod components;
mod config_place;
mod cycle;
mod data_file;
mod delivery;
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

use std::{collections::BTreeMap, fmt};

use mosaik_streams::Criteria;
use petgraph::graph::{DiGraph, NodeIndex};

pub use classes::{Class, classes};
pub use component::ComponentInfo;
pub use components::{Components, OpenRefusal, Unusable};
pub(crate) use config_place::hint as config_hint;
pub use data_file::{DataFile, MAX_DATA_FILE_BYTES};
pub use delivery::{Deliveries, PathDelivery, WeakestPart};
pub use diff::{Change, Diff, EdgeChange, StageChange, StreamChange};
pub use load::{Loaded, load};
pub use places::{Part, Places};
pub use steps::Step;

pub use crate::code::Code;
pub use crate::connector::{DataFormat, Delivery, DeliveryClass, SinkConfig, SourceConfig};
pub use crate::declare::{Difference, Guarded, PortName, Reload, StageName, StreamName};
pub use crate::manifest::{
    Backoff, CheckpointConfig, ComponentSource, Condition, ConsumerSettings, DEFAULT_BUFFER_BYTES,
    DEFAULT_BUFFER_SIZE, Durable, EdgeSettings, Grants, Lagging, MAX_BATCH_SIZE, NodeConfig,
    OnError, OnlineWhen, OperatorConfig, OperatorLimits, OperatorSettings, PostcardPolicy, Require,
    Requirement, Retry, Scope, StatePolicy, StreamConfig, StreamSettings,
};

/// The role of a stage. Together with the name it identifies the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads from outside and writes to a stream.
    Producer,
    /// Reads streams and writes streams.
    Operator,
    /// Reads a stream and writes to the outside.
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

/// Identifies a stage: `operator spread`. Names are unique among the stages of one role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageKey {
    /// The role.
    pub role: Role,
    /// The name.
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
    /// The criteria that records must match: those of the stream and those of the edge.
    pub criteria: Guarded<Criteria>,
    /// The settings, where missing ones are those of the stream.
    pub settings: EdgeSettings,
}

impl Edge {
    /// Returns the maximum number of records that wait.
    pub fn buffer_size(&self) -> usize {
        self.settings.buffer_size.unwrap_or(DEFAULT_BUFFER_SIZE)
    }

    /// Returns the maximum number of bytes that wait. The queue is full when either limit is reached.
    pub fn buffer_bytes(&self) -> usize {
        self.settings.buffer_bytes.unwrap_or(DEFAULT_BUFFER_BYTES)
    }
}

/// An input of an operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The name of the port, from the component's description.
    pub port: PortName,
    /// The subscription that feeds the input.
    pub edge: Edge,
}

/// An output of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The name of the port, from the component's description.
    pub port: PortName,
    /// The stream that the output is written to.
    pub stream: StreamName,
}

/// An operator.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorStage {
    /// The source of its code.
    pub component: Guarded<ComponentSource>,
    /// The description of its component.
    pub info: ComponentInfo,
    /// Its inputs, in the component's order of ports.
    pub inputs: Vec<Input>,
    /// Its outputs, in the component's order of ports. Output of ports that are missing here is counted and discarded.
    pub outputs: Vec<Output>,
    /// Its configuration, without the parts in `files`.
    pub config: Guarded<OperatorConfig>,
    /// The parts of the configuration that come from files. If there are any, `config` is an object without their keys.
    pub files: Vec<DataFile>,
    /// The representation of records on `postcard` streams; `Native` if there are no such streams.
    pub postcard: PostcardPolicy,
    /// The settings that need no other part of the manifest.
    pub settings: OperatorSettings,
}

/// The kind of a stage, with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum StageKind {
    /// A producer.
    Source {
        /// The settings of its source, with absolute paths.
        config: Guarded<SourceConfig>,
        /// The stream that it writes.
        to: StreamName,
    },
    /// An operator.
    Operator(Box<OperatorStage>),
    /// A consumer.
    Sink {
        /// The subscription that it reads.
        from: Box<Edge>,
        /// The settings of its sink, with absolute paths.
        config: Guarded<SinkConfig>,
        /// The settings that need no other part of the manifest.
        settings: ConsumerSettings,
    },
}

/// A vertex of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The role and name of the stage.
    pub key: StageKey,
    /// The kind of the stage.
    pub kind: StageKind,
}

impl Stage {
    /// Returns the number of instances of an operator; 0 for other stages.
    pub(crate) fn instances(&self) -> usize {
        match &self.kind {
            StageKind::Operator(operator) => operator.settings.instances,
            StageKind::Source { .. } | StageKind::Sink { .. } => 0,
        }
    }

    /// Returns the number of threads of its own, in addition to those shared by all stages.
    pub(crate) fn threads(&self) -> usize {
        match &self.kind {
            // One additional thread distributes records to the instances.
            StageKind::Operator(operator) if operator.settings.instances > 1 => {
                operator.settings.instances + 1
            }
            StageKind::Operator(_) | StageKind::Sink { .. } => 1,
            StageKind::Source { .. } => 0,
        }
    }

    /// Returns its subscriptions.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        let (one, many) = match &self.kind {
            StageKind::Source { .. } => (None, [].as_slice()),
            StageKind::Sink { from, .. } => (Some(&**from), [].as_slice()),
            StageKind::Operator(operator) => (None, operator.inputs.as_slice()),
        };
        one.into_iter().chain(many.iter().map(|input| &input.edge))
    }

    /// Returns the subscription of an input port, by the component's port number; 0 for a consumer.
    pub fn edge_at(&self, port: u32) -> Option<&Edge> {
        match &self.kind {
            StageKind::Source { .. } => None,
            StageKind::Sink { from, .. } => (port == 0).then_some(&**from),
            StageKind::Operator(operator) => {
                let name = operator.info.inputs.get(port as usize)?;
                let mut inputs = operator.inputs.iter();
                let wired = inputs.find(|input| input.port.as_str() == name.as_str());
                wired.map(|input| &input.edge)
            }
        }
    }

    /// Returns the numbers of its input ports, of which some may have no subscription.
    pub(crate) fn ports(&self) -> std::ops::Range<u32> {
        match &self.kind {
            StageKind::Source { .. } => 0..0,
            StageKind::Sink { .. } => 0..1,
            StageKind::Operator(operator) => 0..operator.info.inputs.len() as u32,
        }
    }

    /// Masks the texts in a message that its settings contain from the environment or from files.
    pub(crate) fn mask(&self, message: String) -> String {
        match &self.kind {
            StageKind::Source { config, .. } => config.mask(message),
            StageKind::Sink { config, .. } => config.mask(message),
            StageKind::Operator(operator) => operator.config.mask(message),
        }
    }

    /// Returns the hash of its code, if it is an operator.
    pub fn component_hash(&self) -> Option<&str> {
        match &self.kind {
            StageKind::Operator(operator) => Some(&operator.info.hash),
            _ => None,
        }
    }

    /// Returns the streams that it writes, including the stream for its dead-letter records.
    pub fn writes(&self) -> impl Iterator<Item = &StreamName> {
        let on_error = match &self.kind {
            StageKind::Operator(operator) => Some(&operator.settings.on_error),
            StageKind::Sink { settings, .. } => Some(&settings.on_error),
            StageKind::Source { .. } => None,
        };
        let failures = match on_error {
            Some(OnError::To(stream)) => Some(stream),
            _ => None,
        };
        self.results().chain(failures)
    }

    /// Returns the streams for its results, without the stream for its dead-letter records.
    pub fn results(&self) -> impl Iterator<Item = &StreamName> {
        let (one, many) = match &self.kind {
            StageKind::Source { to, .. } => (Some(to), [].as_slice()),
            StageKind::Sink { .. } => (None, [].as_slice()),
            StageKind::Operator(operator) => (None, operator.outputs.as_slice()),
        };
        many.iter().map(|output| &output.stream).chain(one)
    }
}

/// A checked and wired manifest.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The network, if the manifest names one. Always set if a stream is shared.
    pub network: Option<Guarded<String>>,
    /// The process that runs the manifest.
    pub node: NodeConfig,
    /// The checkpoints, if any are taken.
    pub checkpoint: Option<CheckpointConfig>,
    /// All streams.
    pub streams: BTreeMap<StreamName, StreamConfig>,
    vertices: DiGraph<Stage, StreamName>,
    index: BTreeMap<StageKey, NodeIndex>,
}

impl Graph {
    fn new(
        network: Option<Guarded<String>>,
        (node, checkpoint): (NodeConfig, Option<CheckpointConfig>),
        streams: BTreeMap<StreamName, StreamConfig>,
    ) -> Self {
        Self {
            network,
            node,
            checkpoint,
            streams,
            vertices: DiGraph::new(),
            index: BTreeMap::new(),
        }
    }

    /// Returns all stages: producers, operators, consumers, each sorted by name.
    pub fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.index.values().map(|index| &self.vertices[*index])
    }

    /// Returns the stage with this key.
    pub fn stage(&self, key: &StageKey) -> Option<&Stage> {
        self.index.get(key).map(|index| &self.vertices[*index])
    }

    /// Returns all stages, with writers before readers.
    pub fn in_order(&self) -> impl Iterator<Item = &Stage> {
        // A checked graph has no cycle. If it has one nevertheless, use any order.
        let order = petgraph::algo::toposort(&self.vertices, None);
        let order = order.unwrap_or_else(|_| self.vertices.node_indices().collect());
        order.into_iter().map(|index| &self.vertices[index])
    }

    /// Returns the hashes of the operators' code.
    pub fn component_hashes(&self) -> Vec<&str> {
        self.stages().filter_map(Stage::component_hash).collect()
    }

    /// Returns the stages as vertices, with an edge from each writer to each reader of a stream.
    pub fn petgraph(&self) -> &DiGraph<Stage, StreamName> {
        &self.vertices
    }

    /// Returns the stages of this node that write a stream.
    pub fn writers<'a>(&'a self, stream: &'a StreamName) -> impl Iterator<Item = &'a Stage> {
        self.stages()
            .filter(move |stage| stage.writes().any(|written| written == stream))
    }

    /// Returns the stages of this node that read a stream.
    pub fn readers<'a>(&'a self, stream: &'a StreamName) -> impl Iterator<Item = &'a Stage> {
        self.stages()
            .filter(move |stage| stage.edges().any(|edge| edge.stream == *stream))
    }

    /// Returns whether any stream is shared, so that the node needs a socket.
    pub fn is_networked(&self) -> bool {
        self.streams
            .values()
            .any(|stream| stream.settings.scope == Scope::Network)
    }

    fn add(&mut self, stage: Stage) {
        let key = stage.key.clone();
        let index = self.vertices.add_node(stage);
        self.index.insert(key, index);
    }
}

#[cfg(test)]
mod tests;
