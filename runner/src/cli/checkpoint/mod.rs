//! `mosaik-runner checkpoint`.

mod list;
mod repair;
mod show;
mod target;
mod transfer;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use self::target::{Of, Target};
use super::{Exit, OutputArgs, harmless, print};
use crate::checkpoint::{Discarded, Ledger, LedgerError};

/// List, show, check, mend, move or discard the checkpoints of nodes that do not run.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mosaik-runner checkpoint show pipeline.yaml\n  mosaik-runner checkpoint export pipeline.yaml before-upgrade.checkpoint"
)]
pub(super) struct CheckpointArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the checkpoints in the state folder, with the manifest of each.
    List {
        /// Print one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the last checkpoint: the position of each source, the size of each state, and how much of each output is
    /// durable.
    Show {
        #[command(flatten)]
        of: Of,
        /// Print one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check the file of the checkpoints for damage. Changes nothing.
    Check(Of),
    /// Show what of a damaged file can be mended, and mend it with `--yes`.
    ///
    /// An operator whose state cannot be read starts with empty state afterwards.
    Repair {
        #[command(flatten)]
        of: Of,
        /// Mend the file, after a copy of it is made.
        #[arg(long)]
        yes: bool,
    },
    /// Write the last checkpoint to one file that another machine can read.
    ///
    /// The files that sources read and sinks write are not part of it.
    Export {
        #[command(flatten)]
        of: Of,
        /// File to create.
        file: PathBuf,
    },
    /// Make an exported checkpoint the last one. The next `up` goes on from it.
    Import {
        #[command(flatten)]
        of: Of,
        /// File from `checkpoint export`.
        file: PathBuf,
        /// Replace the last checkpoint, if there is one.
        #[arg(long)]
        replace: bool,
    },
    /// Discard the last checkpoint, as `up --fresh` does.
    Drop(Of),
}

pub(super) fn run(args: &CheckpointArgs, output: OutputArgs) -> anyhow::Result<Exit> {
    let of = match &args.verb {
        Verb::List { json } => {
            print(&harmless(&list::run(*json)?))?;
            return Ok(Exit::Success);
        }
        Verb::Show { of, .. }
        | Verb::Check(of)
        | Verb::Repair { of, .. }
        | Verb::Export { of, .. }
        | Verb::Import { of, .. }
        | Verb::Drop(of) => of,
    };
    let Some(target) = of.target(output)? else {
        return Ok(Exit::Mistakes);
    };
    let text = text_of(&args.verb, &target)?;
    print(&harmless(&text))?;
    Ok(Exit::Success)
}

/// Runs a verb, and returns its output.
fn text_of(verb: &Verb, target: &Target) -> anyhow::Result<String> {
    let folder = target.folder();
    let named = |error: LedgerError| target.named(error);
    let none = || format!("no checkpoint in {}\n", folder.display());
    Ok(match verb {
        Verb::List { .. } => String::new(),
        Verb::Show { json: true, .. } => match Ledger::read(folder).map_err(named)? {
            Some(image) => serde_json::to_string(&show::described(&image))? + "\n",
            None => "null\n".to_owned(),
        },
        Verb::Show { .. } => {
            let image = Ledger::read(folder).map_err(named)?;
            image.map_or_else(none, |image| show::shown(&image))
        }
        Verb::Check(_) => match Ledger::check(folder).map_err(named)? {
            Some(image) => format!("checkpoint {} is intact\n", image.number),
            None => none(),
        },
        Verb::Repair { yes: false, .. } => {
            let survey = Ledger::survey(folder).map_err(named)?;
            survey.map_or_else(none, |survey| repair::planned(&survey))
        }
        Verb::Repair { .. } => {
            let repaired = Ledger::repair(folder).map_err(named)?;
            repaired.map_or_else(none, |(survey, copy)| {
                repair::done(&survey, copy.as_deref())
            })
        }
        Verb::Export { file, .. } => match Ledger::read(folder).map_err(named)? {
            Some(image) => transfer::export(&image, file)?,
            None => anyhow::bail!("{}", none().trim_end()),
        },
        Verb::Import { file, replace, .. } => transfer::import(target, file, *replace)?,
        Verb::Drop(_) => match Ledger::discard(folder).map_err(named)? {
            Discarded::Nothing => none(),
            Discarded::Checkpoint(number) => format!("discarded checkpoint {number}\n"),
            Discarded::Unreadable { renamed, reason } => {
                format!("renamed to {}: {reason}\n", renamed.display())
            }
        },
    })
}
