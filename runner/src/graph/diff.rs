//! What it takes to go from one graph to another, as a value: decided here, done elsewhere.

use std::{collections::BTreeSet, fmt};

use super::{
    Edge, Graph, OnError, OperatorStage, Stage, StageKey, StageKind, StreamConfig, StreamName,
};

/// What becomes of a stage or a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing: it lives on, connections included.
    Keep,
    /// An operator's inside changes between two batches; its wiring and its streams are the same.
    Swap,
    /// It is ended and made anew.
    Replace,
    /// It is new.
    Add,
    /// It is drained and ended.
    Remove,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keep => "keep",
            Self::Swap => "swap",
            Self::Replace => "replace",
            Self::Add => "add",
            Self::Remove => "remove",
        })
    }
}

/// What becomes of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageChange {
    /// The stage.
    pub key: StageKey,
    /// What becomes of it.
    pub change: Change,
    /// The keys of the manifest that differ, for swap and replace.
    pub changed: Vec<&'static str>,
}

/// What becomes of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamChange {
    /// The stream.
    pub name: StreamName,
    /// What becomes of it; never [`Change::Swap`].
    pub change: Change,
    /// The keys of the manifest that differ, for replace.
    pub changed: Vec<&'static str>,
}

/// What it takes to go from one graph to another.
///
/// `Display` says it line by line, for people; [`Diff::is_empty`] if there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// Every stream of both graphs, by name.
    pub streams: Vec<StreamChange>,
    /// Every stage of both graphs: producers, operators, consumers, each by name.
    pub stages: Vec<StageChange>,
    /// The keys of `node` that differ and can change in place.
    pub node: Vec<&'static str>,
    /// What differs that a running node cannot change, in words.
    pub restart: Vec<&'static str>,
}

impl Diff {
    /// What it takes to go from `old` to `new`.
    pub fn between(old: &Graph, new: &Graph) -> Self {
        let streams = stream_changes(old, new);
        let moved: BTreeSet<&StreamName> = streams
            .iter()
            .filter(|stream| stream.change != Change::Keep)
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

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.node.is_empty()
            && self.restart.is_empty()
            && self
                .streams
                .iter()
                .all(|stream| stream.change == Change::Keep)
            && self.stages.iter().all(|stage| stage.change == Change::Keep)
    }

    /// The stages with one change.
    pub fn stages_to(&self, change: Change) -> impl Iterator<Item = &StageKey> {
        self.stages
            .iter()
            .filter(move |stage| stage.change == change)
            .map(|stage| &stage.key)
    }

    /// The streams with one change.
    pub fn streams_to(&self, change: Change) -> impl Iterator<Item = &StreamName> {
        self.streams
            .iter()
            .filter(move |stream| stream.change == change)
            .map(|stream| &stream.name)
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for reason in &self.restart {
            writeln!(f, "{:<8} node: {reason}", "restart")?;
        }
        if !self.node.is_empty() {
            writeln!(f, "{:<8} node ({})", "change", self.node.join(", "))?;
        }
        let because = |changed: &[&str]| match changed {
            [] => String::new(),
            changed => format!(" ({})", changed.join(", ")),
        };
        for stream in &self.streams {
            writeln!(
                f,
                "{:<8} stream {}{}",
                stream.change,
                stream.name,
                because(&stream.changed)
            )?;
        }
        for stage in &self.stages {
            writeln!(
                f,
                "{:<8} {}{}",
                stage.change,
                stage.key,
                because(&stage.changed)
            )?;
        }
        Ok(())
    }
}

/// Names of what differs, each compared once.
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
            (Some(old), Some(new)) => {
                let changed = stream_differences(old, new);
                (
                    if changed.is_empty() {
                        Change::Keep
                    } else {
                        Change::Replace
                    },
                    changed,
                )
            }
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

fn stream_differences(old: &StreamConfig, new: &StreamConfig) -> Vec<&'static str> {
    Differences::default()
        .compare("scope", &old.scope, &new.scope)
        .compare("id", &old.id, &new.id)
        .compare("encoding", &old.encoding, &new.encoding)
        .compare("buffer_size", &old.buffer_size, &new.buffer_size)
        .compare("buffer_bytes", &old.buffer_bytes, &new.buffer_bytes)
        .compare("max_consumers", &old.max_consumers, &new.max_consumers)
        .compare(
            "disconnect_lagging",
            &old.disconnect_lagging,
            &new.disconnect_lagging,
        )
        .compare("online_when", &old.online_when, &new.online_when)
        .compare("require", &old.require, &new.require)
        .compare("backoff", &old.backoff, &new.backoff)
        .0
}

