//! `mosaik-runner new operator`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;

use super::{SCHEMA, create, create_parent, fill, names::Named, sdk::Sdk};
use crate::cli::{Exit, print, schema};

/// Create a crate with an operator in Rust, a test, and a manifest that runs it.
///
/// The crate is complete: `cargo test` passes, `mosaik-runner build` builds it, and `mosaik-runner up` runs its
/// manifest on ten generated records.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mosaik-runner new operator hello\n  mosaik-runner build hello\n  mosaik-runner up hello/manifest.yaml"
)]
pub(super) struct OperatorArgs {
    /// Name of the operator and its folder, or a path that ends in the name.
    #[arg(value_parser = Named::operator)]
    name: Named,
    /// Create an operator with state, which survives a replacement of its code in a running node.
    #[arg(long)]
    stateful: bool,
    /// Folder of the mosaik-wasm-sdk to build the crate with. Default: the SDK in the source tree of this runner, or
    /// else in crates.io.
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

/// The texts that differ between the kinds of operators.
struct Kind {
    code: &'static str,
    /// The operator's function, as a sentence.
    does: &'static str,
    /// The first record of its output.
    sample: &'static str,
    config: &'static str,
    /// The effect on its state when it is rebuilt while it runs.
    keeps: &'static str,
}

const FUNCTION: Kind = Kind {
    code: include_str!("../../../templates/operator/function.rs"),
    does: "Reports readings above a limit.",
    sample: r#"{"seq":0,"message":"0.535 is above 0.5"}"#,
    config: "{above: 0.5}",
    keeps: "",
};

const STATEFUL: Kind = Kind {
    code: include_str!("../../../templates/operator/stateful.rs"),
    does: "The highest of the last few readings.",
    sample: r#"{"seq":0,"high":0.535}"#,
    config: "{last: 3}",
    keeps: ", and continues with its state",
};

pub(super) fn run(args: &OperatorArgs) -> anyhow::Result<Exit> {
    let sdk = Sdk::find(args.sdk.as_deref())?;
    let kind = if args.stateful { &STATEFUL } else { &FUNCTION };
    let folder = &args.name.path;
    create_parent(folder)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} already exists", folder.display())
        }
        made => made.with_context(|| format!("cannot create {}", folder.display()))?,
    }
    if let Err(error) = write(&args.name, kind, &sdk) {
        // This command has just created the folder.
        let _ = fs::remove_dir_all(folder);
        return Err(error);
    }
    print(&next(folder, &sdk))?;
    Ok(Exit::Success)
}

fn write(named: &Named, kind: &Kind, sdk: &Sdk) -> anyhow::Result<()> {
    let folder = &named.path;
    let absolute =
        fs::canonicalize(folder).with_context(|| format!("cannot find {}", folder.display()))?;
    let files = files(named, kind, &sdk.dependency(&absolute)?);
    let source = folder.join("src");
    fs::create_dir(&source).with_context(|| format!("cannot create {}", source.display()))?;
    for (name, text) in &files {
        create(&folder.join(name), text)?;
    }
    Ok(())
}

/// Returns the files of the crate, with their paths in it.
fn files(named: &Named, kind: &Kind, sdk: &str) -> [(&'static str, String); 6] {
    let wasm = format!(
        "target/wasm32-unknown-unknown/release/{}.wasm",
        named.module()
    );
    let values = [
        ("name", named.name.as_str()),
        ("wasm", &wasm),
        ("sdk", sdk),
        ("does", kind.does),
        ("sample", kind.sample),
        ("config", kind.config),
        ("keeps", kind.keeps),
    ];
    let filled = |template: &str| fill(template, &values);
    [
        (
            "Cargo.toml",
            filled(include_str!("../../../templates/operator/Cargo.toml.in")),
        ),
        (
            ".gitignore",
            filled(include_str!("../../../templates/operator/gitignore")),
        ),
        (
            "README.md",
            filled(include_str!("../../../templates/operator/README.md")),
        ),
        (
            "manifest.yaml",
            filled(include_str!("../../../templates/operator/manifest.yaml")),
        ),
        (SCHEMA, schema::text()),
        ("src/lib.rs", filled(kind.code)),
    ]
}

/// Formats a summary of the created files and the next commands.
fn next(folder: &Path, sdk: &Sdk) -> String {
    let shown = folder.display();
    let manifest = folder.join("manifest.yaml");
    let source = folder.join("src/lib.rs");
    format!(
        "made {shown}, built with {sdk}\n\
         \n\
         what it does is in {source}; next:\n\
         \n  \
           mosaik-runner build {shown}\n  \
           mosaik-runner up {manifest}\n",
        source = source.display(),
        manifest = manifest.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_remains_in_the_templates() {
        let named = Named::operator("price-spread").unwrap();
        for kind in [&FUNCTION, &STATEFUL] {
            for (name, text) in files(&named, kind, "\"0.1.0\"") {
                assert!(!text.contains("{{"), "{name}: {text}");
                assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{name}");
            }
        }
    }
}
