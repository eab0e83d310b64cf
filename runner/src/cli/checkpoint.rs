//! `mosaik-runner checkpoint`.

use std::{fmt::Write as _, path::PathBuf, time::SystemTime};

use clap::{Args, Subcommand};

use super::{
    Exit, OutputArgs,
    control::{figures, node_name},
    harmless, load, print,
};
use crate::{
    checkpoint::{Image, InstanceImage, Ledger, StageImage},
    topology::{Settings, checkpoint_folder, state_folder},
};

/// Show, check or discard the checkpoint of a node that does not run.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mosaik-runner checkpoint show pipeline.yaml")]
pub(super) struct CheckpointArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the last checkpoint: the position of each source, the size of each state, and how much of each output is
    /// durable.
    Show {
        #[command(flatten)]
        of: Of,
        /// Print one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check the file of the checkpoints for damage.
    Check(Of),
    /// Discard the last checkpoint, as `up --fresh` does.
    Drop(Of),
}

#[derive(Debug, Args)]
struct Of {
    /// Manifest of the node.
    manifest: PathBuf,
    /// Name of the node, as given to `up --name`.
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    name: Option<String>,
}

pub(super) fn run(args: &CheckpointArgs, output: OutputArgs) -> anyhow::Result<Exit> {
    let (Verb::Show { of, .. } | Verb::Check(of) | Verb::Drop(of)) = &args.verb;
    let library = load::library()?;
    let Some(loaded) = load::graph(&of.manifest, &library, output)? else {
        return Ok(Exit::Mistakes);
    };
    let Some(config) = &loaded.graph.checkpoint else {
        anyhow::bail!("the manifest sets no `checkpoint`");
    };
    let settings = Settings {
        manifest: of.manifest.clone(),
        state_folder: state_folder(),
        fresh: false,
        name: of.name.clone(),
    };
    let folder = checkpoint_folder(config, &settings);
    let none = || format!("no checkpoint in {}\n", folder.display());
    let text = match args.verb {
        Verb::Show { json: true, .. } => match Ledger::read(&folder)? {
            Some(image) => serde_json::to_string(&described(&image))? + "\n",
            None => "null\n".to_owned(),
        },
        Verb::Show { .. } => Ledger::read(&folder)?.map_or_else(none, |image| shown(&image)),
        Verb::Check(_) => match Ledger::check(&folder)? {
            Some(image) => format!("checkpoint {} is intact\n", image.number),
            None => none(),
        },
        Verb::Drop(_) => match Ledger::read(&folder)? {
            Some(image) => {
                let (mut ledger, _) = Ledger::open(&folder)?;
                ledger.clear()?;
                format!("discarded checkpoint {}\n", image.number)
            }
            None => none(),
        },
    };
    print(&harmless(&text))?;
    Ok(Exit::Success)
}

fn shown(image: &Image) -> String {
    let age = SystemTime::now().duration_since(image.taken);
    let age = u64::try_from(age.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    let mut text = format!(
        "checkpoint {}, taken {} ago by process {}\n",
        image.number,
        figures::span(age),
        image.generation
    );
    let width = image.stages.keys().map(|stage| stage.as_str().len()).max();
    for (stage, image) in &image.stages {
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "  {:<1$}  {2}",
            stage.as_str(),
            width.unwrap_or(0),
            in_words(image)
        );
    }
    text
}

fn in_words(image: &StageImage) -> String {
    let ended = if image.is_ended() { ", ended" } else { "" };
    let what = match image {
        StageImage::Source { position: None, .. } => "cannot be read again".to_owned(),
        StageImage::Source {
            position: Some(position),
            sent: 0,
            ..
        } => position.to_string(),
        StageImage::Source {
            position: Some(position),
            sent,
            ..
        } => {
            format!("{sent} records after {position}")
        }
        StageImage::Operator { instances, .. } => {
            let entries: usize = instances
                .iter()
                .map(|instance| instance.entries.len())
                .sum();
            let s = if instances.len() == 1 { "" } else { "s" };
            format!(
                "{} instance{s}, {entries} entries, {} bytes",
                instances.len(),
                bytes(instances)
            )
        }
        StageImage::Log { position, .. } => format!("{position} records in its log"),
        StageImage::Sink { token: None, .. } => "cannot take back what it has written".to_owned(),
        StageImage::Sink {
            token: Some(token), ..
        } => token.to_string(),
    };
    what + ended
}

fn bytes(instances: &[InstanceImage]) -> usize {
    let entries = instances.iter().flat_map(|instance| &instance.entries);
    entries
        .map(|(key, value)| key.as_ref().map_or(0, Vec::len) + value.len())
        .sum()
}

/// Returns a checkpoint as JSON, with the size of each state instead of its content.
fn described(image: &Image) -> serde_json::Value {
    let stages = image.stages.iter().map(|(stage, image)| {
        let mut value = serde_json::to_value(image).unwrap_or_default();
        if let (StageImage::Operator { instances, .. }, Some(value)) =
            (image, value.as_object_mut())
        {
            value.insert("instances".to_owned(), instances.len().into());
            value.insert("state_bytes".to_owned(), bytes(instances).into());
        }
        (stage.as_str().to_owned(), value)
    });
    let taken = image
        .taken
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    serde_json::json!({
        "number": image.number,
        "process": image.generation,
        "taken_ms": u64::try_from(taken.as_millis()).unwrap_or(u64::MAX),
        "stages": stages.collect::<serde_json::Map<_, _>>(),
    })
}
