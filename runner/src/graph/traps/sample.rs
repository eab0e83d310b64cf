//! Criteria on fields that no record has, found by comparison with the first records of the stream's sources.

use mosaik_streams::Encoding;

use crate::declare::{Diagnostic, Span};
use crate::manifest::{
    CriteriaDecl, EdgeDecl, Manifest, OnError, Ports, ProducerDecl, Scope, StreamDecl,
};

/// Checks the criteria of streams whose records all come from files or generators of this manifest.
pub(super) fn check(manifest: &Manifest, found: &mut Vec<Diagnostic>) {
    for stream in &manifest.streams {
        let edges: Vec<&CriteriaDecl> = edges(manifest)
            .filter(|edge| edge.stream.value == stream.name.value)
            .filter_map(|edge| edge.criteria.as_ref())
            .chain(&stream.criteria)
            .collect();
        if edges.is_empty() {
            continue;
        }
        let Some(Sample { records, source }) = sample(manifest, stream) else {
            continue;
        };
        for criteria in edges {
            for (path, span) in criteria.missing_in(&records) {
                found.push(
                    Diagnostic::warning(format!("no record has the field `{path}`"))
                        .at(span, format!("not in the first {} records", records.len()))
                        .also(source, "of this source")
                        .help(
                            "criteria never match a field that is missing; is its name misspelled?",
                        ),
                );
            }
        }
    }
}

/// Returns all subscriptions.
fn edges(manifest: &Manifest) -> impl Iterator<Item = &EdgeDecl> {
    let operators = manifest
        .operators
        .iter()
        .filter_map(|decl| decl.from.as_ref());
    let inputs = operators.flat_map(|ports| match ports {
        Ports::One(edge) => vec![edge],
        Ports::Named(named, _) => named.iter().map(|(_, edge)| edge).collect(),
    });
    inputs.chain(manifest.consumers.iter().map(|decl| &decl.from))
}

/// The first records of a stream, as JSON, and the location of its first source.
struct Sample {
    records: Vec<Vec<u8>>,
    source: Span,
}

/// Returns `None` unless all sources of the stream can be inspected.
fn sample(manifest: &Manifest, stream: &StreamDecl) -> Option<Sample> {
    let config = &stream.config;
    if config.settings.scope == Scope::Network || config.encoding != Encoding::Json {
        return None;
    }
    let name = &stream.name.value;
    let is_made = manifest.operators.iter().any(|decl| {
        let fails_to = matches!(&decl.settings.on_error, OnError::To(to) if to == name);
        let writes = match &decl.to {
            None => false,
            Some(Ports::One(to)) => to.value == *name,
            Some(Ports::Named(named, _)) => named.iter().any(|(_, to)| to.value == *name),
        };
        fails_to || writes
    });
    let is_refused = manifest
        .consumers
        .iter()
        .any(|decl| matches!(&decl.settings.on_error, OnError::To(to) if to == name));
    if is_made || is_refused {
        return None;
    }
    let sources: Vec<&ProducerDecl> = manifest
        .producers
        .iter()
        .filter(|producer| producer.to.value == *name)
        .collect();
    let mut records = Vec::new();
    for source in &sources {
        let some = source.from.sample()?;
        if some.is_empty() {
            return None;
        }
        records.extend(some);
    }
    let source = sources.first()?.path_span();
    Some(Sample { records, source })
}
