//! `mosaik-runner new`: creates initial files that run without changes.

mod names;
mod operator;
mod pipeline;
mod sdk;

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::Exit;

/// The schema of manifests, placed next to every manifest that refers to it.
const SCHEMA: &str = "mosaik.schema.json";

/// Create a new operator or pipeline from a template.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mosaik-runner new operator hello\n  mosaik-runner build hello\n  mosaik-runner up hello/manifest.yaml"
)]
pub(super) struct NewArgs {
    #[command(subcommand)]
    template: Template,
}

#[derive(Debug, Subcommand)]
enum Template {
    Operator(operator::OperatorArgs),
    Pipeline(pipeline::PipelineArgs),
}

pub(super) fn run(args: &NewArgs) -> anyhow::Result<Exit> {
    match &args.template {
        Template::Operator(args) => operator::run(args),
        Template::Pipeline(args) => pipeline::run(args),
    }
}

/// Replaces each `{{name}}` in a template.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    text
}

/// Writes a file that does not exist yet.
fn create(path: &Path, text: &str) -> anyhow::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot create {}", path.display()))
}

/// Creates the parent folder of `path`, including missing folders above it.
fn create_parent(path: &Path) -> anyhow::Result<()> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{create, fill};

    #[test]
    fn an_existing_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        create(&path, "1").unwrap();
        let refused = create(&path, "2").unwrap_err().to_string();
        assert_eq!(refused, format!("cannot create {}", path.display()));
        assert_eq!(std::fs::read(path).unwrap(), b"1");
    }

    #[test]
    fn only_known_placeholders_are_replaced() {
        assert_eq!(
            fill("{{a}} {b} {{a}}{{c}}", &[("a", "1"), ("b", "2")]),
            "1 {b} 1{{c}}"
        );
    }
}
