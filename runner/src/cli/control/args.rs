//! Command-line arguments that select a node.

use std::path::PathBuf;

use clap::Args;

use crate::{
    control::{Address, AskError, Found, find},
    declare::is_name,
};

/// Selects a node by its manifest or name. With one node on the machine, neither is required.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct NodeArgs {
    /// Manifest that the node runs. Default: the only node of this machine.
    #[arg(value_name = "MANIFEST")]
    manifest: Option<PathBuf>,
    /// Name of the node, from `up --name`.
    #[arg(long, value_name = "NAME", conflicts_with = "manifest", value_parser = node_name)]
    name: Option<String>,
}

impl NodeArgs {
    /// Selects the node with this name, or the only node of this machine.
    pub(in crate::cli) const fn only(name: Option<String>) -> Self {
        Self {
            manifest: None,
            name,
        }
    }

    /// Connects to the selected node.
    pub(in crate::cli) fn find(&self) -> Result<Found, AskError> {
        let address = match (&self.name, &self.manifest) {
            (Some(name), _) => Some(Address::of_name(name)),
            (None, Some(manifest)) => Some(Address::of_manifest(manifest)),
            (None, None) => None,
        };
        find(address.as_ref())
    }
}

/// Parses a name for a node on this machine.
pub(in crate::cli) fn node_name(text: &str) -> Result<String, String> {
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        Err("expected letters, digits, `_`, `-` and `.`, the first a letter or digit, as in the names of stages".to_owned())
    }
}
