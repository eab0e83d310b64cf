//! `from` and `to`: the streams that a stage reads or writes, with the settings of each subscription.

use super::{
    conditions::{self, Condition},
    criteria::{self, CriteriaDecl},
    diagnostics::Diagnostic,
    keys::{Section, Shape, key, required},
    reader::Reader,
    scalar::{PortName, StreamName},
    source::{Span, Spanned},
    stream::{BUFFER_SIZE, buffer_bytes, buffer_size},
    stream_config::MAX_BATCH_SIZE,
    tree::{Node, Value},
};

/// A subscription as written in the manifest.
#[derive(Debug, Clone)]
pub(crate) struct EdgeDecl {
    pub(crate) stream: Spanned<StreamName>,
    pub(crate) criteria: Option<CriteriaDecl>,
    pub(crate) criteria_span: Span,
    pub(crate) buffer_size: Option<usize>,
    pub(crate) buffer_bytes: Option<usize>,
    pub(crate) batch_size: Option<usize>,
    pub(crate) online_when: Option<Condition>,
}

/// The wiring of an operator: a single item without a port name, or one item per port.
#[derive(Debug, Clone)]
pub(crate) enum Ports<T> {
    One(T),
    Named(Vec<(Spanned<PortName>, T)>, Span),
}

/// The keys of a subscription in its long form.
pub(crate) static EDGE: Section = Section {
    name: "edge",
    doc: "A subscription to a stream.",
    keys: &[
        required("stream", Shape::Name, "The stream."),
        key(
            "criteria",
            Shape::Criteria,
            "Criteria that its records must meet; the stream's own are added (and). Default: all records.",
        ),
        key(
            "buffer_size",
            BUFFER_SIZE,
            "Largest number of records that wait on this edge. Default: the stream's.",
        ),
        key(
            "buffer_bytes",
            Shape::Size,
            "Largest number of bytes that wait on this edge. Default: the stream's.",
        ),
        key(
            "batch_size",
            Shape::Count(1, MAX_BATCH_SIZE as u64),
            "Number of records taken from this edge at once, at most; one call of an operator gets them. Default: 4096.",
        ),
        key(
            "online_when",
            Shape::Of(&conditions::CONDITION),
            "When this consumer counts as online. Default: the stream's.",
        ),
    ],
};

/// Either the name of a stream, or the long form.
pub(crate) const EDGE_SHAPE: Shape = Shape::Either(&[Shape::Name, Shape::Of(&EDGE)]);

const EXPECTED: &str = "the name of a stream or `{stream: …}`";

/// Reads an edge.
pub(crate) fn read(cx: &mut Reader<'_>, node: &Node, what: &str) -> Option<EdgeDecl> {
    if matches!(node.value, Value::Scalar(_)) && !node.is_null() {
        let stream = cx.name_value(node, what, "a stream", StreamName::new)?;
        return Some(EdgeDecl {
            stream,
            criteria: None,
            criteria_span: node.span,
            buffer_size: None,
            buffer_bytes: None,
            batch_size: None,
            online_when: None,
        });
    }
    if !matches!(node.value, Value::Mapping(_)) {
        cx.expected(node, what, EXPECTED);
        return None;
    }
    let fields = cx.section(node, what, &EDGE)?;
    let criteria = fields
        .node("criteria")
        .and_then(|node| criteria::read(cx, node));
    let buffer_size = fields
        .node("buffer_size")
        .and_then(|node| buffer_size(cx, node));
    let buffer_bytes = fields
        .node("buffer_bytes")
        .and_then(|node| buffer_bytes(cx, node));
    let batch_size = fields
        .node("batch_size")
        .and_then(|node| cx.count(node, "batch_size", 1, MAX_BATCH_SIZE as u64))
        .and_then(|datums| usize::try_from(datums).ok());
    let online_when = fields
        .node("online_when")
        .and_then(|node| conditions::read_condition(cx, node));
    let stream = cx.name_value(
        fields.node("stream")?,
        "stream",
        "a stream",
        StreamName::new,
    )?;
    let criteria_span = fields.node("criteria").map_or(node.span, |node| node.span);
    Some(EdgeDecl {
        stream,
        criteria,
        criteria_span,
        buffer_size,
        buffer_bytes,
        batch_size,
        online_when,
    })
}

/// Reads the `from` of an operator.
pub(crate) fn read_ports(cx: &mut Reader<'_>, node: &Node) -> Option<Ports<EdgeDecl>> {
    match &node.value {
        // A mapping with keys of an edge is an edge, even if `stream` is missing.
        Value::Mapping(entries)
            if !entries
                .iter()
                .any(|entry| EDGE.names().any(|name| name == entry.key.text)) =>
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

/// Reads the `to` of an operator.
pub(crate) fn read_outputs(cx: &mut Reader<'_>, node: &Node) -> Option<Ports<Spanned<StreamName>>> {
    match &node.value {
        Value::Mapping(_) => Some(named(cx, node, stream)),
        Value::Scalar(_) if !node.is_null() => stream(cx, node, "to").map(Ports::One),
        _ => {
            cx.expected(node, "to", "the name of a stream or `{port: stream}`");
            None
        }
    }
}

/// Reads the name of the stream to write.
pub(crate) fn stream(cx: &mut Reader<'_>, node: &Node, what: &str) -> Option<Spanned<StreamName>> {
    if !matches!(node.value, Value::Scalar(_)) || node.is_null() {
        cx.expected(node, what, "the name of a stream");
        return None;
    }
    cx.name_value(node, what, "a stream", StreamName::new)
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
