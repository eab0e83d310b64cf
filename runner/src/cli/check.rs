//! `mosaik-runner check`.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, OutputArgs, harmless, load, print};

/// Validate a manifest and report every error and warning. Runs nothing.
///
/// Each operator is compiled and opened with its configuration and grants. The runner itself opens no socket and writes
/// only its cache. Errors and warnings go to stderr, each with the source line underlined. A warning names a setting that
/// loses or mixes records, and does not change the exit code.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mosaik-runner check manifests/quickstart.yaml && echo valid")]
pub(super) struct CheckArgs {
    /// Manifest to check.
    manifest: PathBuf,
    /// Print the delivery class of each path from a source to a sink, and the part that it comes from.
    #[arg(long)]
    delivery: bool,
    /// Print the delivery classes as one line of JSON.
    #[arg(long, requires = "delivery")]
    json: bool,
}

pub(super) fn run(args: &CheckArgs, output: OutputArgs) -> anyhow::Result<Exit> {
    let library = load::library()?;
    let Some(loaded) = load::graph(&args.manifest, &library, output)? else {
        return Ok(Exit::Mistakes);
    };
    if args.delivery {
        let found = loaded.graph.deliveries();
        let text = if args.json {
            serde_json::to_string(&found)? + "\n"
        } else {
            harmless(&found.to_string())
        };
        print(&text)?;
    }
    Ok(Exit::Success)
}
