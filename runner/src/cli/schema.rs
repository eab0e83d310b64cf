//! `mosaik-runner schema`.

use clap::Args;

use super::{Exit, print};

/// Print the JSON Schema of manifests, for editors.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mosaik-runner schema > mosaik.schema.json\n  # then, as the first line of a manifest:\n  # yaml-language-server: $schema=mosaik.schema.json"
)]
pub(super) struct SchemaArgs {}

pub(super) fn run(_: &SchemaArgs) -> anyhow::Result<Exit> {
    print(&text())?;
    Ok(Exit::Success)
}

/// Returns the contents of a schema file.
pub(super) fn text() -> String {
    format!("{:#}\n", crate::manifest::schema())
}
