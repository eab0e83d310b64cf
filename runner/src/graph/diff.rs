//! The difference between two graphs, as a value. Computed here and applied by the runtime.

use std::{collections::BTreeSet, fmt};

use super::{
    Edge, Graph, OperatorStage, Stage, StageKey, StageKind, StatePolicy, StreamConfig, StreamName,
};

/// The change that a stage or a stream undergoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Unchanged: it keeps running with its connections.
    Keep,
    /// Its settings change in place: it keeps running with its connections and queues.
    Retune,
    /// The code or configuration of an operator changes between two batches; its wiring and its streams stay the same.
    Swap,
    /// It is drained, ended and re-created.
    Rewire,
    /// It is created.
    Add,
    /// It is drained and ended.
    Remove,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keep => "keep",
            Self::Retune => "retune",
            Self::Swap => "swap",
            Self::Rewire => "rewire",
            Self::Add => "add",
            Self::Remove => "remove",
        })
    }
}

/// The change of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageChange {
    /// The stage.
    pub key: StageKey,
    /// The change.
    pub change: Change,
    /// The keys of the manifest that differ, for retune, swap and rewire.
    pub changed: Vec<&'static str>,
    /// Whether the change loses the state of an operator.
    pub forgets: bool,
}

/// The change of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamChange {
    /// The stream.
    pub name: StreamName,
    /// The change; never [`Change::Swap`].
    pub change: Change,
    /// The keys of the manifest that differ, for retune and rewire.
    pub changed: Vec<&'static str>,
}

/// The changes from one graph to another.
///
/// `Display` formats them line by line for people. [`Diff::is_empty`] returns whether there are any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// The change of every stream of both graphs, by name.
    pub streams: Vec<StreamChange>,
    /// The change of every stage of both graphs: producers, operators, consumers, each sorted by name.
    pub stages: Vec<StageChange>,
    /// The keys of `node` that differ and can change in place.
    pub node: Vec<&'static str>,
    /// Descriptions of the differences that a running node cannot apply.
    pub restart: Vec<&'static str>,
}

impl Diff {
    /// Computes the changes from `old` to `new`.
    pub fn between(old: &Graph, new: &Graph) -> Self {
        let streams = stream_changes(old, new);
        let moved: BTreeSet<&StreamName> = streams
            .iter()
            .filter(|stream| !matches!(stream.change, Change::Keep | Change::Retune))
            .map(|stream| &stream.name)
            .collect();
        let stages = stage_changes(old, new, &moved);
        Self {
            stages,
            node: node_changes(old, new),
            restart: restart_reasons(old, new),
            streams,
        }
    }

    /// Returns whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.node.is_empty()
            && self.restart.is_empty()
            && self
                .streams
                .iter()
                .all(|stream| stream.change == Change::Keep)
            && self.stages.iter().all(|stage| stage.change == Change::Keep)
    }

    /// Returns the stages with this change.
    pub fn stages_to(&self, change: Change) -> impl Iterator<Item = &StageKey> {
        self.stages
            .iter()
            .filter(move |stage| stage.change == change)
            .map(|stage| &stage.key)
    }

    /// Returns the streams with this change.
    pub fn streams_to(&self, change: Change) -> impl Iterator<Item = &StreamName> {
        self.streams
            .iter()
            .filter(move |stream| stream.change == change)
            .map(|stream| &stream.name)
    }
}

/// Names of differing keys, without duplicates.
#[derive(Default)]
struct Differences(Vec<&'static str>);

impl Differences {
    fn compare<T: PartialEq>(mut self, name: &'static str, old: &T, new: &T) -> Self {
        if old != new {
            self.0.push(name);
        }
        self
    }
}

fn restart_reasons(old: &Graph, new: &Graph) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if old.network != new.network {
        reasons.push("the network changes: every connection belongs to the old one");
    }
    if old.node.secret_key != new.node.secret_key {
        reasons.push("the secret key changes: the node would be another peer");
    }
    if old.node.listen != new.node.listen {
        reasons.push("the listen address changes: connections are bound to the old one");
    }
    if old.node.advertise != new.node.advertise {
        reasons.push("the advertised address changes: others know the node by the old one");
    }
    if old.node.mdns != new.node.mdns {
        reasons.push("`mdns` changes: how the node finds others is settled when it starts");
    }
    if old.node.quic != new.node.quic {
        reasons.push("`quic` changes: what a connection may hold is settled when it is made");
    }
    if old.node.protocol != new.node.protocol {
        reasons.push("`protocol` changes: others know the node by an entry of the old one");
    }
    reasons
}

