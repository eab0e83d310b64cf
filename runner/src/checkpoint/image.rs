//! [`Image`]: what a checkpoint holds.

use std::{collections::BTreeMap, fmt, time::SystemTime};

use serde::{Deserialize, Serialize};

/// The role and name of a stage, as in the manifest: `operator clean`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageId(String);

impl StageId {
    /// Returns the id of a stage with this text, which names role and stage.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the stages of a graph have noted.
pub type Stages = BTreeMap<StageId, StageImage>;

/// A consistent image of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Its number, which grows by one with each checkpoint of a ledger.
    pub number: u64,
    /// The number of the process that took it: 1 for the first that used the ledger.
    pub generation: u64,
    /// The time at which it was complete.
    pub taken: SystemTime,
    /// The stages.
    pub stages: Stages,
}

impl Image {
    /// Returns the size of the states of all operators, in bytes.
    pub fn state_bytes(&self) -> u64 {
        self.stages.values().map(StageImage::state_bytes).sum()
    }
}

/// What a stage has noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StageImage {
    /// A source.
    Source {
        /// The position from which it reads on; `None` if it cannot go back.
        position: Option<serde_json::Value>,
        /// The number of records behind the position that it has sent.
        sent: u64,
        /// True if its input has ended and everything is sent.
        ended: bool,
    },
    /// An operator.
    Operator {
        /// The input ports that have ended and whose end it has worked off.
        ended_ports: Vec<u32>,
        /// The fields of the key by which records are assigned to instances.
        key: Option<Vec<String>>,
        /// The hash of its component, in hex digits.
        component: String,
        /// How far it has read durable streams of other nodes.
        #[serde(default)]
        read: Vec<ReadPosition>,
        /// The state of each instance. Kept apart from the rest, because it can be large.
        #[serde(skip)]
        instances: Vec<InstanceImage>,
        /// True if all its inputs have ended and everything is sent.
        ended: bool,
    },
    /// A sink.
    Sink {
        /// How much of its output is durable; `None` if it cannot tell.
        token: Option<serde_json::Value>,
        /// How far it has read durable streams of other nodes.
        #[serde(default)]
        read: Vec<ReadPosition>,
        /// True if its input has ended and everything is written.
        ended: bool,
    },
    /// The log of a durable stream.
    Log {
        /// The id of the log, in hex digits.
        log: String,
        /// The number of records that are in it.
        position: u64,
        /// True if the stream has ended.
        ended: bool,
    },
}

/// How far an input has read a durable stream of another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadPosition {
    /// The number of the input port.
    pub port: u32,
    /// The id of the node.
    pub peer: String,
    /// The id of the log, in hex digits.
    pub log: String,
    /// The number of records before the position.
    pub position: u64,
}

impl StageImage {
    /// Returns true if the stage is an operator whose component has this hash, in hex digits.
    pub fn is_of_component(&self, hash: &str) -> bool {
        matches!(self, Self::Operator { component, .. } if component == hash)
    }

    /// Returns the size of the states of an operator's instances, in bytes; 0 for other stages.
    pub fn state_bytes(&self) -> u64 {
        match self {
            Self::Operator { instances, .. } => instances.iter().map(InstanceImage::bytes).sum(),
            Self::Source { .. } | Self::Sink { .. } | Self::Log { .. } => 0,
        }
    }

    /// Returns true if the stage has nothing more to do.
    pub const fn is_ended(&self) -> bool {
        match self {
            Self::Source { ended, .. }
            | Self::Operator { ended, .. }
            | Self::Sink { ended, .. }
            | Self::Log { ended, .. } => *ended,
        }
    }
}

/// The state of one instance of an operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceImage {
    /// The version of the state.
    pub version: u32,
    /// The maximum number of records in the state.
    pub kept: u64,
    /// The entries: key, if the state is kept by key, and value.
    pub entries: Vec<(Option<Vec<u8>>, Vec<u8>)>,
}

impl InstanceImage {
    /// Returns the size of its keys and values, in bytes.
    pub fn bytes(&self) -> u64 {
        let entries = self.entries.iter();
        let bytes = entries.map(|(key, value)| key.as_ref().map_or(0, Vec::len) + value.len());
        bytes.sum::<usize>() as u64
    }
}
