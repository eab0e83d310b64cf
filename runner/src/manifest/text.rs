//! A whole manifest: reads its sections from a source.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use super::{
    checkpoint::CheckpointConfig,
    node::{NodeConfig, NodeDecl},
    operator::{self, OperatorDecl, OperatorKeys},
    stage::{self, ConsumerDecl, ConsumerKeys, ProducerDecl, ProducerKeys},
    stream::{self, StreamDecl, StreamKeys},
};
use crate::declare::{
    Declared, Diagnostic, Entry, Environment, Guarded, Kind, Located, Node, Reader, Section, Shape,
    Source, Span, Value, WHOLE, nearest, parse_yaml, read_located, read_section, section, text,
    words,
};

/// Maximum number of streams, and of stages of each kind: 1024.
pub(crate) const MAX_ENTRIES: usize = 1024;

/// The versions of the manifest language.
const VERSIONS: &[(&str, ())] = &[("v1", ())];

section! {
    /// A mosaik-runner manifest: producers, operators and consumers over named streams.
    #[derive(Debug)]
    struct ManifestKeys: "manifest" {
        /// Version of the manifest language.
        mosaik: () = words(VERSIONS), required_or(()), keep;
        /// Name of the network: nodes with the same name find each other. Required by streams of scope `network`.
        network: Option<Guarded<String>> = network(), unset("none"),
            restart("the network changes: every connection belongs to the old one");
        /// The process that runs the manifest.
        node: Option<Located<NodeConfig>> = located(), unset("defaults"), retune in graph;
        /// Checkpoints, from which the graph resumes after a restart of the process.
        checkpoint: Option<Located<CheckpointConfig>> = located(),
            unset("none: a process starts with empty state, and reads its files from the beginning"),
            restart("`checkpoint` changes: the folder or the interval of checkpoints differs");
        /// Every stream by name; `{}` is enough.
        streams: Entries<StreamDecl> = entries(Shape::Of(StreamKeys::SECTION), stream::read), empty("none"), rewire in graph;
        /// Stages that feed streams from outside.
        producers: Entries<ProducerDecl> = entries(Shape::Of(ProducerKeys::SECTION), stage::read_producer), empty("none"), rewire in graph;
        /// WebAssembly operators between streams.
        operators: Entries<OperatorDecl> = entries(Shape::Of(OperatorKeys::SECTION), operator::read), empty("none"), rewire in graph;
        /// Stages that write streams to outside.
        consumers: Entries<ConsumerDecl> = entries(Shape::Of(ConsumerKeys::SECTION), stage::read_consumer), empty("none"), rewire in graph;
    }
}

/// The keys of a manifest.
pub(crate) const MANIFEST: &Section = ManifestKeys::SECTION;

/// A manifest as written. Its parts are valid individually but not wired yet.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    pub(crate) network: Option<Guarded<String>>,
    /// Whether there is a `network` that is invalid.
    pub(crate) broken_network: bool,
    pub(crate) node: NodeDecl,
    pub(crate) checkpoint: Option<Located<CheckpointConfig>>,
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
    let root = match parse_yaml(source.text(), &mut cx.found) {
        Ok(Some(root)) if !root.is_null() => root,
        Ok(_) => {
            cx.note(
                Diagnostic::error("the manifest is empty")
                    .at(Span::default(), "expected `mosaik: v1`")
                    .help("start with `mosaik: v1`, then `streams`, `producers` and `consumers`"),
            );
            return None;
        }
        Err(wrong) => {
            cx.note(wrong);
            return None;
        }
    };
    let version = root.get("mosaik");
    // The keys of another version are unknown, so only its mistake is reported.
    if let Some(entry) = version {
        (words(VERSIONS).read)(cx, &entry.node, "mosaik")?;
    }
    let (keys, faults) = read_section::<ManifestKeys>(cx, &root, WHOLE)?;
    let mut manifest = Manifest {
        start: version.map_or(root.span, |entry| entry.key.span),
        broken_network: faults.has("network"),
        ..Manifest::default()
    };
    let is_stage_misnamed = note_misnamed(&mut manifest, &root);
    let are_stages_broken = !keys.producers.broken.is_empty()
        || !keys.operators.broken.is_empty()
        || !keys.consumers.broken.is_empty();
    manifest.broken_stages = is_stage_misnamed || are_stages_broken;
    manifest.broken_streams.extend(keys.streams.broken);
    manifest.network = keys.network;
    manifest.node = keys.node.map_or_else(NodeDecl::default, NodeDecl::new);
    manifest.checkpoint = keys.checkpoint;
    manifest.streams = keys.streams.list;
    manifest.producers = keys.producers.list;
    manifest.operators = keys.operators.list;
    manifest.consumers = keys.consumers.list;
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

fn network() -> Kind<Guarded<String>> {
    const MAX_BYTES: usize = 256;
    text().when(|cx, node, name| {
        let is_name = (1..=MAX_BYTES).contains(&name.len());
        if !is_name {
            cx.note(Diagnostic::error("invalid network name").at(
                node.span,
                format!("expected 1 to {MAX_BYTES} bytes of text"),
            ));
        }
        is_name
    })
}

fn located<T: Declared + 'static>() -> Kind<Located<T>> {
    Kind::new(Shape::Of(T::SECTION), read_located)
}

/// The entries of a mapping from names.
#[derive(Debug)]
struct Entries<T> {
    list: Vec<T>,
    /// Names of entries with mistakes.
    broken: Vec<String>,
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            broken: Vec::new(),
        }
    }
}

/// A mapping from names whose entries are read by `read`.
fn entries<T: 'static>(
    shape: Shape,
    read: fn(&mut Reader<'_>, &Entry) -> Option<T>,
) -> Kind<Entries<T>> {
    Kind::new(Shape::Map(Box::new(shape)), move |cx, node, what| {
        let entries = cx.mapping(node, what)?;
        if let Some(entry) = entries.get(MAX_ENTRIES) {
            cx.note(
                Diagnostic::error(format!("more than {MAX_ENTRIES} {what}"))
                    .at(entry.key.span, "too many from here on"),
            );
        }
        let mut found = Entries::default();
        for entry in entries.iter().take(MAX_ENTRIES) {
            match read(cx, entry) {
                Some(item) => found.list.push(item),
                None => found.broken.push(entry.key.text.clone()),
            }
        }
        Some(found)
    })
}