fn node_changes(old: &Graph, new: &Graph) -> Vec<&'static str> {
    Differences::default()
        .compare("name", &old.node.name, &new.node.name)
        .compare("bootstrap", &old.node.bootstrap, &new.node.bootstrap)
        .compare("tags", &old.node.tags, &new.node.tags)
        .compare("tickets", &old.node.tickets, &new.node.tickets)
        .0
}

fn stream_changes(old: &Graph, new: &Graph) -> Vec<StreamChange> {
    let names: BTreeSet<&StreamName> = old.streams.keys().chain(new.streams.keys()).collect();
    let change = |name: &StreamName| {
        let (change, changed) = match (old.streams.get(name), new.streams.get(name)) {
            (Some(old), Some(new)) => stream_change(old, new),
            (None, _) => (Change::Add, Vec::new()),
            (Some(_), None) => (Change::Remove, Vec::new()),
        };
        StreamChange {
            name: name.clone(),
            change,
            changed,
        }
    };
    names.into_iter().map(change).collect()
}

fn stream_change(old: &StreamConfig, new: &StreamConfig) -> (Change, Vec<&'static str>) {
    let mut rewired = Differences::default()
        .compare("scope", &old.scope, &new.scope)
        .compare("id", &old.id, &new.id)
        .compare("encoding", &old.encoding, &new.encoding)
        .0;
    let retuned = Differences::default()
        .compare("buffer_size", &old.buffer_size, &new.buffer_size)
        .compare("buffer_bytes", &old.buffer_bytes, &new.buffer_bytes)
        .compare("linger", &old.linger, &new.linger)
        .compare("max_consumers", &old.max_consumers, &new.max_consumers)
        .compare(
            "disconnect_lagging",
            &old.disconnect_lagging,
            &new.disconnect_lagging,
        )
        .compare("online_when", &old.online_when, &new.online_when)
        .compare("require", &old.require, &new.require)
        .compare("backoff", &old.backoff, &new.backoff)
        .0;
    let change = match (rewired.is_empty(), retuned.is_empty()) {
        (true, true) => Change::Keep,
        (true, false) => Change::Retune,
        (false, _) => Change::Rewire,
    };
    rewired.extend(retuned);
    (change, rewired)
}

fn stage_changes(old: &Graph, new: &Graph, moved: &BTreeSet<&StreamName>) -> Vec<StageChange> {
    let stages: BTreeSet<&StageKey> = old
        .stages()
        .chain(new.stages())
        .map(|stage| &stage.key)
        .collect();
    let change = |key: &StageKey| {
        let (change, changed, forgets) = match (old.stage(key), new.stage(key)) {
            (Some(old), Some(new)) => stage_change(old, new, moved),
            (None, _) => (Change::Add, Vec::new(), false),
            (Some(_), None) => (Change::Remove, Vec::new(), false),
        };
        StageChange {
            key: key.clone(),
            change,
            changed,
            forgets,
        }
    };
    stages.into_iter().map(change).collect()
}

