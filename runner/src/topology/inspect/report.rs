//! The status that a node reports to clients: plain data, made to be sent as JSON and shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    graph::{Deliveries, Step},
    operator::CounterClass,
    stage::{Inputs, OperatorCounter},
};

/// The state of a node at one point in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the runner.
    pub version: String,
    /// The process id of the node.
    pub pid: u32,
    /// The absolute path of the manifest.
    pub manifest: String,
    /// The name of the node on this machine, as set by `--name`.
    pub name: Option<String>,
    /// The number of the running version of the graph; a reload that changes anything adds one.
    pub generation: u64,
    /// Time since the node started, in milliseconds.
    pub uptime_ms: u64,
    /// The time over which the rates were measured, in milliseconds; 0 if there are no rates.
    pub window_ms: u64,
    /// The peer id of the node; `null` if none of its streams has scope `network`.
    pub peer: Option<String>,
    /// The addresses on which the node accepts connections.
    pub listens: Vec<String>,
    /// The stages, sorted by role (producers, operators, consumers) and name.
    pub stages: Vec<StageStatus>,
    /// The subscriptions of the stages.
    pub edges: Vec<EdgeStatus>,
    /// All streams of the manifest, sorted by name.
    pub streams: Vec<StreamStatus>,
    /// Its checkpoints; `null` if the manifest has no `checkpoint`.
    #[serde(default)]
    pub checkpoint: Option<CheckpointStatus>,
    /// The delivery class of each path.
    #[serde(default)]
    pub delivery: Deliveries,
    /// The other nodes in its catalog.
    pub peers: Vec<PeerStatus>,
    /// Mistakes in the setup of nodes that were detected recently, one sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
    /// The most recent reloads, oldest first.
    pub reloads: Vec<Reload>,
}

/// The checkpoints of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointStatus {
    /// Number of the last complete one; 0 if there is none yet.
    pub number: u64,
    /// Time since it was complete, in milliseconds.
    pub age_ms: Option<u64>,
    /// Size of the states of operators in it, in bytes.
    pub state_bytes: u64,
    /// Time from its beginning until it was durable, in milliseconds; `null` if an earlier process took it.
    pub took_ms: Option<f64>,
    /// Time between two checkpoints, in milliseconds.
    pub every_ms: u64,
    /// Time until the next one begins, in milliseconds; 0 while one is being taken.
    pub next_ms: u64,
    /// Time since the current one began, in milliseconds; `null` if none is being taken.
    pub running_ms: Option<u64>,
    /// Number of those that were given up since the start, by reason: `slow`, `changed`, `refused`, `failed`,
    /// `unwritten`.
    pub given_up: BTreeMap<String, u64>,
    /// The reason of the latest one that was given up, if none was complete since.
    pub reason: Option<String>,
}

/// The state and counters of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageStatus {
    /// `producer`, `operator` or `consumer`.
    pub role: String,
    /// Its name.
    pub name: String,
    /// `running`, `finished`, `stopped`, `closed` or `failed`.
    pub state: String,
    /// The reason for the failure of the stage.
    pub reason: Option<String>,
    /// Number of records received.
    pub datums_in: u64,
    /// Number of records written.
    pub datums_out: u64,
    /// Number of payload bytes received.
    pub bytes_in: u64,
    /// Number of payload bytes written.
    pub bytes_out: u64,
    /// Outcomes of the received records. Each record counts in one place.
    pub inputs: Inputs,
    /// Number of records that were dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// The number of dropped records that are lost: the manifest does not permit dropping them.
    pub lost: u64,
    /// The operator's own counters.
    pub counters: BTreeMap<String, OperatorCounter>,
    /// Number of records sent to the stream named in `on_error`.
    pub dead_letters: u64,
    /// Number of times that an operator's instance was re-created after a failure.
    pub restarts: u64,
    /// Records received per second.
    pub rate_in: Option<f64>,
    /// Records written per second.
    pub rate_out: Option<f64>,
}

