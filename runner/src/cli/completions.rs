//! `mosaik-runner completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Exit, print};

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mosaik-runner completions bash > ~/.local/share/bash-completion/completions/mosaik-runner"
)]
pub(super) struct CompletionsArgs {
    /// Shell to print completions for.
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut Cli::command(),
        "mosaik-runner",
        &mut script,
    );
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}
