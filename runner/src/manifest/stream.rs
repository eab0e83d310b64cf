//! `streams`: the settings of each stream.

use std::time::Duration;

use mosaik_streams::{Encoding, StreamId};

use super::{
    conditions,
    criteria::{self, CriteriaDecl},
    diagnostics::Diagnostic,
    keys::{Section, Shape, key},
    postcard_schema,
    reader::{Fields, Reader},
    scalar::{
        StreamName, duration_hint, parse_duration, parse_size, show_duration, show_size, size_hint,
    },
    source::{Span, Spanned},
    stream_config::{
        Backoff, Lagging, MAX_BUFFER_BYTES, MAX_BUFFER_SIZE, MAX_LINGER, Scope, StreamConfig,
    },
    tree::{Entry, Node, Value},
};

/// A stream, with the locations that later checks refer to.
#[derive(Debug, Clone)]
pub(crate) struct StreamDecl {
    pub(crate) name: Spanned<StreamName>,
    pub(crate) config: StreamConfig,
    pub(crate) criteria: Option<CriteriaDecl>,
    /// Location of `encoding`, or of the stream's name.
    pub(crate) encoding_span: Span,
    /// Location of `id`, or of the stream's name.
    pub(crate) id_span: Span,
}

static BACKOFF: Section = Section {
    name: "backoff",
    doc: "Pauses between the attempts of a consumer that has lost its producer.",
    keys: &[
        key(
            "initial",
            Shape::Duration,
            "Before the first try. Default: `500ms`.",
        ),
        key(
            "max",
            Shape::Duration,
            "The longest wait between two tries. Default: `60s`.",
        ),
        key(
            "max_elapsed",
            Shape::Duration,
            "Tried for so long in all, then given up. Default: `5m`.",
        ),
    ],
};

const SCOPES: &[&str] = &["node", "network"];
const ENCODINGS: &[&str] = &["json", "text", "bytes", "postcard"];
const WAIT: &[&str] = &["wait"];
pub(crate) const BUFFER_SIZE: Shape = Shape::Count(1, MAX_BUFFER_SIZE);

/// The keys of a stream.
pub(crate) static STREAM: Section = Section {
    name: "stream",
    doc: "A stream; `{}` is enough.",
    keys: &[
        key(
            "scope",
            Shape::Words(SCOPES),
            "`node` (default): the stream stays inside this process, unseen by others. `network`: every producer of its id on the network feeds every consumer of it.",
        ),
        key(
            "id",
            Shape::Text,
            "Id of the stream on the network: hashed, 64 hex digits are taken as they are. Default: its name.",
        ),
        key(
            "encoding",
            Shape::Words(ENCODINGS),
            "Encoding of its records. Default: `json`. `postcard` needs a `schema`.",
        ),
        key(
            "schema",
            Shape::PostcardSchema,
            "Shape of a postcard record, its fields in the order of the Rust struct.",
        ),
        key(
            "buffer_size",
            BUFFER_SIZE,
            "Largest number of records that wait for each subscriber. Default: 1024. `buffer_bytes` holds too.",
        ),
        key(
            "buffer_bytes",
            Shape::Size,
            "Largest number of bytes that wait for each subscriber. Default: `8MiB`.",
        ),
        key(
            "linger",
            Shape::Duration,
            "Time that a record waits for more to be sent with it, at most 10s. Default: `0s`, none.",
        ),
        key(
            "max_consumers",
            Shape::Count(1, u32::MAX as u64),
            "The most remote subscribers. Default: any number.",
        ),
        key(
            "disconnect_lagging",
            Shape::Either(&[Shape::Bool, Shape::Duration, Shape::Words(WAIT)]),
            "A remote subscriber that does not keep up: `true` cuts it at once, `false` lets it miss records, a duration waits that long before cutting it, `wait` waits for ever. Default: `30s`.",
        ),
        key(
            "online_when",
            conditions::ONLINE_WHEN_SHAPE,
            "When each side counts as online. Default: producers at one consumer, consumers from the start.",
        ),
        key(
            "require",
            Shape::Of(&conditions::REQUIRE),
            "Who must show what; the other side checks. Default: nothing.",
        ),
        key(
            "criteria",
            Shape::Criteria,
            "Criteria of every subscriber here; those of an edge are added (and). Default: all records.",
        ),
        key(
            "backoff",
            Shape::Of(&BACKOFF),
            "Pauses between the attempts of a consumer that has lost its producer.",
        ),
    ],
};

