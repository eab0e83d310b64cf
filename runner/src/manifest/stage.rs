//! `producers` and `consumers`: the stages through which records enter and leave.

use std::path::PathBuf;

use super::{
    connector::{FileSource, Format, SinkConfig, SourceConfig},
    de,
    edge::{self, EDGE_SHAPE, EdgeDecl},
    guarded::Guarded,
    keys::{Section, Shape, required},
    reader::Reader,
    scalar::{StageName, StreamName},
    source::{Span, Spanned},
    tree::{Entry, Node, Value},
};

/// A producer as declared in the manifest.
#[derive(Debug, Clone)]
pub(crate) struct ProducerDecl {
    pub(crate) name: Spanned<StageName>,
    pub(crate) from: Guarded<SourceConfig>,
    /// Locations of the path and of the format, or of the connector.
    pub(crate) path_span: Span,
    pub(crate) format_span: Span,
    /// Locations of the values of the connector's keys.
    key_spans: Vec<(String, Span)>,
    pub(crate) to: Spanned<StreamName>,
}

impl ProducerDecl {
    /// Returns the location of the value of a connector's key, or of the connector.
    pub(crate) fn span_of(&self, key: &str) -> Span {
        let mut spans = self.key_spans.iter();
        spans
            .find(|(name, _)| name == key)
            .map_or(self.path_span, |(_, span)| *span)
    }
}

/// A consumer as declared in the manifest.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerDecl {
    pub(crate) name: Spanned<StageName>,
    pub(crate) from: EdgeDecl,
    pub(crate) to: Guarded<SinkConfig>,
    pub(crate) to_span: Span,
}

/// The keys of a producer.
pub(crate) static PRODUCER: Section = Section {
    name: "producer",
    doc: "A producer: from outside to a stream.",
    keys: &[
        required(
            "from",
            Shape::Source,
            "Source of its records: `{file: {path: data/stocks.csv}}`.",
        ),
        required("to", Shape::Name, "The stream it writes."),
    ],
};

/// The keys of a consumer.
pub(crate) static CONSUMER: Section = Section {
    name: "consumer",
    doc: "A consumer: from a stream to outside.",
    keys: &[
        required("from", EDGE_SHAPE, "Input: a stream, or `{stream: …}`."),
        required(
            "to",
            Shape::Sink,
            "Destination of its records: `{stdout: {}}`.",
        ),
    ],
};

/// Reads one producer.
pub(crate) fn read_producer(cx: &mut Reader<'_>, entry: &Entry) -> Option<ProducerDecl> {
    let name = cx.name(entry, "a producer", StageName::new);
    let fields = cx.section(&entry.node, &entry.key.text, &PRODUCER)?;
    let to = fields
        .node("to")
        .and_then(|node| edge::stream(cx, node, "to"));
    let node = fields.node("from")?;
    let mut from = connector::<SourceConfig>(cx, node)?;
    let key_spans = key_spans(node);
    let inner = |key: &str| {
        let mut spans = key_spans.iter();
        spans.find(|(name, _)| name == key).map(|(_, span)| *span)
    };
    if let SourceConfig::File(file) = &mut from.0 {
        file.path = cx.path(&file.path.to_string_lossy());
    }
    let path_span = inner("path").unwrap_or(node.span);
    Some(ProducerDecl {
        name: name?,
        from: Guarded::with(from.0, from.1),
        path_span,
        format_span: inner("format").unwrap_or(path_span),
        key_spans,
        to: to?,
    })
}

/// Reads one consumer.
pub(crate) fn read_consumer(cx: &mut Reader<'_>, entry: &Entry) -> Option<ConsumerDecl> {
    let name = cx.name(entry, "a consumer", StageName::new);
    let fields = cx.section(&entry.node, &entry.key.text, &CONSUMER)?;
    let from = fields
        .node("from")
        .and_then(|node| edge::read(cx, node, "from"));
    let node = fields.node("to")?;
    let mut to = connector::<SinkConfig>(cx, node)?;
    if let SinkConfig::File(file) = &mut to.0 {
        file.path = cx.path(&file.path.to_string_lossy());
    }
    let path = node
        .get("file")
        .and_then(|file| file.node.get("path"))
        .map(|entry| entry.node.span);
    Some(ConsumerDecl {
        name: name?,
        from: from?,
        to: Guarded::with(to.0, to.1),
        to_span: path.unwrap_or(node.span),
    })
}

/// Returns the locations of the values of a connector's keys.
fn key_spans(node: &Node) -> Vec<(String, Span)> {
    let Value::Mapping(connectors) = &node.value else {
        return Vec::new();
    };
    let keys = connectors.iter().flat_map(|entry| match &entry.node.value {
        Value::Mapping(keys) => keys.as_slice(),
        _ => &[],
    });
    keys.map(|entry| (entry.key.text.clone(), entry.node.span))
        .collect()
}

fn connector<T: for<'de> serde::Deserialize<'de>>(
    cx: &mut Reader<'_>,
    node: &Node,
) -> Option<(T, Vec<String>)> {
    let (node, put_in) = cx.resolve_with(node)?;
    match de::from_node(&node) {
        Ok(config) => Some((config, put_in)),
        Err(wrong) => {
            cx.note(*wrong);
            None
        }
    }
}

impl FileSource {
    /// Returns the configured format, or by default the one of the file's extension.
    pub fn format_or_by_extension(&self) -> Format {
        let by_extension = || match self
            .path
            .extension()
            .and_then(|extension| extension.to_str())
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("csv") => Format::Csv,
            Some("jsonl" | "ndjson") => Format::Jsonl,
            _ => Format::Lines,
        };
        self.format.unwrap_or_else(by_extension)
    }
}

/// Returns the path of the file that a sink writes, if it writes one.
pub(crate) fn sink_path(config: &SinkConfig) -> Option<&PathBuf> {
    match config {
        SinkConfig::File(file) => Some(&file.path),
        SinkConfig::Stdout(_) => None,
    }
}
