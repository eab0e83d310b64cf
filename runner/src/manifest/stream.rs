//! `streams`: the declaration of each stream.

use mosaik_streams::{Encoding, Schema, StreamId};

use super::{
    criteria::{self, CriteriaDecl},
    postcard_schema,
    stream_config::{Scope, StreamConfig, StreamSettings},
};
use crate::declare::{
    Diagnostic, Entry, Guarded, Kind, Located, Reader, Shape, Span, Spanned, StreamName,
    read_located, section, text, words,
};

/// The word for an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncodingName {
    Json,
    Text,
    Bytes,
    Postcard,
}

const ENCODINGS: &[(&str, EncodingName)] = &[
    ("json", EncodingName::Json),
    ("text", EncodingName::Text),
    ("bytes", EncodingName::Bytes),
    ("postcard", EncodingName::Postcard),
];

section! {
    /// A stream; `{}` is enough.
    #[derive(Debug, Clone)]
    pub(crate) struct StreamKeys: "stream" with settings: StreamSettings {
        /// ID of the stream on the network. Text is hashed; 64 hex digits are used unchanged.
        pub id: Option<Guarded<String>> = text(), unset("its name"), rewire in graph;
        /// Encoding of its records. `postcard` needs a `schema`.
        pub encoding: EncodingName = words(ENCODINGS), default(EncodingName::Json), rewire in graph;
        /// Types of a postcard record, in the order of the fields of the Rust struct.
        pub schema: Option<Schema> = schema(), unset("none"), rewire in graph;
        /// Criteria of every subscriber on this node, in addition to those of its edge.
        pub criteria: Option<CriteriaDecl> = criteria::kind(), unset("all records"), retune in graph;
    }
}

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
    let Some(keys) = read_located::<StreamKeys>(cx, &entry.node, &entry.key.text) else {
        return Some(decl);
    };
    refuse_network_keys(cx, &keys, &decl.name.value);
    decl.config.encoding = encoding(cx, &keys);
    if let Some(span) = keys.places.value("encoding") {
        decl.encoding_span = span;
    }
    if let Some(span) = keys.places.value("id") {
        decl.id_span = span;
    }
    let keys = keys.value;
    if let Some(id) = keys.id {
        decl.config.id = StreamId::from(id.as_str());
    }
    decl.criteria = keys.criteria;
    decl.config.settings = keys.settings;
    Some(decl)
}

/// Rejects keys that only affect remote peers on a stream that is not shared: most likely `scope: network` was
/// forgotten.
fn refuse_network_keys(cx: &mut Reader<'_>, keys: &Located<StreamKeys>, name: &StreamName) {
    const NETWORK_ONLY: [&str; 6] = [
        "id",
        "max_consumers",
        "disconnect_lagging",
        "require",
        "backoff",
        "durable",
    ];
    if keys.value.settings.scope == Scope::Network || keys.is_faulty("scope") {
        return;
    }
    for key in NETWORK_ONLY {
        let Some(span) = keys.places.key(key) else {
            continue;
        };
        cx.note(
            Diagnostic::error(format!(
                "`{key}` has no effect on `{name}`: its scope is `node`"
            ))
            .at(span, "only for streams of scope `network`")
            .help("add `scope: network`, or remove this key"),
        );
    }
}

fn schema() -> Kind<Schema> {
    Kind::new(Shape::PostcardSchema, |cx, node, _| {
        let schema = postcard_schema::read(cx, node)?;
        if let Err(wrong) = schema.check() {
            cx.note(
                Diagnostic::error(format!("invalid schema: {wrong}")).at(node.span, "this schema"),
            );
            return None;
        }
        Some(schema)
    })
}

/// Combines `encoding` and `schema`.
fn encoding(cx: &mut Reader<'_>, keys: &Located<StreamKeys>) -> Encoding {
    let (name, schema) = (keys.value.encoding, &keys.value.schema);
    let encoding = match name {
        EncodingName::Json => Encoding::Json,
        EncodingName::Text => Encoding::Text,
        EncodingName::Bytes => Encoding::Bytes,
        EncodingName::Postcard => match schema {
            Some(schema) => return Encoding::Postcard(schema.clone()),
            None => Encoding::Json,
        },
    };
    let is_postcard = name == EncodingName::Postcard;
    if is_postcard && !keys.is_faulty("schema") {
        let span = keys.places.value("encoding").unwrap_or_default();
        cx.note(
            Diagnostic::error("`postcard` needs a `schema`")
                .at(span, "its bytes cannot be decoded without one")
                .help("write it like `schema: {symbol: string, price: f64}`, or use `encoding: bytes`"),
        );
    }
    if let Some(span) = keys.places.key("schema")
        && !is_postcard
        && !keys.is_faulty("encoding")
    {
        cx.note(
            Diagnostic::error("`schema` is for `encoding: postcard` only")
                .at(span, format!("the encoding is `{}`", encoding.name()))
                .help("add `encoding: postcard`, or remove the schema"),
        );
    }
    encoding
}
