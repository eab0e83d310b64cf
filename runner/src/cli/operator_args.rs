//! Command-line arguments that select an operator and set its limits.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use crate::declare::{ProcessEnvironment, parse_duration, parse_size, show_duration, show_size};
use crate::manifest::{
    ComponentSource, Grants, MAX_BINARY, MAX_MEMORY, MAX_TIME, MAX_WAIT, MIN_MEMORY, MIN_TIME,
    OperatorLimits,
};

/// Parses the value that manifests call `wasm`.
pub(super) fn source(text: &str) -> ComponentSource {
    match text.strip_prefix("builtin:") {
        Some(name) => ComponentSource::Builtin(name.to_owned()),
        None => ComponentSource::Path(PathBuf::from(text)),
    }
}

/// Returns the operator's name in messages: its own name, or the name of its file without the extension.
pub(super) fn name(source: &ComponentSource) -> String {
    match source {
        ComponentSource::Builtin(name) => name.clone(),
        ComponentSource::Path(path) => path
            .file_stem()
            .unwrap_or(Path::new("operator").as_os_str())
            .to_string_lossy()
            .into_owned(),
    }
}

/// Parses the value that manifests call `allow`. Folders are relative to the working directory.
pub(super) fn grants(text: &str) -> Result<Grants, String> {
    Grants::parse(text, &ProcessEnvironment, Path::new("."))
        .map_err(|wrong| format!("\n{}", wrong.render(false)))
}

/// The manifest's `limits`.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct LimitArgs {
    /// Maximum memory, 1MiB to 4GiB [default: 64MiB].
    #[arg(long, value_parser = memory, value_name = "SIZE")]
    memory: Option<u64>,
    /// Maximum CPU time of one call, 1ms to 1m [default: 1s].
    #[arg(long, value_parser = time, value_name = "DURATION")]
    time: Option<Duration>,
    /// Maximum time that one call waits for files, timers and responses, 1ms to 1h [default: 1m].
    #[arg(long, value_parser = wait, value_name = "DURATION")]
    wait: Option<Duration>,
    /// Maximum size of the component, at most 256MiB [default: 10MiB].
    #[arg(long, value_parser = binary, value_name = "SIZE")]
    binary: Option<u64>,
}

impl LimitArgs {
    pub(super) fn limits(self) -> OperatorLimits {
        let default = OperatorLimits::default();
        OperatorLimits {
            memory: self.memory.unwrap_or(default.memory),
            time: self.time.unwrap_or(default.time),
            wait: self.wait.unwrap_or(default.wait),
            binary: self.binary.unwrap_or(default.binary),
        }
    }
}

fn memory(text: &str) -> Result<u64, String> {
    size(text, MIN_MEMORY, MAX_MEMORY)
}

/// Parses the maximum size of an operator's code.
pub(super) fn binary(text: &str) -> Result<u64, String> {
    size(text, 1, MAX_BINARY)
}

fn size(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let size = parse_size(text)?;
    if (min..=max).contains(&size) {
        return Ok(size);
    }
    Err(format!("not {} to {}", show_size(min), show_size(max)))
}

fn time(text: &str) -> Result<Duration, String> {
    duration(text, MIN_TIME, MAX_TIME)
}

fn wait(text: &str) -> Result<Duration, String> {
    duration(text, MIN_TIME, MAX_WAIT)
}

fn duration(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if (min..=max).contains(&duration) {
        return Ok(duration);
    }
    let (min, max) = (show_duration(min), show_duration(max));
    Err(format!("not {min} to {max}"))
}
