//! The readers and writers of each stream, and checks of their combinations.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::StageKey;
use crate::declare::{Diagnostic, Span, Spanned, StreamName, did_you_mean};
use crate::manifest::{Manifest, Scope, StreamDecl};

/// The readers and writers of each stream, in the order of the manifest, with the locations of their uses.
#[derive(Debug, Default)]
pub(super) struct Uses {
    pub(super) reads: Vec<(StageKey, Spanned<StreamName>)>,
    pub(super) writes: Vec<(StageKey, Spanned<StreamName>)>,
}

impl Uses {
    pub(super) fn read(&mut self, stage: &StageKey, stream: &Spanned<StreamName>) {
        self.reads.push((stage.clone(), stream.clone()));
    }

    pub(super) fn write(&mut self, stage: &StageKey, stream: &Spanned<StreamName>) {
        self.writes.push((stage.clone(), stream.clone()));
    }
}

/// Maximum number of findings whose names are compared with all others for a hint: 100. A manifest can have 100,000
/// findings, far more than are shown.
const MAX_HINTS: usize = 100;

fn first_uses(uses: &[(StageKey, Spanned<StreamName>)]) -> HashMap<&str, (&StageKey, Span)> {
    let mut first = HashMap::new();
    for (stage, stream) in uses {
        first
            .entry(stream.value.as_str())
            .or_insert((stage, stream.span));
    }
    first
}

/// Reports a stream that is not declared. Does not report a stream whose declaration is invalid.
pub(super) fn undeclared(
    manifest: &Manifest,
    name: &Spanned<StreamName>,
    found: &mut Vec<Diagnostic>,
) {
    if manifest.broken_streams.contains(name.value.as_str()) {
        return;
    }
    let hinted = if found.len() < MAX_HINTS {
        manifest.streams.as_slice()
    } else {
        &[]
    };
    let names = hinted.iter().map(|stream| stream.name.value.as_str());
    let declare = format!("declare it: `streams: {{{}: {{}}}}`", name.value);
    let help = did_you_mean(name.value.as_str(), names).unwrap_or(declare);
    found.push(
        Diagnostic::error(format!("unknown stream `{}`", name.value))
            .at(name.span, "not declared")
            .help(help),
    );
}

/// Checks that every stream has the readers and writers that it needs.
pub(super) fn check(manifest: &Manifest, uses: &Uses, found: &mut Vec<Diagnostic>) {
    check_ids(manifest, found);
    check_network(manifest, found);
    // Without any stages, only that is reported.
    let stages = manifest.producers.len() + manifest.operators.len() + manifest.consumers.len();
    if stages == 0
        || manifest.broken_stages
        || manifest.operators.iter().any(|operator| !operator.wired)
    {
        // Readers and writers may be among the stages that are invalid.
        return;
    }
    let (readers, writers) = (first_uses(&uses.reads), first_uses(&uses.writes));
    let declared: HashSet<&str> = manifest
        .streams
        .iter()
        .map(|stream| stream.name.value.as_str())
        .collect();
    let named = readers.keys().chain(writers.keys()).copied();
    let mut undeclared: Vec<&str> = named.filter(|name| !declared.contains(name)).collect();
    undeclared.sort_unstable();
    undeclared.truncate(MAX_HINTS);
    for stream in &manifest.streams {
        let name = stream.name.value.as_str();
        let misspelt = || did_you_mean(name, undeclared.iter().copied()).is_some();
        match (readers.get(name), writers.get(name)) {
            (Some(_), Some(_)) => {}
            // The misspelt name has been reported already.
            _ if misspelt() => {}
            (None, None) => found.push(unused(stream)),
            _ if stream.config.settings.scope == Scope::Network => {}
            (Some((stage, span)), None) => found.push(
                Diagnostic::error(format!("no stage writes stream `{name}`"))
                    .at(*span, format!("{stage} would wait forever"))
                    .also(stream.name.span, "declared here")
                    .help("if it comes from another node, give it `scope: network`"),
            ),
            (None, Some((stage, span))) => found.push(
                Diagnostic::error(format!("no stage reads stream `{name}`"))
                    .at(*span, format!("the output of {stage} would be lost"))
                    .also(stream.name.span, "declared here")
                    .help("if it is for other nodes, give it `scope: network`"),
            ),
        }
    }
}

fn unused(stream: &StreamDecl) -> Diagnostic {
    Diagnostic::error(format!("no stage uses stream `{}`", stream.name.value))
        .at(stream.name.span, "neither written nor read")
        .help("remove it, or name it in a stage's `from` or `to`")
}

fn check_ids(manifest: &Manifest, found: &mut Vec<Diagnostic>) {
    let mut ids: BTreeMap<_, &StreamDecl> = BTreeMap::new();
    for stream in manifest
        .streams
        .iter()
        .filter(|stream| stream.config.settings.scope == Scope::Network)
    {
        if let Some(first) = ids.get(&stream.config.id) {
            found.push(
                Diagnostic::error(format!(
                    "`{}` and `{}` are the same stream on the network",
                    first.name.value, stream.name.value
                ))
                .at(stream.id_span, "the same id")
                .also(first.id_span, "first here")
                .help("give one of them another `id`, or use one name for both"),
            );
        } else {
            ids.insert(stream.config.id, stream);
        }
    }
}

fn check_network(manifest: &Manifest, found: &mut Vec<Diagnostic>) {
    let shared = manifest
        .streams
        .iter()
        .find(|stream| stream.config.settings.scope == Scope::Network);
    // An invalid network has been reported already.
    if let (Some(stream), None, false) = (shared, &manifest.network, manifest.broken_network) {
        found.push(
            Diagnostic::error("the network has no name")
                .at(manifest.start, "`network: <name>` is missing")
                .also(stream.name.span, "this stream is shared")
                .help("nodes with the same name find each other: choose a unique one"),
        );
    }
}
