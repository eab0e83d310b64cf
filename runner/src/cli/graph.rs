//! `mosaik-runner graph`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Exit, OutputArgs, load, print};

/// Draw the graph of a manifest as Mermaid or DOT.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mosaik-runner graph manifests/quickstart.yaml --format dot | dot -Tsvg > graph.svg"
)]
pub(super) struct GraphArgs {
    /// Manifest to draw.
    manifest: PathBuf,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Mermaid)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Mermaid, which GitHub renders.
    Mermaid,
    /// DOT, for Graphviz.
    Dot,
}

pub(super) fn run(args: &GraphArgs, output: OutputArgs) -> anyhow::Result<Exit> {
    let library = load::library()?;
    let Some(loaded) = load::graph(&args.manifest, &library, output)? else {
        return Ok(Exit::Mistakes);
    };
    print(&match args.format {
        Format::Mermaid => loaded.graph.to_mermaid(),
        Format::Dot => loaded.graph.to_dot(),
    })?;
    Ok(Exit::Success)
}
