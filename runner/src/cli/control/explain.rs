//! `mosaik-runner explain`.

use clap::Args;

use super::NodeArgs;
use crate::{
    cli::{Exit, harmless, print},
    control::{Answer, AskError, Request},
};

/// Explain why nothing flows on a stream of a running node: missing peers, refusals, and the next retry.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mosaik-runner explain prices pipeline.yaml")]
pub(in crate::cli) struct ExplainArgs {
    /// Name of the stream in the manifest.
    stream: String,
    #[command(flatten)]
    node: NodeArgs,
}

pub(in crate::cli) fn run(args: &ExplainArgs) -> anyhow::Result<Exit> {
    let mut found = args.node.find()?;
    let stream = args.stream.clone();
    let Answer::Explained { lines } = found.client.ask(&Request::Explain { stream })? else {
        return Err(AskError::Unexpected.into());
    };
    let text = format!("stream {}\n  {}\n", args.stream, lines.join("\n  "));
    print(&harmless(&text))?;
    Ok(Exit::Success)
}
