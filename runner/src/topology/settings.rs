//! The settings of a node that are not part of its graph.

use std::path::PathBuf;

use crate::graph::Graph;

/// The settings of a node that are not part of its graph.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The path of the manifest. It identifies a node that has no key of its own.
    pub manifest: PathBuf,
    /// The folder in which keys are kept.
    pub state_folder: PathBuf,
    /// True if the node starts without its last checkpoint, which is discarded.
    pub fresh: bool,
    /// The name given at start. It takes precedence over the name in the manifest.
    pub name: Option<String>,
}

impl Settings {
    /// Returns the name that the node shows to other nodes.
    pub(super) fn shown_name<'a>(&'a self, graph: &'a Graph) -> Option<&'a str> {
        let in_manifest = graph.node.name.as_ref().map(|name| name.as_str());
        self.name.as_deref().or(in_manifest)
    }
}
