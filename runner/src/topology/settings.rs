//! What a node is started with besides its graph.

use std::path::PathBuf;

use crate::graph::Graph;

/// What a node needs to know besides its graph.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The manifest's path: a node without a key of its own is told from others by it.
    pub manifest: PathBuf,
    /// Where keys are kept.
    pub state_folder: PathBuf,
    /// The name that the node was started with, which goes before the one of its manifest.
    pub name: Option<String>,
}

impl Settings {
    /// What the node calls itself towards others.
    pub(super) fn shown_name<'a>(&'a self, graph: &'a Graph) -> Option<&'a str> {
        let in_manifest = graph.node.name.as_ref().map(|name| name.as_str());
        self.name.as_deref().or(in_manifest)
    }
}