fn stage_changes(old: &Graph, new: &Graph, moved: &BTreeSet<&StreamName>) -> Vec<StageChange> {
    let stages: BTreeSet<&StageKey> = old
        .stages()
        .chain(new.stages())
        .map(|stage| &stage.key)
        .collect();
    let change = |key: &StageKey| {
        let (change, changed) = match (old.stage(key), new.stage(key)) {
            (Some(old), Some(new)) => stage_change(old, new, moved),
            (None, _) => (Change::Add, Vec::new()),
            (Some(_), None) => (Change::Remove, Vec::new()),
        };
        StageChange {
            key: key.clone(),
            change,
            changed,
        }
    };
    stages.into_iter().map(change).collect()
}

fn stage_change(
    old: &Stage,
    new: &Stage,
    moved: &BTreeSet<&StreamName>,
) -> (Change, Vec<&'static str>) {
    let (mut rewired, mut inside) = (Differences::default(), Differences::default());
    match (&old.kind, &new.kind) {
        (
            StageKind::Source { config, to },
            StageKind::Source {
                config: new_config,
                to: new_to,
            },
        ) => {
            rewired = rewired
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
            rewired = rewired
                .compare("from", from, new_from)
                .compare("to", config, new_config);
        }
        (StageKind::Operator(old), StageKind::Operator(new)) => {
            rewired = operator_wiring(old, new);
            inside = operator_inside(old, new);
        }
        // A key holds the role, so that two stages of one key are of one kind.
        _ => rewired.0.push("kind"),
    }
    let touched = old
        .edges()
        .chain(new.edges())
        .map(|edge| &edge.stream)
        .chain(old.writes())
        .chain(new.writes());
    let mut touched: Vec<_> = touched.filter(|stream| moved.contains(stream)).collect();
    touched.sort();
    let change = match (
        rewired.0.is_empty() && touched.is_empty(),
        inside.0.is_empty(),
    ) {
        (true, true) => Change::Keep,
        (true, false) => Change::Swap,
        (false, _) => Change::Replace,
    };
    if !touched.is_empty() && rewired.0.is_empty() {
        rewired.0.push("its streams");
    }
    rewired.0.extend(inside.0);
    (change, rewired.0)
}

fn operator_wiring(old: &OperatorStage, new: &OperatorStage) -> Differences {
    let edges = |stage: &OperatorStage| -> Vec<(String, Edge)> {
        stage
            .inputs
            .iter()
            .map(|input| (input.port.to_string(), input.edge.clone()))
            .collect()
    };
    let failures = |stage: &OperatorStage| match &stage.on_error {
        OnError::To(stream) => Some(stream.clone()),
        _ => None,
    };
    Differences::default()
        .compare("from", &edges(old), &edges(new))
        .compare("to", &old.outputs, &new.outputs)
        .compare("on_error: to", &failures(old), &failures(new))
        .compare("postcard", &old.postcard, &new.postcard)
}

fn operator_inside(old: &OperatorStage, new: &OperatorStage) -> Differences {
    // Where the failures go is wiring; that they go somewhere is not a difference of its own.
    let policy = |stage: &OperatorStage| match &stage.on_error {
        OnError::To(_) => None,
        other => Some(other.clone()),
    };
    let (old_policy, new_policy) = (policy(old), policy(new));
    let differences = Differences::default()
        .compare("wasm", &old.info.hash, &new.info.hash)
        .compare("config", &old.config, &new.config)
        .compare("files", &old.files, &new.files)
        .compare("limits", &old.limits, &new.limits)
        .compare("allow", &old.grants, &new.grants)
        .compare("state", &old.state, &new.state)
        .compare("tick", &old.tick, &new.tick)
        .compare("checkpoint", &old.checkpoint, &new.checkpoint)
        .compare("instances", &old.instances, &new.instances)
        .compare("key", &old.key, &new.key);
    if old_policy.is_some() && new_policy.is_some() {
        differences.compare("on_error", &old_policy, &new_policy)
    } else {
        differences
    }
}
