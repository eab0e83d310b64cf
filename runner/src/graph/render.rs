//! Drawings of a graph: Mermaid for Markdown, DOT for Graphviz.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{Graph, Role, Scope, Stage, StageKey, StreamName};

impl Graph {
    /// Draws the graph in Mermaid: stages as boxes by role, streams as labels, the network as a cloud.
    pub fn to_mermaid(&self) -> String {
        let ids = self.picture_ids();
        let mut out = String::from("flowchart LR\n");
        // Writing to a string cannot fail, here and below.
        for stage in self.stages() {
            let name = &stage.key.name;
            let _ = match stage.key.role {
                Role::Producer => writeln!(out, "    {}([\"{name}\"])", ids[&stage.key]),
                Role::Operator => writeln!(out, "    {}[\"{name}\"]", ids[&stage.key]),
                Role::Consumer => writeln!(out, "    {}[/\"{name}\"/]", ids[&stage.key]),
            };
        }
        if self.is_networked() {
            let _ = writeln!(
                out,
                "    network{{{{\"{}\"}}}}",
                mermaid_text(&self.network_label())
            );
        }
        for line in self.lines() {
            let arrow = if line.shared { "-.->" } else { "-->" };
            let (from, to) = (end(&ids, line.from), end(&ids, line.to));
            let _ = writeln!(out, "    {from} {arrow}|\"{}\"| {to}", line.stream);
        }
        out
    }

    /// Draws the graph in DOT: stages as boxes by role, streams as labels, the network as a cloud.
    pub fn to_dot(&self) -> String {
        let ids = self.picture_ids();
        let mut out = String::from(
            "digraph mosaik {\n    rankdir=LR;\n    node [fontname=\"sans-serif\"];\n",
        );
        for stage in self.stages() {
            let shape = match stage.key.role {
                Role::Producer => "oval",
                Role::Operator => "box",
                Role::Consumer => "parallelogram",
            };
            let _ = writeln!(
                out,
                "    {} [label=\"{}\", shape={shape}];",
                ids[&stage.key], stage.key.name
            );
        }
        if self.is_networked() {
            let _ = writeln!(
                out,
                "    network [label=\"{}\", shape=hexagon];",
                dot_text(&self.network_label())
            );
        }
        for line in self.lines() {
            let style = if line.shared { ", style=dashed" } else { "" };
            let (from, to) = (end(&ids, line.from), end(&ids, line.to));
            let _ = writeln!(
                out,
                "    {from} -> {to} [label=\"{}\"{style}];",
                line.stream
            );
        }
        out.push_str("}\n");
        out
    }

    /// Returns identifiers that are valid in both languages: unlike a stage's name, they cannot be keywords.
    fn picture_ids(&self) -> BTreeMap<&StageKey, String> {
        self.stages()
            .enumerate()
            .map(|(number, stage)| (&stage.key, format!("s{number}")))
            .collect()
    }

    fn network_label(&self) -> String {
        self.network
            .as_ref()
            .map_or_else(String::new, |network| format!("network {network}"))
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let mut lines = BTreeSet::new();
        let graph = self.petgraph();
        for edge in graph.edge_indices() {
            if let Some((from, to)) = graph.edge_endpoints(edge) {
                let stream = &graph[edge];
                lines.insert(Line {
                    from: Some(&graph[from].key),
                    stream,
                    to: Some(&graph[to].key),
                    shared: self.shared(stream),
                });
            }
        }
        for stage in self.stages() {
            self.to_network(stage, &mut lines);
        }
        lines.into_iter().collect()
    }

    fn to_network<'a>(&'a self, stage: &'a Stage, lines: &mut BTreeSet<Line<'a>>) {
        for stream in stage.writes().filter(|stream| self.shared(stream)) {
            lines.insert(Line {
                from: Some(&stage.key),
                stream,
                to: None,
                shared: true,
            });
        }
        for edge in stage.edges().filter(|edge| self.shared(&edge.stream)) {
            lines.insert(Line {
                from: None,
                stream: &edge.stream,
                to: Some(&stage.key),
                shared: true,
            });
        }
    }

    fn shared(&self, stream: &StreamName) -> bool {
        self.streams
            .get(stream)
            .is_some_and(|config| config.settings.scope == Scope::Network)
    }
}

/// An arrow of the drawing. An end that is `None` is the network.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Line<'a> {
    from: Option<&'a StageKey>,
    stream: &'a StreamName,
    to: Option<&'a StageKey>,
    shared: bool,
}

fn end<'a>(ids: &'a BTreeMap<&StageKey, String>, stage: Option<&StageKey>) -> &'a str {
    stage
        .and_then(|stage| ids.get(stage))
        .map_or("network", String::as_str)
}

fn mermaid_text(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace(['\n', '\r'], " ")
}

fn dot_text(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace(['\n', '\r'], " ")
}
