//! Writes a checkpoint to a portable file, and reads one.

use std::{fs, io, path::Path};

use anyhow::Context as _;

use super::target::Target;
use crate::{
    checkpoint::{Image, Ledger},
    cli::control::figures::bytes,
    files,
};

/// Writes a checkpoint to a file that does not exist yet.
///
/// # Errors
/// The file exists or cannot be written.
pub(super) fn export(image: &Image, file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let content = image.to_portable().context("the checkpoint")?;
    files::create_private(file, &content).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow::anyhow!("{shown} exists: name a new file"),
        _ => anyhow::Error::new(error).context(format!("cannot write {shown}")),
    })?;
    Ok(format!(
        "exported checkpoint {} to {shown}, {}\n",
        image.number,
        bytes(content.len() as u64)
    ))
}

/// Makes an exported checkpoint the last one of a node.
///
/// # Errors
/// The file is not a checkpoint of this manifest, the node runs, or it has a checkpoint and `replace` is not set.
pub(super) fn import(target: &Target, file: &Path, replace: bool) -> anyhow::Result<String> {
    let shown = file.display();
    let content = fs::read(file).with_context(|| format!("cannot read {shown}"))?;
    let image = Image::from_portable(&content)
        .map_err(|error| anyhow::anyhow!("cannot import {shown}: {error}"))?;
    if !target.has_any(image.stages.keys()) {
        anyhow::bail!("cannot import {shown}: none of its stages is in the manifest");
    }
    let opened = Ledger::open(target.folder());
    let (mut ledger, last) = opened.map_err(|error| target.named(error))?;
    let replaced = match last {
        Some(last) if !replace => anyhow::bail!(
            "the node has checkpoint {} already: `--replace` replaces it",
            last.number
        ),
        Some(last) => format!(" in place of checkpoint {}", last.number),
        None => String::new(),
    };
    ledger.import(&image).map_err(|error| target.named(error))?;
    Ok(format!("imported checkpoint {}{replaced}\n", image.number))
}
