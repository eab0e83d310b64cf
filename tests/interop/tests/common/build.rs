//! Programs of other workspaces that the tests run: built when they are not, which takes minutes the first time.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

/// The runner of this project, out of its own target folder.
pub fn runner() -> PathBuf {
    static RUNNER: OnceLock<PathBuf> = OnceLock::new();
    let built = || {
        let mut cargo = Command::new(env!("CARGO"));
        match std::env::var_os("MOSAIK_MAIN_TARGET_DIR") {
            Some(folder) => cargo.env("CARGO_TARGET_DIR", folder),
            None => cargo.env_remove("CARGO_TARGET_DIR"),
        };
        build(cargo, "../../Cargo.toml", "mosaik-runner")
    };
    RUNNER.get_or_init(built).clone()
}

/// The Mosaik 0.4 node, out of the target folder of these tests.
pub fn mosaik_0_4() -> PathBuf {
    static MOSAIK: OnceLock<PathBuf> = OnceLock::new();
    let built = || {
        let binary = "mosaik-peer-0-4";
        build(Command::new(env!("CARGO")), "mosaik-0.4/Cargo.toml", binary)
    };
    MOSAIK.get_or_init(built).clone()
}

fn build(mut cargo: Command, manifest: &str, binary: &str) -> PathBuf {
    // Environment variables that cargo sets for these tests would cause a rebuild.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
            .iter()
            .any(|of| name.starts_with(of))
        {
            cargo.env_remove(&*name);
        }
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest);
    let output = cargo
        .args([
            "build",
            "--locked",
            "--message-format=json-render-diagnostics",
        ])
        .args(["--bin", binary, "--manifest-path"])
        .arg(&manifest)
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{} builds", manifest.display());
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == binary)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo says where the binary is")
}
