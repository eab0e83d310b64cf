//! `mosaik-runner keygen`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use mosaik_streams::SecretKey;

use super::{Exit, print};
use crate::files;

/// Generate a secret key, and print the peer id that goes with it.
///
/// The key identifies a node: a process that has it is that node. Give it to a manifest through the environment or a file, as
/// `secret_key: ${env:MOSAIK_SECRET_KEY}` or `${file:node.key}`; give the peer id to nodes that bootstrap from this one.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mosaik-runner keygen --out node.key\n  # peer_id: 8c1f…")]
pub(super) struct KeygenArgs {
    /// New file to write the key to, which only its owner can read. Default: the key is printed.
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
