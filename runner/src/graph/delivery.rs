//! The delivery class of each path through a graph: the weakest class of its parts. A part is a source, an operator, a
//! sink, or a stream that connects the node with other nodes.

mod require;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

pub(super) use self::require::check;
use super::{
    Delivery, DeliveryClass, Graph, Lagging, OperatorStage, Scope, Stage, StageKey, StageKind,
    StreamConfig, StreamName,
};

/// Maximum number of paths that are listed one by one: 200. Further paths are counted.
const PATHS_MAX: usize = 200;
/// The end of a path that is outside of this node.
const OTHER_NODES: &str = "other nodes";

/// The paths of a graph with their delivery classes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Deliveries {
    /// The class of all paths together, which is the weakest of them.
    pub class: DeliveryClass,
    /// The paths, in the order of their first stages: at most 200.
    pub paths: Vec<PathDelivery>,
    /// Number of paths that are not listed.
    pub more: u64,
}

/// A path through the graph with its delivery class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathDelivery {
    /// The stages in the order of the flow: `producer read`. `other nodes` stands for the other end of a shared stream.
    pub path: Vec<String>,
    /// The class.
    pub class: DeliveryClass,
    /// The part that has this class; `null` if the path is `exactly_once`.
    pub weakest: Option<WeakestPart>,
}

/// The part of a path that has the weakest class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeakestPart {
    /// The stage or the stream: `consumer print`.
    pub part: String,
    /// The reason that its class is not a stronger one, as one clause.
    pub reason: String,
}

impl fmt::Display for PathDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.join(" -> "), self.class)?;
        match &self.weakest {
            Some(WeakestPart { part, reason }) => write!(f, " ({part}: {reason})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for path in &self.paths {
            writeln!(f, "{path}")?;
        }
        match self.more {
            0 => Ok(()),
            more => writeln!(f, "{more} more paths; all paths together: {}", self.class),
        }
    }
}

/// The ends of a stream between which records flow, of which one is outside of this node. Between two stages of the node
/// nothing is lost or repeated: what is in a queue when the node is killed is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// From this node to other nodes.
    ToOtherNodes,
    /// From other nodes to this node.
    FromOtherNodes,
}

/// Returns the class of a shared stream between these ends.
fn of_edge(stream: &StreamConfig, ends: Ends, has_checkpoints: bool) -> Delivery {
    let is_dropping = stream.settings.disconnect_lagging == Lagging::Drop;
    if stream.settings.durable.is_some() {
        match ends {
            // The log has every record, and both nodes know the position.
            _ if has_checkpoints => return Delivery::EXACTLY_ONCE,
            Ends::ToOtherNodes => {
                return Delivery::at_least_once(
                    "without `checkpoint`, records that are made again are appended to the log again",
                );
            }
            Ends::FromOtherNodes => {}
        }
    }
    Delivery::at_most_once(match ends {
        Ends::ToOtherNodes if is_dropping => {
            "`disconnect_lagging` drops records for other nodes that do not keep up"
        }
        Ends::ToOtherNodes if has_checkpoints => {
            "records that other nodes have not confirmed are lost if this node is killed"
        }
        Ends::ToOtherNodes => {
            "other nodes miss records while they are away for more than 2 minutes"
        }
        Ends::FromOtherNodes => {
            "records that this node has confirmed and not worked off are lost if it is killed"
        }
    })
}

/// Returns the class of an operator. Without checkpoints its state is made again, because every source that can be read
/// again is read from its beginning.
fn of_operator(operator: &OperatorStage) -> Delivery {
    let allow = &operator.settings.allow;
    if !allow.http.is_empty() {
        return Delivery::at_least_once("its HTTP requests may be sent again")
            .because_of("allow.http");
    }
    if allow.dirs.iter().any(|folder| folder.write) {
        return Delivery::at_least_once("its writes to folders may be repeated")
            .because_of("allow.dirs");
    }
    Delivery::EXACTLY_ONCE
}

/// Returns the class of what a stage does with the outside. That of a sink concerns the records that it writes, and not
/// its dead-letter records.
fn of_stage(stage: &Stage, has_checkpoints: bool) -> Delivery {
    match &stage.kind {
        StageKind::Source { config, .. } => config.delivery(has_checkpoints),
        StageKind::Operator(operator) => of_operator(operator),
        StageKind::Sink { config, .. } => config.delivery(has_checkpoints),
    }
}

/// Returns the streams that a stage writes, without duplicates.
fn written(stage: &Stage) -> BTreeSet<&StreamName> {
    stage.writes().collect()
}

impl Graph {
    /// Returns the delivery class of each path.
    pub fn deliveries(&self) -> Deliveries {
        Walk::new(self).run()
    }

    fn has_checkpoints(&self) -> bool {
        self.checkpoint.is_some()
    }

    /// Returns the streams that other nodes can read or write.
    fn shared_streams(&self) -> impl Iterator<Item = (&StreamName, &StreamConfig)> {
        let streams = self.streams.iter();
        streams.filter(|(_, stream)| stream.settings.scope == Scope::Network)
    }
}

/// A part of a path and its class.
type Link<'g> = (PathPart<'g>, Delivery);

/// A part of a path that can weaken it.
#[derive(Debug, Clone, Copy)]
enum PathPart<'g> {
    Stage(&'g StageKey),
    Stream(&'g StreamName),
}

impl fmt::Display for PathPart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(key) => key.fmt(f),
            Self::Stream(name) => write!(f, "stream {name}"),
        }
    }
}

/// Collects the paths of a graph.
struct Walk<'g> {
    graph: &'g Graph,
    readers: BTreeMap<&'g StreamName, Vec<&'g Stage>>,
    /// The number of paths from each stage to an end, once known.
    counts: BTreeMap<&'g StageKey, u64>,
    /// The stages and links from the first to the current stage.
    path: Vec<String>,
    links: Vec<Link<'g>>,
    found: Deliveries,
}

