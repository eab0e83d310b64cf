//! `mosaik-runner check`.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, OutputArgs, load};

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
}

pub(super) fn run(args: &CheckArgs, output: OutputArgs) -> anyhow::Result<Exit> {
    let library = load::library()?;
    Ok(match load::graph(&args.manifest, &library, output)? {
        Some(_) => Exit::Success,
        None => Exit::Mistakes,
    })
}