fn stage_change(
    old: &Stage,
    new: &Stage,
    moved: &BTreeSet<&StreamName>,
) -> (Change, Vec<&'static str>, bool) {
    let mut found = Found::default();
    let mut forgets = (false, false);
    match (&old.kind, &new.kind) {
        (
            StageKind::Source { config, to },
            StageKind::Source {
                config: new_config,
                to: new_to,
            },
        ) => {
            found.rewired = Differences::default()
                .compare("from", config, new_config)
                .compare("to", to, new_to);
        }
        (
            StageKind::Sink { from, config },
            StageKind::Sink {
                from: new_from,
                config: new_config,
            },
        ) => {
            found.rewired = Differences::default()
                .compare("from", &from.stream, &new_from.stream)
                .compare("to", config, new_config);
            if from.stream == new_from.stream {
                found.retuned = edge_settings(std::iter::once((from, new_from)));
            }
        }
        (StageKind::Operator(old), StageKind::Operator(new)) => {
            forgets = (new.state == StatePolicy::Reset, true);
            found.rewired = operator_wiring(old, new);
            found.swapped = operator_inside(old, new);
            found.retuned = operator_settings(old, new);
        }
        // A stage key contains the role, so two stages with the same key are of the same kind.
        _ => found.rewired.0.push("kind"),
    }
    let touched = old
        .edges()
        .chain(new.edges())
        .map(|edge| &edge.stream)
        .chain(old.writes())
        .chain(new.writes());
    if found.rewired.0.is_empty() && touched.into_iter().any(|stream| moved.contains(stream)) {
        found.rewired.0.push("its streams");
    }
    let change = found.change();
    let forgets = match change {
        Change::Swap => forgets.0,
        Change::Rewire => forgets.1,
        _ => false,
    };
    (change, found.names(), forgets)
}

/// The differences between two stages with the same key, grouped by the change that they need.
#[derive(Default)]
struct Found {
    rewired: Differences,
    swapped: Differences,
    retuned: Differences,
}

impl Found {
    /// Returns the largest of the needed changes.
    const fn change(&self) -> Change {
        match (
            self.rewired.0.is_empty(),
            self.swapped.0.is_empty(),
            self.retuned.0.is_empty(),
        ) {
            (false, _, _) => Change::Rewire,
            (true, false, _) => Change::Swap,
            (true, true, false) => Change::Retune,
            (true, true, true) => Change::Keep,
        }
    }

    fn names(self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = Vec::new();
        for name in [self.rewired.0, self.swapped.0, self.retuned.0].concat() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// Compares the settings of subscriptions to the same streams that can change in place.
fn edge_settings<'g>(edges: impl Iterator<Item = (&'g Edge, &'g Edge)>) -> Differences {
    let mut all = Differences::default();
    for (old, new) in edges {
        all = all
            .compare("criteria", &old.criteria, &new.criteria)
            .compare("buffer_size", &old.buffer_size, &new.buffer_size)
            .compare("buffer_bytes", &old.buffer_bytes, &new.buffer_bytes)
            .compare("batch_size", &old.batch_size, &new.batch_size)
            .compare("online_when", &old.online_when, &new.online_when);
    }
    all.0.sort_unstable();
    all.0.dedup();
    all
}

fn operator_wiring(old: &OperatorStage, new: &OperatorStage) -> Differences {
    let edges = |stage: &OperatorStage| -> Vec<(String, StreamName)> {
        let inputs = stage.inputs.iter();
        inputs
            .map(|input| (input.port.to_string(), input.edge.stream.clone()))
            .collect()
    };
    Differences::default()
        .compare("from", &edges(old), &edges(new))
        .compare("to", &old.outputs, &new.outputs)
        .compare("postcard", &old.postcard, &new.postcard)
        // Subscriptions refer to ports by number.
        .compare("wasm", &old.info.inputs, &new.info.inputs)
}

fn operator_inside(old: &OperatorStage, new: &OperatorStage) -> Differences {
    Differences::default()
        .compare("wasm", &old.info.hash, &new.info.hash)
        .compare("config", &old.config, &new.config)
        .compare("files", &old.files, &new.files)
        .compare("allow", &old.grants, &new.grants)
        .compare("state", &old.state, &new.state)
        .compare("instances", &old.instances, &new.instances)
        .compare("key", &old.key, &new.key)
}

fn operator_settings(old: &OperatorStage, new: &OperatorStage) -> Differences {
    let mut settings = Differences::default()
        .compare("limits", &old.limits, &new.limits)
        .compare("on_error", &old.on_error, &new.on_error)
        .compare("tick", &old.tick, &new.tick)
        .compare("checkpoint", &old.checkpoint, &new.checkpoint);
    let edges = old.inputs.iter().zip(&new.inputs);
    let edges = edge_settings(edges.map(|(old, new)| (&old.edge, &new.edge)));
    settings.0.extend(edges.0);
    settings
}
