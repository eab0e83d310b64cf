//! The difference between two graphs, as a value. Computed here and applied by the runtime.

use std::{collections::BTreeSet, fmt};

use mosaik_streams::Encoding;

use super::{
    CheckpointConfig, Edge, Graph, OperatorStage, Role, Stage, StageKey, StageKind, StatePolicy,
    StreamConfig, StreamName,
};
use crate::declare::{Declared, Difference, Reload, Section};
use crate::manifest::{ConsumerKeys, EdgeKeys, MANIFEST, OperatorKeys, ProducerKeys, StreamKeys};

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
    /// The stage that changes.
    pub key: StageKey,
    /// The kind of change.
    pub change: Change,
    /// The keys of the manifest that differ, for retune, swap and rewire.
    pub changed: Vec<Difference>,
    /// Whether the change loses the state of an operator.
    pub forgets: bool,
    /// Whether a producer reads the same source for a stream of the same encoding, so that it can continue at its
    /// position.
    pub keeps_source: bool,
}

impl StageChange {
    /// Returns true if a source or sink has another connector, or other settings of it.
    pub(crate) fn changes_connector(&self) -> bool {
        let connector = match self.key.role {
            Role::Producer => "from",
            Role::Consumer => "to",
            Role::Operator => return false,
        };
        let mut changed = self.changed.iter();
        changed.any(|difference| difference.is_of(connector))
    }
}

/// The change of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamChange {
    /// The stream that changes.
    pub name: StreamName,
    /// The change; never [`Change::Swap`].
    pub change: Change,
    /// The keys of the manifest that differ, for retune and rewire.
    pub changed: Vec<Difference>,
}

/// A subscription that continues: its stage has the same port for the same stream in both graphs. All its differences
/// can change in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeChange {
    /// The stage that changes.
    pub stage: StageKey,
    /// The input port, by the component's port number; 0 for a consumer.
    pub port: u32,
    /// The stream that changes.
    pub stream: StreamName,
    /// The keys of the subscription that differ. Those of the stream are in its [`StreamChange`].
    pub changed: Vec<Difference>,
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
    /// The subscriptions that continue, by stage and port.
    pub edges: Vec<EdgeChange>,
    /// The keys of `node` that differ and can change in place.
    pub node: Vec<Difference>,
    /// Descriptions of the differences that a running node cannot apply.
    pub restart: Vec<&'static str>,
}

