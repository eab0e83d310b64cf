//! Cycles: stages that read their own output, directly or through other stages.

use std::collections::{BTreeMap, VecDeque};

use petgraph::{
    algo::kosaraju_scc,
    graph::{DiGraph, NodeIndex},
};

use super::{StageKey, streams::Uses};
use crate::declare::{Diagnostic, Span, StreamName};

/// A stage or a stream. With both as vertices, the graph has one edge per use of a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Vertex {
    Stage(StageKey),
    Stream(StreamName),
}

impl Vertex {
    fn name(&self) -> &str {
        match self {
            Self::Stage(key) => key.name.as_str(),
            Self::Stream(name) => name.as_str(),
        }
    }
}

/// Reports every cycle with all of its members, once for each group of stages on common cycles.
pub(super) fn check(uses: &Uses, found: &mut Vec<Diagnostic>) {
    let mut graph: DiGraph<Vertex, Span> = DiGraph::new();
    let mut index: BTreeMap<Vertex, NodeIndex> = BTreeMap::new();
    let mut vertex = |graph: &mut DiGraph<Vertex, Span>, vertex: Vertex| {
        *index
            .entry(vertex.clone())
            .or_insert_with(|| graph.add_node(vertex))
    };
    for (stage, stream) in &uses.reads {
        let from = vertex(&mut graph, Vertex::Stream(stream.value.clone()));
        let to = vertex(&mut graph, Vertex::Stage(stage.clone()));
        graph.add_edge(from, to, stream.span);
    }
    for (stage, stream) in &uses.writes {
        let from = vertex(&mut graph, Vertex::Stage(stage.clone()));
        let to = vertex(&mut graph, Vertex::Stream(stream.value.clone()));
        graph.add_edge(from, to, stream.span);
    }
    for component in kosaraju_scc(&graph) {
        let stages = component
            .iter()
            .copied()
            .filter(|index| matches!(graph[*index], Vertex::Stage(_)));
        if component.len() > 1
            && let Some(start) = stages.min_by(|a, b| graph[*a].cmp(&graph[*b]))
            && let Some(path) = round_trip(&graph, start)
        {
            found.push(describe(&graph, &path));
        }
    }
}

/// Returns the shortest path from a vertex back to itself, including both ends.
fn round_trip(graph: &DiGraph<Vertex, Span>, start: NodeIndex) -> Option<Vec<NodeIndex>> {
    let mut came_from: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(here) = queue.pop_front() {
        for next in graph.neighbors(here) {
            if next == start {
                let mut path = vec![start, here];
                while let Some(before) = path.last().and_then(|last| came_from.get(last)) {
                    path.push(*before);
                }
                path.reverse();
                // A stage that reads its own output appears once as its own predecessor.
                return Some(path);
            }
            came_from.entry(next).or_insert_with(|| {
                queue.push_back(next);
                here
            });
        }
    }
    None
}

fn describe(graph: &DiGraph<Vertex, Span>, path: &[NodeIndex]) -> Diagnostic {
    const MAX_PLACES: usize = 8;
    let names: Vec<&str> = path.iter().map(|index| graph[*index].name()).collect();
    let steps: Vec<_> = path
        .windows(2)
        .filter_map(|pair| {
            let [from, to] = pair else { return None };
            let span = *graph.edge_weight(graph.find_edge(*from, *to)?)?;
            let label = match (&graph[*from], &graph[*to]) {
                (Vertex::Stage(stage), Vertex::Stream(stream)) => {
                    format!("{stage} writes `{stream}`")
                }
                (Vertex::Stream(stream), Vertex::Stage(stage)) => {
                    format!("{stage} reads `{stream}`")
                }
                _ => String::new(),
            };
            Some((span, label))
        })
        .collect();
    let mut found = Diagnostic::error(format!("a cycle: {}", names.join(" → ")));
    for (number, (span, label)) in steps.into_iter().take(MAX_PLACES).enumerate() {
        found = if number == 0 {
            found.at(span, label)
        } else {
            found.also(span, label)
        };
    }
    found.help("a stage cannot read its own output; break the cycle at one of these places")
}
