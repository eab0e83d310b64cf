//! `mosaik-runner down`.

use clap::Args;

use super::NodeArgs;
use crate::{
    cli::Exit,
    control::{AskError, Request},
};

/// Stop a running node as Ctrl-C does, and wait for its exit.
///
/// The node stops reading, processes what is in flight within 30 s, and exits with 0, or with 5 if records were lost. `down`
/// itself exits with 0 in either case.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mosaik-runner down pipeline.yaml")]
pub(in crate::cli) struct DownArgs {
    #[command(flatten)]
    node: NodeArgs,
}

pub(in crate::cli) fn run(args: &DownArgs) -> anyhow::Result<Exit> {
    let mut found = args.node.find()?;
    // The connection lasts as long as the node, which may end before it can answer.
    let ordered = found.client.ask(&Request::Down);
    match ordered.and_then(|_| found.client.more()) {
        Err(AskError::Gone) => Ok(Exit::Success),
        Err(error) => Err(error.into()),
        Ok(_) => Err(AskError::Unexpected.into()),
    }
}
