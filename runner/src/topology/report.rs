//! What a node says of itself to whoever asks: plain data, made to be sent as JSON and shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Receipt;
use crate::{
    graph::Step,
    operator::CounterClass,
    stage::{Inputs, OperatorCounter},
};

/// A node at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The runner's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The manifest's absolute path.
    pub manifest: String,
    /// What it is called on this machine, if it was given a name.
    pub name: Option<String>,
    /// The generation that runs.
    pub generation: u64,
    /// How long it has run, in milliseconds.
    pub uptime_ms: u64,
    /// Over how many milliseconds the rates were measured; 0 when there are none.
    pub window_ms: u64,
    /// Who it is on the network; `null` while nothing is shared.
    pub peer: Option<String>,
    /// Where it listens.
    pub listens: Vec<String>,
    /// Its stages: producers, operators, consumers, each by name.
    pub stages: Vec<StageStatus>,
    /// Its stages' subscriptions.
    pub edges: Vec<EdgeStatus>,
    /// All streams of the manifest, by name.
    pub streams: Vec<StreamStatus>,
    /// The other nodes that it knows.
    pub peers: Vec<PeerStatus>,
    /// Mistakes in how nodes are set up, a sentence each, that were seen lately.
    #[serde(default)]
    pub problems: Vec<String>,
    /// The last reloads, the newest last.
    pub reloads: Vec<Reload>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageStatus {
    /// `producer`, `operator` or `consumer`.
    pub role: String,
    /// Its name.
    pub name: String,
    /// `running`, `finished`, `stopped`, `closed` or `failed`.
    pub state: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// Datums taken in.
    pub datums_in: u64,
    /// Datums handed on.
    pub datums_out: u64,
    /// Payload bytes taken in.
    pub bytes_in: u64,
    /// Payload bytes handed on.
    pub bytes_out: u64,
    /// What became of the records taken in. Each is in one place.
    pub inputs: Inputs,
    /// Records that did not get through, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Those of them that are lost: no word in the manifest says that they may be dropped.
    pub lost: u64,
    /// The counters that an operator keeps itself.
    pub counters: BTreeMap<String, OperatorCounter>,
    /// Records that went to the stream that `on_error` names.
    pub dead_letters: u64,
    /// Times an operator's instance was built again after a failure.
    pub restarts: u64,
    /// Datums taken in a second.
    pub rate_in: Option<f64>,
    /// Datums handed on a second.
    pub rate_out: Option<f64>,
}

impl StageStatus {
    /// What is missing behind it: what it dropped, and what its own counters say is incomplete or lost.
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
    /// The stage that reads, like `operator double`.
    pub stage: String,
    /// The number of the stage's input port.
    pub port: u32,
    /// The stream.
    pub stream: String,
    /// Whether its conditions for being online are met.
    pub online: bool,
    /// Datums handed to the stage.
    pub datums: u64,
    /// Datums that its criteria did not want and that were filtered here.
    pub filtered: u64,
    /// Datums that did not get through, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Datums that wait.
    pub queued: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Datums that may wait.
    pub buffer_size: u64,
    /// Bytes that may wait.
    pub buffer_bytes: u64,
    /// Those it reads from.
    pub producers: Vec<ChannelStatus>,
    /// Datums handed to the stage a second.
    pub rate: Option<f64>,
}

/// A stream of the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// Its name.
    pub name: String,
    /// `node` or `network`.
    pub scope: String,
    /// Whether it is written here at the moment; if not, the figures below say nothing.
    pub written: bool,
    /// Whether its conditions for being online are met.
    pub online: bool,
    /// Datums taken from the stages that write it.
    pub datums: u64,
    /// Datums sent to other nodes, once for each subscriber.
    pub sent_remote: u64,
    /// Records sent again to the next life of a node that had not confirmed them.
    #[serde(default)]
    pub redelivered: u64,
    /// Records sent to nodes that do not confirm what they take.
    #[serde(default)]
    pub unconfirmed: u64,
    /// Datums that did not arrive, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Datums that wait to be handed to subscribers.
    pub queued: u64,
    /// Its subscribers.
    pub consumers: Vec<ChannelStatus>,
    /// Datums taken a second.
    pub rate: Option<f64>,
}

