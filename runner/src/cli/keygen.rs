//! `mosaik-runner keygen`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use mosaik_streams::SecretKey;

use super::{Exit, print};
use crate::files;

/// Generate a secret key and print its peer id.
///
/// The key is the identity of a node; keep it secret. A manifest reads it from the environment or a file, as
/// `secret_key: ${env:MOSAIK_SECRET_KEY}` or `${file:node.key}`. Other nodes name the peer id under `bootstrap`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mosaik-runner keygen --out node.key\n  # peer_id: 8c1f…")]
pub(super) struct KeygenArgs {
    /// Write the key to a new file that only its owner can read. Default: print the key.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &KeygenArgs) -> anyhow::Result<Exit> {
    let key = SecretKey::generate();
    let hex = data_encoding::HEXLOWER.encode(&key.to_bytes());
    let peer_id = key.public();
    if let Some(path) = &args.out {
        files::create_private(path, format!("{hex}\n").as_bytes())
            .with_context(|| format!("cannot create {}", path.display()))?;
        print(&format!("peer_id: {peer_id:?}\n"))?;
    } else {
        print(&format!("secret_key: {hex}\npeer_id: {peer_id:?}\n"))?;
    }
    Ok(Exit::Success)
}