/// Reads one stream.
pub(crate) fn read(cx: &mut Reader<'_>, entry: &Entry) -> Option<StreamDecl> {
    let name = cx.name(entry, "a stream", StreamName::new)?;
    let mut decl = StreamDecl {
        config: StreamConfig::new(&name.value),
        criteria: None,
        encoding_span: name.span,
        id_span: name.span,
        name,
    };
    let Some(fields) = cx.section(&entry.node, &entry.key.text, &STREAM) else {
        return Some(decl);
    };
    let config = &mut decl.config;
    if let Some(node) = fields.node("scope")
        && cx.word(node, "scope", SCOPES) == Some("network")
    {
        config.scope = Scope::Network;
    }
    if let Some(node) = fields.node("id") {
        decl.id_span = node.span;
        if let Some(id) = cx.text(node, "id", "text") {
            config.id = StreamId::from(id.as_str());
        }
    }
    if let Some(span) = read_encoding(cx, fields, config) {
        decl.encoding_span = span;
    }
    if let Some(size) = fields
        .node("buffer_size")
        .and_then(|node| buffer_size(cx, node))
    {
        config.buffer_size = size;
    }
    if let Some(bytes) = fields
        .node("buffer_bytes")
        .and_then(|node| buffer_bytes(cx, node))
    {
        config.buffer_bytes = bytes;
    }
    if let Some(linger) = fields
        .node("linger")
        .and_then(|node| duration_within(cx, node, "linger", Duration::ZERO, MAX_LINGER))
    {
        config.linger = linger;
    }
    if let Some(node) = fields.node("max_consumers") {
        let max = cx.count(node, "max_consumers", 1, u64::from(u32::MAX));
        config.max_consumers = max.and_then(|max| usize::try_from(max).ok());
    }
    if let Some(lagging) = fields
        .node("disconnect_lagging")
        .and_then(|node| read_lagging(cx, node))
    {
        config.disconnect_lagging = lagging;
    }
    if let Some(node) = fields.node("online_when") {
        config.online_when = conditions::read_online_when(cx, node);
    }
    if let Some(node) = fields.node("require") {
        config.require = conditions::read_require(cx, node);
    }
    decl.criteria = fields
        .node("criteria")
        .and_then(|node| criteria::read(cx, node));
    if let Some(node) = fields.node("backoff") {
        read_backoff(cx, node, &mut config.backoff);
    }
    if config.scope == Scope::Node {
        refuse_network_keys(cx, fields, name_of(&decl));
    }
    Some(decl)
}

fn name_of(decl: &StreamDecl) -> &StreamName {
    &decl.name.value
}

/// Rejects keys that only affect remote peers on a stream that is not shared: most likely `scope: network` was
/// forgotten.
fn refuse_network_keys(cx: &mut Reader<'_>, fields: Fields<'_>, name: &StreamName) {
    const NETWORK_ONLY: [&str; 5] = [
        "id",
        "max_consumers",
        "disconnect_lagging",
        "require",
        "backoff",
    ];
    if let Some(node) = fields.node("scope")
        && !matches!(&node.value, Value::Scalar(scalar) if scalar.text == "node")
    {
        return;
    }
    for entry in NETWORK_ONLY.iter().filter_map(|key| fields.get(key)) {
        cx.note(
            Diagnostic::error(format!(
                "`{}` has no effect on `{name}`: its scope is `node`",
                entry.key.text
            ))
            .at(entry.key.span, "only for streams of scope `network`")
            .help("add `scope: network`, or remove this key"),
        );
    }
}

