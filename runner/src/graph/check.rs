//! Checks of formats, keys and addresses.

use std::collections::BTreeMap;

use mosaik_streams::{BytesMut, Encoding, Schema, schema::Transcoder};

use super::streams::Uses;
use crate::connector::{Format, Resource, SourceConfig, through_options};
use crate::declare::{Diagnostic, Span, Spanned, StreamName};
use crate::manifest::{ConsumerDecl, Manifest, PostcardPolicy, ProducerDecl, Scope, StreamDecl};

/// Checks a producer against the stream that it writes.
pub(super) fn source(
    decl: &ProducerDecl,
    stream: Option<&StreamDecl>,
    found: &mut Vec<Diagnostic>,
) {
    let Some(stream) = stream else { return };
    let format = decl.from.format();
    let makes = format.map_or("JSON objects", makes);
    let encoding = &stream.config.encoding;
    let help = match encoding {
        Encoding::Json => return,
        Encoding::Text | Encoding::Bytes if format == Some(Format::Lines) => return,
        Encoding::Text | Encoding::Bytes => {
            "give the stream `encoding: json`, which is the default, or the source `format: lines`"
                .to_owned()
        }
        Encoding::Postcard(schema) => match unfit(&decl.from, format, schema) {
            Some(help) => help,
            None => return,
        },
    };
    found.push(mismatch((makes, "written to"), stream, decl.format_span()).help(help));
}

/// Reports that a connector cannot make something, written to or made of a stream of this encoding.
fn mismatch((makes, cannot_be): (&str, &str), stream: &StreamDecl, format: Span) -> Diagnostic {
    let name = &stream.name.value;
    let encoding = stream.config.encoding.name();
    Diagnostic::error(format!(
        "{makes} cannot be {cannot_be} stream `{name}`, which is `{encoding}`"
    ))
    .at(format, format!("makes {makes}"))
    .also(stream.encoding_span, format!("`{name}` is declared here"))
}

/// Checks a consumer against the stream that it reads.
pub(super) fn sink(decl: &ConsumerDecl, stream: &StreamDecl, found: &mut Vec<Diagnostic>) {
    let encoding = &stream.config.encoding;
    let makes = match decl.to.format() {
        Some(Format::Csv) => "rows of CSV",
        Some(Format::Jsonl) => "lines of JSON",
        Some(Format::Lines) | None => return,
    };
    if !matches!(encoding, Encoding::Text | Encoding::Bytes) {
        return;
    }
    found.push(
        mismatch((makes, "made of"), stream, decl.format_span())
            .help("write `format: lines`, or give the stream `encoding: json`"),
    );
}

/// Checks that the streams read by an operator have fields for selecting an instance.
pub(super) fn key<'m>(
    fields: Span,
    postcard: PostcardPolicy,
    read: impl Iterator<Item = &'m StreamDecl>,
    found: &mut Vec<Diagnostic>,
) {
    for stream in read {
        let encoding = &stream.config.encoding;
        let help = match encoding {
            Encoding::Json => continue,
            Encoding::Postcard(_) if postcard == PostcardPolicy::Json => continue,
            Encoding::Postcard(_) => "give the operator `postcard: json`, or leave `key` out",
            Encoding::Text | Encoding::Bytes => {
                "leave `key` out: any instance then receives any record"
            }
        };
        found.push(
            Diagnostic::error(format!(
                "stream `{}` has no field for `key`, because it is `{}`",
                stream.name.value,
                encoding.name()
            ))
            .at(fields, "needs JSON")
            .also(
                stream.encoding_span,
                format!("`{}` is declared here", stream.name.value),
            )
            .help(help),
        );
    }
}

/// Returns the reason that no record of a source can match a schema; `None` if records can match.
fn unfit(config: &SourceConfig, format: Option<Format>, schema: &Schema) -> Option<String> {
    let inner = through_options(schema);
    match format {
        Some(Format::Csv) => (!matches!(inner, Schema::Struct(_) | Schema::Map(..)))
            .then(|| "a row is an object, which is a struct or a map in a schema".to_owned()),
        Some(Format::Lines) => (!matches!(inner, Schema::String | Schema::Char | Schema::Enum(_)))
            .then(|| "a line is a string: give the stream `schema: string`".to_owned()),
        None => {
            let sample = config.sample()?.into_iter().next()?;
            let refused = Transcoder::new(schema)
                .ok()?
                .to_postcard(&sample, &mut BytesMut::new())
                .err()?;
            Some(format!(
                "`{}` is {refused}",
                String::from_utf8_lossy(&sample)
            ))
        }
        // The type of a value is only known from its text.
        Some(Format::Jsonl) => None,
    }
}