impl StageStatus {
    /// Returns the missing records of the stage, by reason: those that it dropped, and those that
    /// its own counters report as incomplete or lost.
    pub fn missing(&self) -> BTreeMap<String, u64> {
        let counters = self.counters.iter();
        let counters = counters.filter(|(_, counter)| counter.class != CounterClass::Normal);
        let mut missing = self.dropped.clone();
        for (name, counter) in counters {
            *missing.entry(name.clone()).or_default() += counter.total;
        }
        missing
    }
}

/// A subscription of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EdgeStatus {
    /// The stage that reads, such as `operator double`.
    pub stage: String,
    /// The number of the stage's input port.
    pub port: u32,
    /// The name of the stream that is read.
    pub stream: String,
    /// True if its `online_when` condition is met.
    pub online: bool,
    /// Number of records handed to the stage.
    pub datums: u64,
    /// Number of records that did not match its criteria and were filtered on this node.
    pub filtered: u64,
    /// Number of records that were dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Number of queued records.
    pub queued: u64,
    /// Payload bytes of the queued records.
    pub queued_bytes: u64,
    /// Maximum number of queued records.
    pub buffer_size: u64,
    /// Maximum number of queued bytes.
    pub buffer_bytes: u64,
    /// The producers that it reads from.
    pub producers: Vec<ChannelStatus>,
    /// Records handed to the stage per second.
    pub rate: Option<f64>,
}

/// A stream of the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// Its name.
    pub name: String,
    /// `node` or `network`.
    pub scope: String,
    /// True if it is currently written here; if false, the figures below have no meaning.
    pub written: bool,
    /// True if its `online_when` condition is met.
    pub online: bool,
    /// Number of records received from the stages that write it.
    pub datums: u64,
    /// Number of records sent to other nodes, counted once per subscriber.
    pub sent_remote: u64,
    /// Number of records resent to a restarted node that had not confirmed them.
    #[serde(default)]
    pub redelivered: u64,
    /// Number of records sent to nodes that do not confirm received records.
    #[serde(default)]
    pub unconfirmed: u64,
    /// Number of records that did not arrive, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Number of records queued for subscribers.
    pub queued: u64,
    /// Its subscribers.
    pub consumers: Vec<ChannelStatus>,
    /// Its log, if it is durable and written here.
    #[serde(default)]
    pub log: Option<LogStatus>,
    /// Records received per second.
    pub rate: Option<f64>,
}

/// The log of a durable stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Position of the oldest record.
    pub start: u64,
    /// Position after the last record.
    pub end: u64,
    /// Position before which other nodes can receive records.
    pub visible: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// True while the disk has no room.
    pub full: bool,
    /// Number of records that were removed since the start, by age, length or a full disk.
    pub expired: u64,
    /// The nodes that read it, also those that are away.
    pub readers: Vec<LogReader>,
}

/// A node that reads the log of a durable stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogReader {
    /// Its id.
    pub peer: String,
    /// Its configured name, if it is known.
    pub peer_name: Option<String>,
    /// True if it is connected.
    pub connected: bool,
    /// Position before which it has confirmed every record.
    pub position: u64,
    /// Number of visible records that it has not confirmed.
    pub lag: u64,
}

/// A connection between a producer and a consumer, seen from one end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// The other node; `null` if both ends are in this node.
    pub peer: Option<String>,
    /// The configured name of the other node, if it has one.
    #[serde(default)]
    pub peer_name: Option<String>,
    /// `connecting`, `connected`, `silent` (connected, but without acknowledgements) or
    /// `terminated`.
    pub state: String,
    /// Time since the last acknowledgement of the other node while it is `silent`, in milliseconds.
    #[serde(default)]
    pub silent_ms: Option<u64>,
    /// Number that identifies this connection. A connection that continues keeps its number.
    pub connection: u64,
    /// Number of records transferred.
    pub datums: u64,
    /// For a stream's consumers: the number of stages of the other node that share this connection.
    #[serde(default = "one")]
    pub consumers: u64,
}

