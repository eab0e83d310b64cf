//! `mosaik-runner reload`.

use clap::Args;

use super::NodeArgs;
use crate::{
    cli::{Exit, harmless, print, print_stderr},
    control::{Answer, AskError, Request},
    topology::report::Outcome,
};

/// Reload the manifest of a running node, and wait for the result.
///
/// A node reloads automatically when a file changes, unless it was started with --no-watch.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mosaik-runner reload pipeline.yaml && echo done")]
pub(in crate::cli) struct ReloadArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(args: &ReloadArgs) -> anyhow::Result<Exit> {
    let mut found = args.node.find()?;
    let Answer::Reloaded(reload) = found.client.ask(&Request::Reload)? else {
        return Err(AskError::Unexpected.into());
    };
    if args.json {
        print(&(serde_json::to_string(&reload)? + "\n"))?;
    }
    let text = harmless(&reload.text);
    Ok(match reload.outcome {
        Outcome::Applied | Outcome::Unchanged => {
            if !args.json {
                print(&format!("{text}\n"))?;
            }
            Exit::Success
        }
        Outcome::Refused => {
            print_stderr(&text);
            Exit::Mistakes
        }
        Outcome::Incomplete => {
            print_stderr(&text);
            Exit::Failed
        }
    })
}
