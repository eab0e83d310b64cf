//! Real Mosaik and Zenoh nodes, from the workspace in `bench/peers`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{measure::Result, process::Process};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Returns the directory of the built programs: below the target directory of this program, so that one directory holds
/// all.
fn target() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let target = here
        .ancestors()
        .nth(2)
        .ok_or("a program lies in a target folder")?;
    Ok(target.join("peers"))
}

/// Builds them, which takes minutes the first time.
pub(crate) fn build() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(workspace().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target()?)
        .status()?;
    if !status.success() {
        return Err("the peers could not be built".into());
    }
    Ok(())
}

fn peer(program: &str, args: &[&str]) -> Result<Process> {
    let mut command = Command::new(target()?.join("release").join(program));
    command.args(args).env("RUST_LOG", "off");
    Process::start(command)
}

/// A Zenoh process.
pub(crate) fn zenoh(args: &[&str]) -> Result<Process> {
    peer("zenoh-peer", args)
}

/// A Mosaik process.
pub(crate) fn mosaik(args: &[&str]) -> Result<Process> {
    peer("mosaik-peer", args)
}

/// The relay that a Mosaik node requires at start.
pub(crate) struct Relay {
    _process: Process,
    url: String,
}

impl Relay {
    pub(crate) fn start() -> Result<Self> {
        let mut process = mosaik(&["relay"])?;
        let url = process.says("ready")?;
        Ok(Self {
            _process: process,
            url,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
