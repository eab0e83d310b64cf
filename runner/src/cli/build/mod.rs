//! `mosaik-runner build`: runs cargo with a Rust toolchain of this machine that can build WebAssembly.

mod artifact;
mod toolchain;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use super::{Exit, OutputArgs, print};
use toolchain::{TARGET, Toolchain};

/// Build an operator in Rust and print the path of its component.
///
/// Runs `cargo build --target wasm32-unknown-unknown --release` in DIR, with the current Rust toolchain if it has the
/// target, or else with Debian's rustc-web and rust-web-src, which also build the standard library. The result is in
/// DIR/target/wasm32-unknown-unknown/release, even if cargo uses another target folder.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mosaik-runner build hello\n  # wasm: hello/target/wasm32-unknown-unknown/release/hello.wasm\n  mosaik-runner build hello -- --locked"
)]
pub(super) struct BuildArgs {
    /// Folder of the operator's crate.
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Further arguments for cargo.
    #[arg(last = true, value_name = "CARGO ARGUMENTS")]
    cargo: Vec<OsString>,
}

pub(super) fn run(args: &BuildArgs, output: OutputArgs) -> anyhow::Result<Exit> {
    let folder = &args.folder;
    ensure!(
        folder.join("Cargo.toml").is_file(),
        "there is no Cargo.toml in {}",
        folder.display()
    );
    let toolchain = Toolchain::find(folder)?;
    let mut cargo = Command::new(program("CARGO", "cargo"));
    cargo
        .current_dir(folder)
        .args(["build", "--release", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics");
    if output.quiet {
        cargo.arg("--quiet");
    }
    toolchain.apply(&mut cargo);
    cargo
        .args(&args.cargo)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = cargo.spawn().context("cannot run cargo")?;
    let messages = child.stdout.take().context("cargo has no output")?;
    let built = artifact::of(messages, &folder.join("Cargo.toml"));
    // Cargo has already printed the reason.
    ensure!(child.wait()?.success(), "cargo failed to build it");
    let Some(built) = built.context("cannot read the messages of cargo")? else {
        bail!(
            "the build produced no WebAssembly: its Cargo.toml needs\n  [lib]\n  crate-type = [\"cdylib\", \"rlib\"]"
        )
    };
    let placed = artifact::place(&built, folder)?;
    print(&report(&placed)?)?;
    Ok(Exit::Success)
}

/// Returns the program named by an environment variable; otherwise a name to look up in `PATH`.
fn program(variable: &str, name: &str) -> OsString {
    std::env::var_os(variable)
        .filter(|program| !program.is_empty())
        .unwrap_or_else(|| name.into())
}

/// Formats the `wasm` entry for a manifest, and the size of the file.
fn report(wasm: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(wasm).with_context(|| format!("cannot read {}", wasm.display()))?;
    Ok(format!(
        "wasm: {}\nsize: {} bytes\ndigest: blake3:{}\n",
        wasm.display(),
        bytes.len(),
        blake3::hash(&bytes).to_hex()
    ))
}