impl Diff {
    /// Computes the changes from `old` to `new`.
    pub fn between(old: &Graph, new: &Graph) -> Self {
        let streams = stream_changes(old, new);
        let moved: BTreeSet<&StreamName> = streams
            .iter()
            // A stream that is added or removed is opened before and closed after its stages change.
            .filter(|stream| stream.change == Change::Rewire)
            .map(|stream| &stream.name)
            .collect();
        let stages = stage_changes(old, new, &moved);
        let edges = edge_changes(old, new, &moved);
        let (mut restart, mut node) = (Vec::new(), Vec::new());
        for difference in own_differences(old, new).chain(old.node.differences(&new.node)) {
            match difference.reload {
                Reload::Restart(reason) => restart.push(reason),
                _ => node.push(difference),
            }
        }
        Self {
            streams,
            stages,
            edges,
            node,
            restart,
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

    /// Returns the keys of a stream that differ.
    pub(crate) fn changed_of(&self, stream: &StreamName) -> &[Difference] {
        let found = self.streams.iter().find(|change| change.name == *stream);
        found.map_or(&[], |change| &change.changed)
    }

    /// Returns the streams with this change.
    pub fn streams_to(&self, change: Change) -> impl Iterator<Item = &StreamName> {
        self.streams
            .iter()
            .filter(move |stream| stream.change == change)
            .map(|stream| &stream.name)
    }
}

/// Returns the keys of the manifest itself that differ.
fn own_differences(old: &Graph, new: &Graph) -> impl Iterator<Item = Difference> {
    let compared = [
        ("network", old.network == new.network),
        ("checkpoint", kept(old) == kept(new)),
    ];
    let differing = compared.into_iter().filter(|(_, is_same)| !is_same);
    differing.filter_map(|(key, _)| MANIFEST.difference(key))
}

/// Returns the settings of the checkpoints, without the class that is required of the paths.
fn kept(graph: &Graph) -> Option<CheckpointConfig> {
    let checkpoint = graph.checkpoint.clone()?;
    Some(CheckpointConfig {
        require: None,
        ..checkpoint
    })
}

/// Returns the largest change that differences need.
fn change_for(differences: &[Difference]) -> Change {
    let largest = differences.iter().map(|difference| difference.reload).max();
    match largest.unwrap_or(Reload::Keep) {
        Reload::Keep => Change::Keep,
        Reload::Retune => Change::Retune,
        Reload::Swap => Change::Swap,
        Reload::Rewire | Reload::Restart(_) => Change::Rewire,
    }
}

/// Differences of keys that are compared here, since their values are resolved in the graph.
struct Resolved {
    section: &'static Section,
    found: Vec<Difference>,
}

impl Resolved {
    const fn of(section: &'static Section) -> Self {
        let found = Vec::new();
        Self { section, found }
    }

    fn compare<T: PartialEq>(mut self, key: &str, old: &T, new: &T) -> Self {
        if old != new {
            self.found.extend(self.section.difference(key));
        }
        self
    }
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

fn stream_change(old: &StreamConfig, new: &StreamConfig) -> (Change, Vec<Difference>) {
    let mut found = Resolved::of(StreamKeys::SECTION).compare("id", &old.id, &new.id);
    found = match (&old.encoding, &new.encoding) {
        (Encoding::Postcard(old), Encoding::Postcard(new)) => found.compare("schema", old, new),
        (old, new) => found.compare("encoding", old, new),
    };
    let mut found = found.found;
    found.extend(old.settings.differences(&new.settings));
    largest_first(&mut found);
    (change_for(&found), found)
}

/// Sorts differences by their effect, and removes repeated keys.
fn largest_first(found: &mut Vec<Difference>) {
    found.sort_by_key(|difference| std::cmp::Reverse(difference.reload));
    let mut seen = BTreeSet::new();
    found.retain(|difference| seen.insert(difference.key.clone()));
}

fn stage_changes(old: &Graph, new: &Graph, moved: &BTreeSet<&StreamName>) -> Vec<StageChange> {
    let stages: BTreeSet<&StageKey> = old
        .stages()
        .chain(new.stages())
        .map(|stage| &stage.key)
        .collect();
    let change = |key: &StageKey| {
        let (before, after) = (old.stage(key), new.stage(key));
        let (change, changed, forgets) = match (before, after) {
            (Some(old), Some(new)) => stage_change(old, new, moved),
            (None, _) => (Change::Add, Vec::new(), false),
            (Some(_), None) => (Change::Remove, Vec::new(), false),
        };
        let encodings = (output_encoding(old, before), output_encoding(new, after));
        StageChange {
            key: key.clone(),
            change,
            keeps_source: matches!(encodings, (Some(old), Some(new)) if old == new)
                && !changed.iter().any(|difference| difference.is_of("from")),
            changed,
            forgets,
        }
    };
    stages.into_iter().map(change).collect()
}

/// Returns the encoding of the stream that a producer writes.
fn output_encoding<'g>(graph: &'g Graph, stage: Option<&Stage>) -> Option<&'g Encoding> {
    match &stage?.kind {
        StageKind::Source { to, .. } => Some(&graph.streams[to].encoding),
        StageKind::Operator(_) | StageKind::Sink { .. } => None,
    }
}

/// Returns the subscriptions to streams that do not move, by stage and port.
fn edge_changes(old: &Graph, new: &Graph, moved: &BTreeSet<&StreamName>) -> Vec<EdgeChange> {
    let of_stage = |before: &Stage| {
        let after = new.stage(&before.key)?;
        let changes = before.ports().filter_map(|port| {
            let (old, new) = (before.edge_at(port)?, after.edge_at(port)?);
            let continues = old.stream == new.stream && !moved.contains(&old.stream);
            continues.then(|| EdgeChange {
                stage: before.key.clone(),
                port,
                stream: old.stream.clone(),
                changed: edge_differences(old, new),
            })
        });
        Some(changes.collect::<Vec<_>>())
    };
    old.stages().filter_map(of_stage).flatten().collect()
}

fn stage_change(
    old: &Stage,
    new: &Stage,
    moved: &BTreeSet<&StreamName>,
) -> (Change, Vec<Difference>, bool) {
    let mut forgets = (false, false);
    let mut found = match (&old.kind, &new.kind) {
        (
            StageKind::Source { config, to },
            StageKind::Source {
                config: new_config,
                to: new_to,
            },
        ) => {
            Resolved::of(ProducerKeys::SECTION)
                .compare("from", config, new_config)
                .compare("to", to, new_to)
                .found
        }
        (
            StageKind::Sink {
                from,
                config,
                settings,
            },
            StageKind::Sink {
                from: new_from,
                config: new_config,
                settings: new_settings,
            },
        ) => {
            let keys = Resolved::of(ConsumerKeys::SECTION)
                .compare("from", &from.stream, &new_from.stream)
                .compare("to", config, new_config);
            let is_same_stream = from.stream == new_from.stream;
            let edge = is_same_stream.then(|| edge_differences(from, new_from));
            keys.found
                .into_iter()
                .chain(settings.differences(new_settings))
                .chain(edge.into_iter().flatten())
                .collect()
        }
        (StageKind::Operator(old), StageKind::Operator(new)) => {
            forgets = (new.settings.state == StatePolicy::Reset, true);
            operator_differences(old, new)
        }
        // A stage key contains the role, so two stages with the same key are of the same kind.
        _ => vec![Difference::new("kind", Reload::Rewire)],
    };
    largest_first(&mut found);
    let touched = old
        .edges()
        .chain(new.edges())
        .map(|edge| &edge.stream)
        .chain(old.writes())
        .chain(new.writes());
    if change_for(&found) != Change::Rewire
        && touched.into_iter().any(|stream| moved.contains(stream))
    {
        found.insert(0, Difference::new("its streams", Reload::Rewire));
    }
    let change = change_for(&found);
    let forgets = match change {
        Change::Swap => forgets.0,
        Change::Rewire => forgets.1,
        _ => false,
    };
    (change, found, forgets)
}

/// Compares two subscriptions to the same stream.
fn edge_differences(old: &Edge, new: &Edge) -> Vec<Difference> {
    let criteria =
        Resolved::of(EdgeKeys::SECTION).compare("criteria", &old.criteria, &new.criteria);
    let mut found = criteria.found;
    found.extend(old.settings.differences(&new.settings));
    found
}

fn operator_differences(old: &OperatorStage, new: &OperatorStage) -> Vec<Difference> {
    let edges = |stage: &OperatorStage| -> Vec<(String, StreamName)> {
        let inputs = stage.inputs.iter();
        inputs
            .map(|input| (input.port.to_string(), input.edge.stream.clone()))
            .collect()
    };
    let keys = Resolved::of(OperatorKeys::SECTION)
        .compare("from", &edges(old), &edges(new))
        .compare("to", &old.outputs, &new.outputs)
        .compare("postcard", &old.postcard, &new.postcard)
        .compare("wasm", &old.info.hash, &new.info.hash)
        .compare("config", &old.config, &new.config)
        .compare("files", &old.files, &new.files);
    let mut found = keys.found;
    if old.info.inputs != new.info.inputs {
        // Subscriptions refer to ports by number.
        found.push(Difference::new("wasm", Reload::Rewire));
    }
    found.extend(old.settings.differences(&new.settings));
    let edges = old.inputs.iter().zip(&new.inputs);
    found.extend(edges.flat_map(|(old, new)| edge_differences(&old.edge, &new.edge)));
    found
}
