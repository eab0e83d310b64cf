//! [`Target`]: the folder of checkpoints that a command is about.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    checkpoint::{LedgerError, StageId},
    cli::{OutputArgs, control::node_name, load},
    topology::{Settings, checkpoint_folder, state_folder},
};

#[derive(Debug, Args)]
pub(super) struct Of {
    /// Manifest of the node, or a folder from `checkpoint list`.
    manifest: PathBuf,
    /// Name of the node, as given to `up --name`.
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    name: Option<String>,
}

/// A folder of checkpoints.
pub(super) struct Target {
    folder: PathBuf,
    /// The arguments that name its node to other commands; `None` if they are unknown.
    node: Option<String>,
    /// The stages of its manifest; `None` if it is unknown.
    stages: Option<Vec<StageId>>,
}

impl Of {
    /// Returns the folder; `None` if the manifest has mistakes, which are reported.
    ///
    /// # Errors
    /// The manifest has no checkpoints.
    pub(super) fn target(&self, output: OutputArgs) -> anyhow::Result<Option<Target>> {
        if self.manifest.is_dir() {
            return Ok(Some(Target {
                folder: self.manifest.clone(),
                node: None,
                stages: None,
            }));
        }
        let library = load::library()?;
        let Some(loaded) = load::graph(&self.manifest, &library, output)? else {
            return Ok(None);
        };
        let Some(config) = &loaded.graph.checkpoint else {
            anyhow::bail!("the manifest sets no `checkpoint`");
        };
        let settings = Settings {
            manifest: self.manifest.clone(),
            state_folder: state_folder(),
            fresh: false,
            name: self.name.clone(),
        };
        let stages = loaded.graph.stages();
        let stages = stages.map(|stage| StageId::new(stage.key.to_string()));
        Ok(Some(Target {
            folder: checkpoint_folder(config, &settings),
            node: Some(match &self.name {
                Some(name) => format!("--name {name}"),
                None => self.manifest.display().to_string(),
            }),
            stages: Some(stages.collect()),
        }))
    }
}

impl Target {
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns whether the manifest has one of these stages. Also true if the manifest is unknown.
    pub(super) fn has_any<'a>(&self, mut stages: impl Iterator<Item = &'a StageId>) -> bool {
        let Some(own) = &self.stages else { return true };
        stages.any(|stage| own.contains(stage))
    }

    /// Names the node in an error: one that runs has its checkpoints open.
    pub(super) fn named(&self, error: LedgerError) -> anyhow::Error {
        let LedgerError::InUse { folder } = &error else {
            return error.into();
        };
        match &self.node {
            Some(node) => anyhow::anyhow!(
                "the node runs and uses its checkpoints: stop it with `mosaik-runner down {node}`; \
                 `mosaik-runner status {node}` shows the last one"
            ),
            None => anyhow::anyhow!(
                "a node that runs uses the checkpoints in {}: stop it first",
                folder.display()
            ),
        }
    }
}
