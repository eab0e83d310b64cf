//! `from` and `to`: the streams that a stage reads or writes, with the settings of each subscription.

use mosaik_streams::durable::StartAt;

use super::{
    conditions::Condition,
    criteria::{self, CriteriaDecl},
    start_at::start_at,
    stream_config::{MAX_BATCH_SIZE, MAX_BUFFER_BYTES, MAX_BUFFER_SIZE},
};
use crate::declare::{
    Declared, Diagnostic, Kind, Located, Node, PortName, Reader, Shape, Span, Spanned, StreamName,
    Value, count, nested, read_located, section, size, stream_name,
};

section! {
    /// The settings of an edge that can be compared between two manifests.
    #[derive(Debug, Clone, PartialEq)]
    pub struct EdgeSettings: "edge_settings" + Default + differences {
        /// Records that wait on this edge.
        pub buffer_size: Option<usize> = count(1, MAX_BUFFER_SIZE), unset("the stream's"), retune;
        /// Bytes that wait on this edge.
        pub buffer_bytes: Option<usize> = size(1, MAX_BUFFER_BYTES), unset("the stream's"), retune;
        /// Records taken from this edge at once. One call of an operator gets them.
        pub batch_size: usize = count(1, MAX_BATCH_SIZE as u64), default(MAX_BATCH_SIZE), retune;
        /// Record of a durable stream with which a new reader begins: a word, a time or a position.
        pub start: Option<StartAt> = start_at(), unset("`latest`"), rewire;
        /// Condition under which this subscriber is online.
        pub online_when: Option<Condition> = nested::<Condition>(), unset("the stream's"), retune;
    }
}

section! {
    /// A subscription to a stream.
    #[derive(Debug, Clone)]
    pub(crate) struct EdgeKeys: "edge" with settings: EdgeSettings {
        /// Stream to read.
        pub stream: Spanned<StreamName> = stream_name(), required, rewire in graph;
        /// Criteria that its records must match, in addition to those of the stream.
        pub criteria: Option<CriteriaDecl> = criteria::kind(), unset("all records"), retune in graph;
    }
}

/// A subscription as written in the manifest.
#[derive(Debug, Clone)]
pub(crate) struct EdgeDecl {
    pub(crate) stream: Spanned<StreamName>,
    pub(crate) criteria: Option<CriteriaDecl>,
    pub(crate) criteria_span: Span,
    pub(crate) settings: EdgeSettings,
}

/// The wiring of an operator: a single item without a port name, or one item per port.
#[derive(Debug, Clone)]
pub(crate) enum Ports<T> {
    One(T),
    Named(Vec<(Spanned<PortName>, T)>, Span),
}

/// A subscription: the name of a stream, or a mapping.
pub(crate) fn edge() -> Kind<EdgeDecl> {
    let shape = Shape::Either(vec![Shape::Name, Shape::Of(EdgeKeys::SECTION)]);
    Kind::new(shape, read)
}

/// The inputs of an operator.
pub(crate) fn inputs() -> Kind<Ports<EdgeDecl>> {
    let shape = Shape::Either(vec![
        Shape::Name,
        Shape::Of(EdgeKeys::SECTION),
        Shape::Map(Box::new(edge().shape)),
    ]);
    Kind::new(shape, |cx, node, _| read_ports(cx, node))
}

/// The outputs of an operator.
pub(crate) fn outputs() -> Kind<Ports<Spanned<StreamName>>> {
    let shape = Shape::Either(vec![Shape::Name, Shape::Map(Box::new(Shape::Name))]);
    Kind::new(shape, |cx, node, _| read_outputs(cx, node))
}

fn read(cx: &mut Reader<'_>, node: &Node, what: &str) -> Option<EdgeDecl> {
    if matches!(node.value, Value::Scalar(_)) && !node.is_null() {
        let stream = cx.name_value(node, what, "a stream", StreamName::new)?;
        return Some(EdgeDecl {
            stream,
            criteria: None,
            criteria_span: node.span,
            settings: EdgeSettings::default(),
        });
    }
    if !matches!(node.value, Value::Mapping(_)) {
        cx.expected(node, what, "the name of a stream or `{stream: …}`");
        return None;
    }
    let Located { value, places, .. } = read_located::<EdgeKeys>(cx, node, what)?;
    Some(EdgeDecl {
        stream: value.stream,
        criteria: value.criteria,
        criteria_span: places.value("criteria").unwrap_or(node.span),
        settings: value.settings,
    })
}

fn read_ports(cx: &mut Reader<'_>, node: &Node) -> Option<Ports<EdgeDecl>> {
    match &node.value {
        // A mapping with keys of an edge is an edge, even if `stream` is missing.
        Value::Mapping(entries)
            if !entries
                .iter()
                .any(|entry| EdgeKeys::SECTION.names().any(|name| name == entry.key.text)) =>
        {
            Some(named(cx, node, read))
        }
        Value::Mapping(_) | Value::Scalar(_) if !node.is_null() => {
            read(cx, node, "from").map(Ports::One)
        }
        _ => {
            cx.expected(
                node,
                "from",
                "the name of a stream, `{stream: …}` or `{port: …}`",
            );
            None
        }
    }
}

fn read_outputs(cx: &mut Reader<'_>, node: &Node) -> Option<Ports<Spanned<StreamName>>> {
    match &node.value {
        Value::Mapping(_) => Some(named(cx, node, &*stream_name().read)),
        Value::Scalar(_) if !node.is_null() => (stream_name().read)(cx, node, "to").map(Ports::One),
        _ => {
            cx.expected(node, "to", "the name of a stream or `{port: stream}`");
            None
        }
    }
}

fn named<T>(
    cx: &mut Reader<'_>,
    node: &Node,
    mut read: impl FnMut(&mut Reader<'_>, &Node, &str) -> Option<T>,
) -> Ports<T> {
    let Value::Mapping(entries) = &node.value else {
        return Ports::Named(Vec::new(), node.span);
    };
    if entries.is_empty() {
        cx.note(Diagnostic::error("no stream is named").at(node.span, "expected a stream's name"));
    }
    let ports = entries.iter().filter_map(|entry| {
        let port = cx.name(entry, "a port", PortName::new)?;
        Some((port, read(cx, &entry.node, &entry.key.text)?))
    });
    Ports::Named(ports.collect(), node.span)
}
