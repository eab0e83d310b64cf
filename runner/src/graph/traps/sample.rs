//! Criteria on fields that no record has, found by comparison with the first records of the stream's sources.

use csv_core::{ReadFieldResult, Reader};
use mosaik_streams::Encoding;

use crate::declare::{Diagnostic, Span};
use crate::files;
use crate::manifest::{
    CriteriaDecl, EdgeDecl, Manifest, OnError, Ports, ProducerDecl, Scope, StreamDecl,
    connector::{FileSource, Format, SourceConfig},
};

/// Size of the beginning of a file that is read: 64 KiB, and at most 1,000 of its records.
const SAMPLE_BYTES: u64 = 64 * 1024;
const SAMPLE_RECORDS: usize = 1000;

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
                        .also(source, "that come from here")
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
    if is_made {
        return None;
    }
    let sources: Vec<&ProducerDecl> = manifest
        .producers
        .iter()
        .filter(|producer| producer.to.value == *name)
        .collect();
    let mut records = Vec::new();
    for source in &sources {
        let some = match &*source.from {
            SourceConfig::File(file) => of_file(file)?,
            SourceConfig::Generate(generate) => vec![generate.sample().into()],
            SourceConfig::Stdin(_) => return None,
        };
        if some.is_empty() {
            return None;
        }
        records.extend(some);
    }
    let source = sources.first()?.path_span();
    Some(Sample { records, source })
}

/// Returns the first records of a file; `None` if the file cannot be inspected.
fn of_file(file: &FileSource) -> Option<Vec<Vec<u8>>> {
    let beginning = || files::beginning(&file.path, SAMPLE_BYTES).ok();
    match file.format_or_by_extension() {
        Format::Jsonl => Some(json_lines(&beginning()?)),
        Format::Csv => Some(vec![named_columns(&beginning()?)?]),
        Format::Lines => None,
    }
}

/// Returns the complete lines of a text that are JSON objects. The last line may be truncated.
fn json_lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let whole = lines.filter_map(|line| line.strip_suffix(b"\n"));
    whole
        .filter(|line| serde_json::from_slice::<serde_json::Map<_, _>>(line).is_ok())
        .take(SAMPLE_RECORDS)
        .map(<[u8]>::to_vec)
        .collect()
}

/// Returns an object with the columns of the header, which every row has. `None` if the header is incomplete.
fn named_columns(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new();
    let mut rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut columns = serde_json::Map::new();
    let mut text = vec![0; rest.len()];
    loop {
        let (result, read, written) = reader.read_field(rest, &mut text);
        rest = rest.get(read..)?;
        let ReadFieldResult::Field { record_end } = result else {
            return None;
        };
        let name = String::from_utf8(text.get(..written)?.to_vec()).ok()?;
        columns.insert(name, serde_json::Value::Null);
        if record_end {
            return serde_json::to_vec(&columns).ok();
        }
    }
}