impl<'g> Walk<'g> {
    fn new(graph: &'g Graph) -> Self {
        let mut readers: BTreeMap<_, Vec<&Stage>> = BTreeMap::new();
        for stage in graph.stages() {
            let read: BTreeSet<_> = stage.edges().map(|edge| &edge.stream).collect();
            for stream in read {
                readers.entry(stream).or_default().push(stage);
            }
        }
        Self {
            graph,
            readers,
            counts: BTreeMap::new(),
            path: Vec::new(),
            links: Vec::new(),
            found: Deliveries::default(),
        }
    }

    fn run(mut self) -> Deliveries {
        let graph = self.graph;
        let mut all = 0_u64;
        for stage in graph
            .in_order()
            .filter(|stage| stage.edges().next().is_none())
        {
            all = all.saturating_add(self.count(stage));
            self.stage(stage);
        }
        for (name, stream) in graph.shared_streams() {
            for reader in self.readers.get(name).cloned().unwrap_or_default() {
                all = all.saturating_add(self.count(reader));
                let delivery = of_edge(stream, Ends::FromOtherNodes, graph.has_checkpoints());
                self.path.push(OTHER_NODES.to_owned());
                self.links.push((PathPart::Stream(name), delivery));
                self.stage(reader);
                self.links.pop();
                self.path.pop();
            }
        }
        self.found.more = all.saturating_sub(self.found.paths.len() as u64);
        let classes = links(graph).map(|(_, delivery)| delivery.class());
        self.found.class = classes.min().unwrap_or_default();
        self.found
    }

    /// Adds the paths through a stage.
    fn stage(&mut self, stage: &'g Stage) {
        if self.found.paths.len() >= PATHS_MAX {
            return;
        }
        let delivery = of_stage(stage, self.graph.has_checkpoints());
        self.path.push(stage.key.to_string());
        self.links.push((PathPart::Stage(&stage.key), delivery));
        if self.ends_at(stage) {
            self.end();
        }
        if let (StageKind::Sink { .. }, Some((_, delivery))) = (&stage.kind, self.links.last_mut())
        {
            // Its dead-letter records do not reach the outside here.
            *delivery = Delivery::EXACTLY_ONCE;
        }
        for stream in written(stage) {
            for reader in self.readers.get(stream).cloned().unwrap_or_default() {
                self.stage(reader);
            }
            if let Some(link) = self.sends(stream) {
                self.path.push(OTHER_NODES.to_owned());
                self.links.push(link);
                self.end();
                self.links.pop();
                self.path.pop();
            }
        }
        self.links.pop();
        self.path.pop();
    }

    /// Adds the current path.
    fn end(&mut self) {
        if self.found.paths.len() >= PATHS_MAX {
            return;
        }
        // The first of several links of the same class.
        let weakest = self
            .links
            .iter()
            .min_by_key(|(_, delivery)| delivery.class());
        let class = weakest.map_or_else(DeliveryClass::default, |(_, delivery)| delivery.class());
        let weakest = weakest.filter(|_| class != DeliveryClass::ExactlyOnce);
        self.found.paths.push(PathDelivery {
            path: self.path.clone(),
            class,
            weakest: weakest.map(|(part, delivery)| WeakestPart {
                part: part.to_string(),
                reason: delivery.reason().to_owned(),
            }),
        });
    }

    /// Returns the number of paths from a stage to an end.
    fn count(&mut self, stage: &'g Stage) -> u64 {
        if let Some(count) = self.counts.get(&stage.key) {
            return *count;
        }
        let mut count = u64::from(self.ends_at(stage));
        for stream in written(stage) {
            count = count.saturating_add(u64::from(self.sends(stream).is_some()));
            for reader in self.readers.get(stream).cloned().unwrap_or_default() {
                count = count.saturating_add(self.count(reader));
            }
        }
        self.counts.insert(&stage.key, count);
        count
    }

    /// Returns whether a path ends at a stage: at a sink, or where no stage and no other node reads on.
    fn ends_at(&self, stage: &'g Stage) -> bool {
        let is_read = |stream: &&StreamName| {
            self.readers.contains_key(stream) || self.sends(stream).is_some()
        };
        matches!(stage.kind, StageKind::Sink { .. }) || !written(stage).iter().any(is_read)
    }

    /// Returns the link to other nodes, if they can read the stream.
    fn sends(&self, name: &StreamName) -> Option<Link<'g>> {
        let (name, stream) = self.graph.streams.get_key_value(name)?;
        let is_shared = stream.settings.scope == Scope::Network;
        is_shared.then(|| {
            let delivery = of_edge(stream, Ends::ToOtherNodes, self.graph.has_checkpoints());
            (PathPart::Stream(name), delivery)
        })
    }
}

/// Returns every part of the paths of a graph, with its class.
fn links(graph: &Graph) -> impl Iterator<Item = Link<'_>> {
    let has_checkpoints = graph.has_checkpoints();
    let stages = graph.stages();
    let stages = stages.map(move |stage| {
        (
            PathPart::Stage(&stage.key),
            of_stage(stage, has_checkpoints),
        )
    });
    let streams = graph.shared_streams().flat_map(move |(name, stream)| {
        let to = graph.writers(name).next().map(|_| Ends::ToOtherNodes);
        let from = graph.readers(name).next().map(|_| Ends::FromOtherNodes);
        let ends = to.into_iter().chain(from);
        ends.map(move |ends| {
            (
                PathPart::Stream(name),
                of_edge(stream, ends, has_checkpoints),
            )
        })
    });
    stages.chain(streams)
}