/// A connection between a producer and a consumer, seen from one side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// The other node; `null` when both sides are in this one.
    pub peer: Option<String>,
    /// What the other node calls itself, if it has a name.
    #[serde(default)]
    pub peer_name: Option<String>,
    /// `connecting`, `connected`, `silent` (connected, and nothing is acknowledged) or `terminated`.
    pub state: String,
    /// For how many milliseconds the other node has acknowledged nothing, while it is `silent`.
    #[serde(default)]
    pub silent_ms: Option<u64>,
    /// Tells this connection from those before and after it: one that lives on keeps its number.
    pub connection: u64,
    /// Datums that went over it.
    pub datums: u64,
    /// Of a stream's consumers: the number of stages of the other node that share it.
    #[serde(default = "one")]
    pub consumers: u64,
}

const fn one() -> u64 {
    1
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Who it is.
    pub id: String,
    /// What it calls itself, if it has a name.
    #[serde(default)]
    pub name: Option<String>,
    /// Where it can be reached.
    pub addresses: Vec<String>,
    /// How many milliseconds ago its entry was renewed.
    pub heard_ms: u64,
    /// How many milliseconds ago it started.
    pub uptime_ms: u64,
    /// The streams of this manifest that it offers, by their names here.
    pub offers: Vec<String>,
    /// How many other streams it offers.
    pub others: u64,
    /// How many tags it carries.
    pub tags: u64,
}

/// How a reload went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reload {
    /// When, in milliseconds since the node started.
    pub at_ms: u64,
    /// How it went.
    pub outcome: Outcome,
    /// The generation that ran afterwards.
    pub generation: u64,
    /// The blake3 hash of the manifest's text, if it could be read.
    pub hash: Option<String>,
    /// The receipt in a line, or what was wrong.
    pub text: String,
    /// What changed, what was kept included; empty when nothing did.
    pub steps: Vec<Step>,
    /// Milliseconds of building beside the running generation.
    pub built_ms: f64,
    /// Milliseconds of going over to the new one.
    pub applied_ms: f64,
    /// For how many milliseconds each operator that was swapped held up its edges.
    pub paused_ms: BTreeMap<String, f64>,
    /// Datums that were dropped meanwhile, whoever dropped them.
    pub dropped: u64,
}

/// How a reload went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The node went over to it.
    Applied,
    /// There was no difference.
    Unchanged,
    /// Something was wrong, and the node goes on as it was.
    Refused,
    /// The node went over to it, but not all of it could be started.
    Incomplete,
}

impl Reload {
    /// One that changed nothing, with what was wrong.
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

    /// One that was done.
    pub fn applied(at_ms: u64, hash: String, receipt: &Receipt) -> Self {
        let ms = |duration: &std::time::Duration| duration.as_secs_f64() * 1000.0;
        let paused = receipt.pauses.iter();
        Self {
            outcome: Outcome::Applied,
            steps: receipt.diff.steps(),
            built_ms: ms(&receipt.built_in),
            applied_ms: ms(&receipt.applied_in),
            paused_ms: paused
                .map(|(key, pause)| (key.to_string(), ms(pause)))
                .collect(),
            dropped: receipt.dropped,
            ..Self::refused(at_ms, receipt.generation, Some(hash), receipt.to_string())
        }
    }
}

impl Status {
    /// Says how many datums a second went by since an earlier status of the same node.
    pub fn measure(&mut self, earlier: &Self) {
        self.window_ms = self.uptime_ms.saturating_sub(earlier.uptime_ms);
        if self.window_ms == 0 {
            return;
        }
        let seconds = self.window_ms as f64 / 1000.0;
        // What was replaced meanwhile may count from zero again.
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
