//! Loads a checked graph from a path, or reports all mistakes.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Components, Graph, Places, build};
use crate::{
    declare::{
        Diagnostic, Diagnostics, Environment, MAX_MANIFEST_BYTES, Source, Unreadable, io_reason,
        nearest,
    },
    files,
    manifest::{self, ComponentSource},
};

/// A valid manifest.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The graph.
    pub graph: Graph,
    /// Warnings about settings that probably do not have the intended effect.
    pub warnings: Diagnostics,
    /// Locations of the parts of the manifest.
    pub places: Places,
    /// The manifest and every `${file:…}`, component and data file, as absolute paths without duplicates. A change of
    /// any of them requires a reload.
    pub files: Vec<PathBuf>,
    /// The blake3 hash of the manifest's text, as 64 hex digits.
    pub hash: String,
}

/// Reads, checks and wires a manifest of at most [`MAX_MANIFEST_BYTES`].
///
/// Looks up `${env:…}` in `env`, and uses `components` to inspect operators. Relative paths are relative to the
/// manifest. Blocks while files are read and components are inspected.
///
/// # Errors
/// Returns all findings, including warnings.
pub fn load(
    path: &Path,
    env: &dyn Environment,
    components: &dyn Components,
) -> Result<Loaded, Diagnostics> {
    let source = Source::read(path).map_err(|error| unreadable(path, error))?;
    let absolute =
        std::path::absolute(path).map_err(|error| unreadable(path, Unreadable::Io(error)))?;
    let base = absolute.parent().unwrap_or(Path::new("/")).to_path_buf();
    let mut read = manifest::read(&source, env, &base);
    let hash = blake3::hash(source.text().as_bytes()).to_hex().to_string();
    let graph = read
        .manifest
        .as_ref()
        .map(|manifest| build::build(manifest, components, &mut read.found));
    let source = Arc::new(source);
    let places = read
        .manifest
        .as_ref()
        .map(|manifest| Places::new(manifest, Arc::clone(&source), read.masked.clone()));
    let diagnostics = Diagnostics::new(source, read.found, read.masked);
    let mut files = BTreeSet::from([absolute]);
    files.extend(read.files);
    let operators = read
        .manifest
        .iter()
        .flat_map(|manifest| &manifest.operators);
    let data = operators.clone().flat_map(|operator| &operator.files);
    files.extend(data.map(|file| file.path.value.to_path_buf()));
    files.extend(
        operators.filter_map(|operator| match &*operator.component.value {
            ComponentSource::Path(path) => Some(path.clone()),
            ComponentSource::Builtin(_) => None,
        }),
    );
    let files = files.into_iter().collect();
    match graph {
        Some(graph) if !diagnostics.has_errors() => Ok(Loaded {
            graph,
            warnings: diagnostics,
            places: places.unwrap_or_default(),
            files,
            hash,
        }),
        _ => Err(diagnostics.of_files(files)),
    }
}

fn unreadable(path: &Path, error: Unreadable) -> Diagnostics {
    let name = path.display().to_string();
    let limit = format!("a manifest is at most {} MiB", MAX_MANIFEST_BYTES >> 20);
    let alone = |found: Diagnostic| {
        Diagnostics::new(
            Arc::new(Source::new(name.clone(), "")),
            vec![found],
            Vec::new(),
        )
    };
    match error {
        Unreadable::Io(error) => {
            let found = Diagnostic::error(format!(
                "the manifest cannot be read: {}",
                io_reason(&error)
            ));
            let help = match error.kind() {
                std::io::ErrorKind::NotFound => near(path),
                _ if files::is_not_regular(&error) => Some(format!(
                    "pass its text through stdin: `cat {name} | mosaik-runner up /dev/stdin`"
                )),
                _ => None,
            };
            alone(found.maybe_help(help))
        }
        Unreadable::TooLarge(length) => {
            let found = Diagnostic::error("the manifest is too large");
            let length = length.map_or_else(String::new, |length| {
                format!(", this file has {length} bytes")
            });
            alone(found.help(format!("{limit}{length}")))
        }
        Unreadable::NotUtf8(source, span) => {
            let found =
                Diagnostic::error("the manifest is not UTF-8 text").at(span, "not a character");
            Diagnostics::new(
                Arc::new(source),
                vec![found.help("save it as UTF-8")],
                Vec::new(),
            )
        }
    }
}

/// Returns a manifest in the same folder that was probably meant by the path.
fn near(path: &Path) -> Option<String> {
    const MAX_LOOKED_AT: usize = 1000;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let names = files::names_in(folder, MAX_LOOKED_AT).ok()?;
    let near = nearest(
        path.file_name()?.to_str()?,
        names.iter().map(String::as_str),
    )?;
    Some(format!(
        "did you mean `{}`?",
        path.with_file_name(near).display()
    ))
}