const fn one() -> u64 {
    1
}

/// A node in the catalog other than this one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The peer id of the node.
    pub id: String,
    /// The configured name of the node, if it has one.
    #[serde(default)]
    pub name: Option<String>,
    /// The addresses at which it can be reached.
    pub addresses: Vec<String>,
    /// Time since its entry was renewed, in milliseconds.
    pub heard_ms: u64,
    /// Time since it started, in milliseconds.
    pub uptime_ms: u64,
    /// The streams of this manifest that it offers, by their names in this manifest.
    pub offers: Vec<String>,
    /// Number of other streams that it offers.
    pub others: u64,
    /// Number of its tags.
    pub tags: u64,
}

/// A reload and its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reload {
    /// Time of the reload, in milliseconds since the node started.
    pub at_ms: u64,
    /// The result of the reload.
    pub outcome: Outcome,
    /// The generation that ran after the reload.
    pub generation: u64,
    /// The blake3 hash of the manifest's text, if it could be read.
    pub hash: Option<String>,
    /// The receipt in one line, or the reason of the failure.
    pub text: String,
    /// The changes, including unchanged parts; empty if the reload changed nothing.
    pub steps: Vec<Step>,
    /// Time spent building beside the running generation, in milliseconds.
    pub built_ms: f64,
    /// Time spent applying the new generation, in milliseconds.
    pub applied_ms: f64,
    /// Time for which each swapped operator paused its edges, in milliseconds.
    pub paused_ms: BTreeMap<String, f64>,
    /// Number of records that any stage or stream dropped during the reload.
    pub dropped: u64,
}

/// The outcome of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The node runs the new generation.
    Applied,
    /// The manifest has no difference.
    Unchanged,
    /// The manifest has an error, and the node continues unchanged.
    Refused,
    /// The node runs the new generation, but some of its stages could not be started.
    Incomplete,
}

impl Reload {
    /// Returns the report of a reload that failed and changed nothing; `text` is the reason.
    pub fn refused(at_ms: u64, generation: u64, hash: Option<String>, text: String) -> Self {
        Self {
            at_ms,
            outcome: Outcome::Refused,
            generation,
            hash,
            text,
            steps: Vec::new(),
            built_ms: 0.0,
            applied_ms: 0.0,
            paused_ms: BTreeMap::new(),
            dropped: 0,
        }
    }
}

impl Status {
    /// Sets the rates, in records per second, from an earlier status of the same node.
    pub fn measure(&mut self, earlier: &Self) {
        self.window_ms = self.uptime_ms.saturating_sub(earlier.uptime_ms);
        if self.window_ms == 0 {
            return;
        }
        let seconds = self.window_ms as f64 / 1000.0;
        // A stage or stream that was replaced meanwhile may count from zero again.
        let rate = |now: u64, before: u64| Some(now.saturating_sub(before) as f64 / seconds);
        for stage in &mut self.stages {
            let is_it =
                |other: &&StageStatus| (&other.role, &other.name) == (&stage.role, &stage.name);
            let before = earlier.stages.iter().find(is_it);
            let (before_in, before_out) = before.map_or((0, 0), |b| (b.datums_in, b.datums_out));
            stage.rate_in = rate(stage.datums_in, before_in);
            stage.rate_out = rate(stage.datums_out, before_out);
        }
        for edge in &mut self.edges {
            let is_it =
                |other: &&EdgeStatus| (&other.stage, other.port) == (&edge.stage, edge.port);
            let before = earlier
                .edges
                .iter()
                .find(is_it)
                .map_or(0, |before| before.datums);
            edge.rate = rate(edge.datums, before);
        }
        for stream in &mut self.streams {
            let before = earlier
                .streams
                .iter()
                .find(|other| other.name == stream.name);
            stream.rate = rate(stream.datums, before.map_or(0, |before| before.datums));
        }
    }
}