/// Checks the stream for dead-letter records.
pub(super) fn failures(
    stream: &Spanned<StreamName>,
    declared: &StreamDecl,
    found: &mut Vec<Diagnostic>,
) {
    if let Encoding::Postcard(_) = declared.config.encoding {
        found.push(
            Diagnostic::error(format!(
                "failures cannot be written to stream `{}`, which is `postcard`",
                stream.value
            ))
            .at(stream.span, "JSON objects are written here")
            .also(
                declared.encoding_span,
                format!("`{}` is declared here", stream.value),
            )
            .help("give the stream `encoding: json`, which is the default"),
        );
    }
}

const fn makes(format: Format) -> &'static str {
    match format {
        Format::Csv => "JSON objects from CSV",
        Format::Jsonl => "JSON values",
        Format::Lines => "lines of text",
    }
}

/// Checks the manifest as a whole.
pub(super) fn check(manifest: &Manifest, uses: &Uses, found: &mut Vec<Diagnostic>) {
    let stages = manifest.producers.len() + manifest.operators.len() + manifest.consumers.len();
    if stages == 0 && !manifest.broken_stages {
        found.push(
            Diagnostic::error("there is nothing to run")
                .at(
                    manifest.start,
                    "no producer, operator or consumer in this manifest",
                )
                .help("for instance: `consumers: {print: {from: <stream>, to: {stdout: {}}}}`"),
        );
    }
    check_shared_ends(manifest, found);
    warn_of_open_streams(manifest, uses, found);
}

/// Checks resources that only one stage can use: standard input, and each written file.
fn check_shared_ends(manifest: &Manifest, found: &mut Vec<Diagnostic>) {
    let mut used: BTreeMap<Resource, Span> = BTreeMap::new();
    for producer in &manifest.producers {
        let span = producer.path_span();
        for resource in producer.from.resources() {
            if let (Resource::Stdin, Some(first)) = (&resource, used.get(&resource)) {
                found.push(
                    Diagnostic::error("standard input has one reader")
                        .at(span, "reads it too")
                        .also(*first, "first here"),
                );
            }
            used.entry(resource).or_insert(span);
        }
    }
    for consumer in &manifest.consumers {
        let span = consumer.path_span();
        for resource in consumer.to.resources() {
            let read = match &resource {
                Resource::WrittenFile(path) => used.get(&Resource::ReadFile(path.clone())),
                _ => None,
            };
            if let Some(first) = used.get(&resource) {
                found.push(
                    Diagnostic::error("a file has one writer")
                        .at(span, "writes it too")
                        .also(*first, "first here"),
                );
            } else if let Some(source) = read {
                found.push(
                    Diagnostic::error("a file that is read here cannot be written")
                        .at(span, "would read its own output")
                        .also(*source, "read here"),
                );
            }
            used.entry(resource).or_insert(span);
        }
    }
}

fn warn_of_open_streams(manifest: &Manifest, uses: &Uses, found: &mut Vec<Diagnostic>) {
    let Some((address, span)) = manifest.node.open_listen() else {
        return;
    };
    let open = manifest.streams.iter().filter(|stream| {
        let config = &stream.config.settings;
        config.scope == Scope::Network
            && config.require.consumers.is_nothing()
            && uses
                .writes
                .iter()
                .any(|(_, written)| written.value == stream.name.value)
    });
    for stream in open {
        found.push(
            Diagnostic::warning(format!(
                "anyone who reaches `{address}` can read stream `{}`",
                stream.name.value
            ))
            .at(stream.name.span, "requires nothing of its consumers")
            .also(span, "reachable from other machines")
            .help("restrict it: `require: {consumers: {tags: [trusted]}}`"),
        );
    }
}
