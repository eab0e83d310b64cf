//! A whole manifest: reads its sections from a source.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use super::{
    diagnostics::{Diagnostic, nearest},
    guarded::Guarded,
    keys::{Section, Shape, key, required},
    node::{self, NODE, NodeDecl},
    operator::{self, OPERATOR, OperatorDecl},
    reader::{Fields, Reader, WHOLE},
    source::{Source, Span},
    stage::{self, CONSUMER, ConsumerDecl, PRODUCER, ProducerDecl},
    stream::{self, STREAM, StreamDecl},
    substitute::Environment,
    tree::{Entry, Node, Value},
    yaml,
};

/// Maximum number of streams, and of stages of each kind: 1024.
pub(crate) const MAX_ENTRIES: usize = 1024;

const VERSIONS: &[&str] = &["v1"];

/// The keys of a manifest.
pub(crate) static MANIFEST: Section = Section {
    name: "manifest",
    doc: "A mosaik-runner manifest: producers, operators and consumers over named streams.",
    keys: &[
        required(
            "mosaik",
            Shape::Words(VERSIONS),
            "The version of this language: `v1`.",
        ),
        key(
            "network",
            Shape::Text,
            "The name of the network: nodes with the same one find each other. Needed for streams of scope `network`.",
        ),
        key(
            "node",
            Shape::Of(&NODE),
            "The process that runs this manifest.",
        ),
        key(
            "streams",
            Shape::Map(&Shape::Of(&STREAM)),
            "Every stream is declared; `{}` is enough.",
        ),
        key(
            "producers",
            Shape::Map(&Shape::Of(&PRODUCER)),
            "From outside to streams.",
        ),
        key(
            "operators",
            Shape::Map(&Shape::Of(&OPERATOR)),
            "From streams to streams.",
        ),
        key(
            "consumers",
            Shape::Map(&Shape::Of(&CONSUMER)),
            "From streams to outside.",
        ),
    ],
};

/// A manifest as written. Its parts are valid individually but not wired yet.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    pub(crate) network: Option<Guarded<String>>,
    /// Whether there is a `network` that is invalid.
    pub(crate) broken_network: bool,
    pub(crate) node: NodeDecl,
    pub(crate) streams: Vec<StreamDecl>,
    /// Declared streams with an invalid declaration. Using them is not reported as another mistake.
    pub(crate) broken_streams: HashSet<String>,
    /// Whether stages are missing because of mistakes. If so, streams that appear unused may be used.
    pub(crate) broken_stages: bool,
    pub(crate) producers: Vec<ProducerDecl>,
    pub(crate) operators: Vec<OperatorDecl>,
    pub(crate) consumers: Vec<ConsumerDecl>,
    /// Location of `mosaik:`, or of the start of the manifest.
    pub(crate) start: Span,
}

/// The result of reading a manifest, with any mistakes.
pub(crate) struct Read {
    pub(crate) manifest: Option<Manifest>,
    pub(crate) found: Vec<Diagnostic>,
    pub(crate) masked: Vec<Span>,
    pub(crate) files: Vec<PathBuf>,
}

/// Reads the text of a manifest. Relative paths are relative to `base`.
pub(crate) fn read(source: &Source, env: &dyn Environment, base: &Path) -> Read {
    let mut cx = Reader::new(source, env, base);
    let manifest = read_root(&mut cx, source);
    Read {
        manifest,
        found: cx.found,
        masked: cx.masked,
        files: cx.files,
    }
}

fn read_root(cx: &mut Reader<'_>, source: &Source) -> Option<Manifest> {
    let root = match yaml::parse(source.text(), &mut cx.found) {
        Ok(Some(root)) if !root.is_null() => root,
        Ok(_) => {
            cx.note(
                Diagnostic::error("the manifest is empty")
                    .at(Span::default(), "expected `mosaik: v1`")
                    .help("a first one: `mosaik: v1`, then `streams`, `producers` and `consumers`"),
            );
            return None;
        }
        Err(wrong) => {
            cx.note(wrong);
            return None;
        }
    };
    let fields = cx.section(&root, WHOLE, &MANIFEST)?;
    let mut manifest = Manifest {
        start: fields.span,
        ..Manifest::default()
    };
    let mut broken = note_misnamed(&mut manifest, &root);
    if let Some(entry) = fields.get("mosaik") {
        manifest.start = entry.key.span;
        cx.word(&entry.node, "mosaik", VERSIONS)?;
    }
    if let Some(node) = fields.node("network") {
        manifest.network = network(cx, node);
        manifest.broken_network = manifest.network.is_none();
    }
    if let Some(entry) = fields.get("node") {
        manifest.node = node::read(cx, entry);
    }
    for entry in entries(cx, fields, "streams") {
        match stream::read(cx, entry) {
            Some(stream) => manifest.streams.push(stream),
            None => {
                manifest.broken_streams.insert(entry.key.text.clone());
            }
        }
    }
    manifest.producers = all(cx, fields, "producers", &mut broken, stage::read_producer);
    manifest.operators = all(cx, fields, "operators", &mut broken, operator::read);
    manifest.consumers = all(cx, fields, "consumers", &mut broken, stage::read_consumer);
    manifest.broken_stages = broken;
    Some(manifest)
}

/// Records the contents of sections with misspelt names, so that their absence is not reported as another mistake.
/// Returns whether stages are missing.
fn note_misnamed(manifest: &mut Manifest, root: &Node) -> bool {
    let Value::Mapping(entries) = &root.value else {
        return false;
    };
    let mut stages = false;
    for entry in entries
        .iter()
        .filter(|entry| !MANIFEST.names().any(|name| name == entry.key.text))
    {
        match (
            nearest(&entry.key.text, MANIFEST.names()),
            &entry.node.value,
        ) {
            (Some("streams"), Value::Mapping(streams)) => {
                manifest
                    .broken_streams
                    .extend(streams.iter().map(|stream| stream.key.text.clone()));
            }
            (Some("producers" | "operators" | "consumers"), _) => stages = true,
            (Some("network"), _) => manifest.broken_network = true,
            _ => {}
        }
    }
    stages
}

fn network(cx: &mut Reader<'_>, node: &Node) -> Option<Guarded<String>> {
    const MAX_BYTES: usize = 256;
    let text = cx.text(node, "network", "a name")?;
    if text.as_str().is_empty() || text.as_str().len() > MAX_BYTES {
        cx.note(Diagnostic::error("not a name for a network").at(
            node.span,
            format!("expected 1 to {MAX_BYTES} bytes of text"),
        ));
        return None;
    }
    Some(text.value)
}

/// Reads all entries of a section of names with `read`.
fn all<T>(
    cx: &mut Reader<'_>,
    fields: Fields<'_>,
    section: &'static str,
    broken: &mut bool,
    read: impl Fn(&mut Reader<'_>, &Entry) -> Option<T>,
) -> Vec<T> {
    let mut list = Vec::new();
    for entry in entries(cx, fields, section) {
        match read(cx, entry) {
            Some(item) => list.push(item),
            None => *broken = true,
        }
    }
    list
}

fn entries<'n>(cx: &mut Reader<'_>, fields: Fields<'n>, section: &'static str) -> &'n [Entry] {
    let Some(node) = fields.node(section) else {
        return &[];
    };
    let entries = cx.mapping(node, section).unwrap_or_default();
    if let Some(entry) = entries.get(MAX_ENTRIES) {
        cx.note(
            Diagnostic::error(format!("more than {MAX_ENTRIES} {section}"))
                .at(entry.key.span, "too many from here on"),
        );
    }
    &entries[..entries.len().min(MAX_ENTRIES)]
}
