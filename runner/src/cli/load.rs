//! The first step of every command that takes a manifest: read it, check it and report mistakes.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;

use super::{OutputArgs, print_stderr};
use crate::{
    components::Library,
    declare::{Diagnostics, ProcessEnvironment, Severity},
    files,
    graph::{self, Loaded},
    machine,
    operator::{Engine, EngineConfig, EngineError, OTHER_CACHE},
    topology::cache_folder,
};

/// Creates an engine that caches compiled code in the user's cache folder.
///
/// # Errors
/// The machine's limits on threads, files or addresses are too low, or it cannot run WebAssembly.
pub(super) fn engine() -> anyhow::Result<Engine> {
    if let Err(shortage) = machine::check_start() {
        anyhow::bail!("{shortage}");
    }
    let config = EngineConfig {
        cache_dir: Some(cache_folder().join("compiled")),
    };
    let cached = files::in_time(move || Engine::new(config));
    let without = match cached {
        Ok(Ok(engine)) => return Ok(engine),
        Ok(Err(EngineError::Cache(error))) => error.to_string(),
        Ok(Err(error)) => return Err(error).context(NO_ENGINE),
        Err(error) => format!("the cache folder cannot be used: {error}"),
    };
    tracing::warn!("compiled code is not cached: {without}; {OTHER_CACHE}");
    Engine::new(EngineConfig::default()).context(NO_ENGINE)
}

const NO_ENGINE: &str = "cannot start the WebAssembly engine";

/// Creates a library of components, for graphs that never run, with its own engine.
pub(super) fn library() -> anyhow::Result<Arc<Library>> {
    Ok(Arc::new(Library::for_checks(engine()?)))
}

/// Reads and checks a manifest. Blocks while components are compiled.
pub(super) fn manifest(path: &Path, library: &Library) -> Result<Loaded, Diagnostics> {
    graph::load(path, &ProcessEnvironment, library)
}

/// Reads and checks a manifest like [`manifest`], and prints mistakes and warnings to stderr. Returns `None` if there
/// are mistakes.
///
/// # Errors
/// The machine, and not the manifest, prevents the graph from running.
pub(super) fn graph(
    path: &Path,
    library: &Library,
    output: OutputArgs,
) -> anyhow::Result<Option<Loaded>> {
    match manifest(path, library) {
        Ok(loaded) => {
            show(&loaded.warnings, output);
            Ok(Some(loaded))
        }
        Err(mistakes) => {
            if let Some(shortage) = library.shortage() {
                anyhow::bail!("{shortage}");
            }
            show(&mistakes, output);
            Ok(None)
        }
    }
}

/// Prints diagnostics to stderr: as text with the affected lines, or as an event of a JSON log.
pub(super) fn show(diagnostics: &Diagnostics, output: OutputArgs) {
    if diagnostics.is_empty() {
        return;
    }
    if output.log_is_json() {
        for found in diagnostics {
            let (line, column) = diagnostics.position(found).unwrap_or_default();
            let (file, help) = (
                diagnostics.file(),
                found.help.as_deref().unwrap_or_default(),
            );
            let severity = found.severity;
            match severity {
                Severity::Error => {
                    tracing::error!(file, line, column, help, ?severity, "{}", found.message);
                }
                Severity::Warning => {
                    tracing::warn!(file, line, column, help, ?severity, "{}", found.message);
                }
            }
        }
        return;
    }
    print_stderr(diagnostics.render(output.color.on_stderr()).trim_end());
}
