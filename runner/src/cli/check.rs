//! `mosaik-runner check`.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, OutputArgs, load};

/// Validate a manifest and report every error and warning. Runs nothing.
///
/// Operators are compiled, asked for their ports and opened with what they are allowed, to see whether they take their
/// configuration. The runner itself writes no file but its cache, and opens no socket. Errors and warnings go
/// to stderr, each with its place underlined. A warning names a setting that loses or mixes records; it does not change the
/// exit code.
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
