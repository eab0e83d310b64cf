//! `mosaik-runner plan`.

use std::{fmt::Write as _, path::PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::{NodeArgs, args::node_name};
use crate::{
    cli::{Exit, harmless, print, print_stderr},
    control::{Address, Answer, AskError, Request, find},
    graph::{PathDelivery, Step},
};

/// Show the steps of a running node to switch to a manifest. Changes nothing.
///
/// The delivery class of each path follows where it changes.
///
/// Without `--name`, the plan is for the node that runs the same file, or else for the only node of this machine.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mosaik-runner plan pipeline.yaml\n  mosaik-runner plan next.yaml --name prod"
)]
pub(in crate::cli) struct PlanArgs {
    /// Manifest to switch to.
    manifest: PathBuf,
    /// Name of the node, from `up --name`.
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    name: Option<String>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(args: &PlanArgs) -> anyhow::Result<Exit> {
    let by_name = || NodeArgs::only(args.name.clone()).find();
    let mut found = if args.name.is_some() {
        by_name()?
    } else {
        match find(Some(&Address::of_manifest(&args.manifest))) {
            // No node runs this file, so the request is for the only node.
            Err(AskError::NoNode { .. }) => by_name()?,
            found => found?,
        }
    };
    let path = std::path::absolute(&args.manifest).context("no such manifest")?;
    let (steps, delivery) = match found.client.ask(&Request::Plan { path }) {
        Ok(Answer::Plan {
            steps,
            delivery,
            warnings,
        }) => {
            if !warnings.is_empty() {
                print_stderr(harmless(&warnings).trim_end());
            }
            (steps, delivery)
        }
        Ok(_) => return Err(AskError::Unexpected.into()),
        Err(AskError::Refused(mistakes)) => {
            print_stderr(&harmless(&mistakes));
            return Ok(Exit::Mistakes);
        }
        Err(error) => return Err(error.into()),
    };
    let text = if args.json {
        serde_json::to_string(&steps)? + "\n"
    } else {
        harmless(&shown(&steps, &delivery))
    };
    print(&text)?;
    Ok(Exit::Success)
}

fn shown(steps: &[Step], delivery: &[PathDelivery]) -> String {
    if steps.iter().all(Step::is_keep) {
        return "nothing changes\n".to_owned();
    }
    let lines: Vec<_> = steps.iter().map(|step| format!("{step:8}")).collect();
    let mut text = lines.join("\n") + "\n";
    for path in delivery {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "delivery {path}");
    }
    if steps.iter().any(Step::is_restart) {
        text.push_str("a reload refuses this, unless the node was started with --allow-restart\n");
    }
    text
}
