//! Runs the commands of a documentation page.

use std::{env, ffi::OsString, path::Path, process::Command, time::Duration};

use super::runner;

/// Runs commands in a shell, in a folder, with the runner under test in `PATH`. The shell ends at
/// the first command that fails, and is killed after `limit`.
pub(crate) fn shell(folder: &Path, commands: &str, limit: Duration) -> Command {
    let mut path: OsString = Path::new(env!("CARGO_BIN_EXE_mosaik-runner"))
        .parent()
        .expect("a binary lies in a folder")
        .into();
    path.push(":");
    path.push(env::var_os("PATH").expect("there is a PATH"));
    let mut shell = Command::new("timeout");
    shell
        .arg("--kill-after=10")
        .arg(limit.as_secs().to_string())
        .args(["sh", "-eu", "-c", commands])
        .current_dir(folder)
        .env("PATH", path);
    for (name, value) in runner().get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}