fn read_encoding(
    cx: &mut Reader<'_>,
    fields: Fields<'_>,
    config: &mut StreamConfig,
) -> Option<Span> {
    let word = fields
        .node("encoding")
        .map(|node| (cx.word(node, "encoding", ENCODINGS), node.span));
    let schema = fields.get("schema");
    match word {
        Some((Some("postcard"), span)) => {
            if let Some(entry) = schema {
                let schema = postcard_schema::read(cx, &entry.node)?;
                if let Err(wrong) = schema.check() {
                    cx.note(
                        Diagnostic::error(format!("the schema cannot be: {wrong}"))
                            .at(entry.node.span, "this schema"),
                    );
                    return None;
                }
                config.encoding = Encoding::Postcard(schema);
            } else {
                cx.note(
                    Diagnostic::error("`postcard` needs a `schema`")
                        .at(span, "its bytes cannot be read without one")
                        .help("write it like `schema: {symbol: string, price: f64}`, or take `encoding: bytes`"),
                );
            }
            return Some(span);
        }
        Some((Some("text"), _)) => config.encoding = Encoding::Text,
        Some((Some("bytes"), _)) => config.encoding = Encoding::Bytes,
        _ => {}
    }
    if let Some(entry) = schema
        && !matches!(word, Some((None, _)))
    {
        cx.note(
            Diagnostic::error("`schema` is for `encoding: postcard` only")
                .at(
                    entry.key.span,
                    format!("the encoding is `{}`", config.encoding.name()),
                )
                .help("add `encoding: postcard`, or remove the schema"),
        );
    }
    word.map(|(_, span)| span)
}

fn read_lagging(cx: &mut Reader<'_>, node: &Node) -> Option<Lagging> {
    const EXPECTED: &str = "`true`, `false`, a duration or `wait`";
    let text = cx.text(node, "disconnect_lagging", EXPECTED)?;
    if let Some(cut) = Reader::as_bool(&text) {
        return Some(if cut {
            Lagging::Disconnect
        } else {
            Lagging::Drop
        });
    }
    if text.as_str() == "wait" {
        return Some(Lagging::Wait);
    }
    cx.parse(node, "disconnect_lagging", EXPECTED, |text| {
        parse_duration(text).map_err(|_| (format!("expected {EXPECTED}"), duration_hint(text)))
    })
    .map(Lagging::After)
}

fn read_backoff(cx: &mut Reader<'_>, node: &Node, backoff: &mut Backoff) {
    let Some(fields) = cx.section(node, "backoff", &BACKOFF) else {
        return;
    };
    let read = |cx: &mut Reader<'_>, key: &'static str, into: &mut Duration| {
        if let Some(duration) = fields.node(key).and_then(|node| duration(cx, node, key)) {
            *into = duration;
        }
    };
    read(cx, "initial", &mut backoff.initial);
    read(cx, "max", &mut backoff.max);
    read(cx, "max_elapsed", &mut backoff.max_elapsed);
    if backoff.initial.is_zero() {
        cx.note(
            Diagnostic::error("`initial` must be more than nothing")
                .at(fields.span, "would try without a pause"),
        );
    } else if backoff.initial > backoff.max {
        cx.note(
            Diagnostic::error("`initial` is longer than `max`")
                .at(fields.span, "the first wait is the shortest"),
        );
    }
}

/// Reads a duration.
pub(crate) fn duration(cx: &mut Reader<'_>, node: &Node, what: &str) -> Option<Duration> {
    cx.parse(node, what, "a duration", |text| {
        parse_duration(text).map_err(|label| (label, duration_hint(text)))
    })
}

/// Reads a duration within inclusive bounds.
pub(crate) fn duration_within(
    cx: &mut Reader<'_>,
    node: &Node,
    what: &str,
    min: Duration,
    max: Duration,
) -> Option<Duration> {
    let duration = duration(cx, node, what)?;
    cx.within(node, what, duration, (min, max), show_duration)
}

/// Reads a size in bytes, within inclusive bounds.
pub(crate) fn size(
    cx: &mut Reader<'_>,
    node: &Node,
    what: &str,
    min: u64,
    max: u64,
) -> Option<u64> {
    let size = cx.parse(node, what, "a size", |text| {
        parse_size(text).map_err(|label| (label, Some(size_hint(text))))
    })?;
    cx.within(node, what, size, (min, max), show_size)
}

/// Reads `buffer_size` of a stream or an edge.
pub(crate) fn buffer_size(cx: &mut Reader<'_>, node: &Node) -> Option<usize> {
    usize::try_from(cx.count(node, "buffer_size", 1, MAX_BUFFER_SIZE)?).ok()
}

/// Reads `buffer_bytes` of a stream or an edge.
pub(crate) fn buffer_bytes(cx: &mut Reader<'_>, node: &Node) -> Option<usize> {
    usize::try_from(size(cx, node, "buffer_bytes", 1, MAX_BUFFER_BYTES)?).ok()
}
