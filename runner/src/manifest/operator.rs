//! `operators`: the declaration of each operator.

use std::path::PathBuf;

use super::{
    criteria,
    data_file::{self, DataFileDecl},
    edge::{self, EdgeDecl, Ports},
    operator_config::{self, OperatorConfig},
    operator_settings::{OperatorSettings, PostcardPolicy},
};
use crate::declare::{
    Entry, Guarded, Kind, Located, Node, Places, Reader, Shape, Span, Spanned, StageName,
    StreamName, Value, decode_hex, parsed, pattern, read_located, section, words,
};

/// The source of an operator's code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentSource {
    /// A file, by its absolute path.
    Path(PathBuf),
    /// A built-in operator, by its name.
    Builtin(String),
}

impl std::fmt::Display for ComponentSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Builtin(name) => write!(f, "builtin:{name}"),
        }
    }
}

section! {
    /// An operator: a WebAssembly component between streams.
    #[derive(Debug, Clone)]
    pub(crate) struct OperatorKeys: "operator" with settings: OperatorSettings {
        /// Code of the operator: a path relative to the manifest, or `builtin:<name>`.
        pub wasm: Guarded<ComponentSource> = component(), required, swap in graph;
        /// Hash that the code must have.
        pub digest: Option<[u8; 32]> = digest(), unset("any"), keep in graph;
        /// Input: a stream, `{stream: …}`, or by port `{port: stream}`.
        pub from: Option<Ports<EdgeDecl>> = edge::inputs(), unset("none"), rewire in graph;
        /// Output: a stream, or by port `{port: stream}`.
        pub to: Option<Ports<Spanned<StreamName>>> = edge::outputs(), unset("none"), rewire in graph;
        /// Configuration, passed to the operator as JSON.
        pub config: Option<Guarded<OperatorConfig>> = operator_config::kind(), unset("`{}`"), swap in graph;
        /// Files whose content is set in `config`, each under its key: `{table: cities.csv}`. At most 16 of 8 MiB.
        pub files: Vec<DataFileDecl> = data_file::files(), empty("none"), swap in graph;
        /// Form of records of `postcard` streams: `json` converts them by the schema, `native` passes them unchanged.
        pub postcard: Option<PostcardPolicy> = words(POSTCARDS),
            unset("`json` for `builtin:`, else `native`"), rewire in graph;
    }
}

const POSTCARDS: &[(&str, PostcardPolicy)] = &[
    ("json", PostcardPolicy::Json),
    ("native", PostcardPolicy::Native),
];

/// An operator as declared in the manifest.
#[derive(Debug, Clone)]
pub(crate) struct OperatorDecl {
    pub(crate) name: Spanned<StageName>,
    pub(crate) component: Spanned<Guarded<ComponentSource>>,
    pub(crate) digest: Option<Spanned<[u8; 32]>>,
    pub(crate) from: Option<Ports<EdgeDecl>>,
    pub(crate) to: Option<Ports<Spanned<StreamName>>>,
    pub(crate) config: Guarded<OperatorConfig>,
    /// Location of `config`, or of the operator's name; `None` if `config` is invalid.
    pub(crate) config_span: Option<Span>,
    /// Files whose content becomes part of `config`.
    pub(crate) files: Vec<DataFileDecl>,
    pub(crate) postcard: PostcardPolicy,
    pub(crate) settings: OperatorSettings,
    /// Locations of its keys.
    pub(crate) places: Places,
    /// Whether `from` and `to` were read without mistakes, so that ports can be checked. A misspelt key counts as a
    /// mistake.
    pub(crate) wired: bool,
}

impl OperatorDecl {
    /// Returns the location of the value at a path, or of the operator's name.
    pub(crate) fn span_of(&self, path: &str) -> Span {
        self.places.value(path).unwrap_or(self.name.span)
    }
}

/// Reads one operator. Returns `None` without a valid `wasm`, since nothing further can be checked then.
pub(crate) fn read(cx: &mut Reader<'_>, entry: &Entry) -> Option<OperatorDecl> {
    let name = cx.name(entry, "an operator", StageName::new);
    let keys = read_located::<OperatorKeys>(cx, &entry.node, &entry.key.text)?;
    let are_files_valid = check_files(cx, &keys);
    let config_span = config_span(cx, entry, &keys).filter(|_| are_files_valid);
    let wired = !keys.is_faulty("from") && !keys.is_faulty("to");
    let Located { value, places, .. } = keys;
    let postcard = match (value.postcard, &*value.wasm) {
        (Some(postcard), _) => postcard,
        (None, ComponentSource::Builtin(_)) => PostcardPolicy::Json,
        (None, ComponentSource::Path(_)) => PostcardPolicy::Native,
    };
    let span_of = |key: &str| places.value(key).unwrap_or(entry.key.span);
    Some(OperatorDecl {
        name: name?,
        component: Spanned::new(value.wasm, span_of("wasm")),
        digest: value
            .digest
            .map(|digest| Spanned::new(digest, span_of("digest"))),
        from: value.from,
        to: value.to,
        config: value
            .config
            .unwrap_or_else(|| Guarded::open(serde_json::json!({}).into())),
        config_span,
        files: value.files,
        postcard,
        settings: value.settings,
        places,
        wired,
    })
}

/// Returns the location for errors of the configuration; `None` if the configuration is invalid or incomplete.
fn config_span(cx: &mut Reader<'_>, entry: &Entry, keys: &Located<OperatorKeys>) -> Option<Span> {
    let config = entry.node.get("config").map(|entry| &entry.node);
    let is_ambiguous = config.is_some_and(|config| refuse_ambiguous(cx, &keys.value.wasm, config));
    // Do not report consequences of an invalid or misspelt key.
    let is_faulty = is_ambiguous || keys.is_faulty("config") || keys.is_faulty("files");
    let span = keys.places.key("config").unwrap_or(entry.key.span);
    (!is_faulty).then_some(span)
}

/// Checks that `files` and `config` fit together.
fn check_files(cx: &mut Reader<'_>, keys: &Located<OperatorKeys>) -> bool {
    let config = keys.value.config.as_deref().map(|config| &**config);
    let span_of = |path: &str| keys.places.key(path).unwrap_or_default();
    let files = &keys.value.files;
    data_file::check(cx, files, config, span_of)
}

fn component() -> Kind<Guarded<ComponentSource>> {
    Kind::new(Shape::Text, |cx, node, what| {
        let text = cx.text(node, what, "a path or `builtin:<name>`")?;
        let source = match text.as_str().strip_prefix("builtin:") {
            Some(name) => ComponentSource::Builtin(name.to_owned()),
            None => ComponentSource::Path(cx.path(text.as_str())),
        };
        Some(Guarded::new(source, text.value.is_secret()))
    })
}

fn digest() -> Kind<[u8; 32]> {
    let shape = pattern("`blake3:<64 hex digits>`", "^blake3:[0-9A-Fa-f]{64}$");
    parsed(shape, "a digest", |text| {
        let hex = text.strip_prefix("blake3:").and_then(decode_hex);
        hex.ok_or_else(|| ("expected `blake3:` and 64 hex digits".to_owned(), None))
    })
}

/// Rejects ambiguous criteria in the `config` of a `split`, such as text that resembles a number. Returns whether it
/// found any.
fn refuse_ambiguous(cx: &mut Reader<'_>, component: &ComponentSource, config: &Node) -> bool {
    let is_split = matches!(component, ComponentSource::Builtin(name) if name == "split");
    let routes = config.get("routes").filter(|_| is_split);
    let Some(Value::Sequence(routes)) = routes.map(|entry| &entry.node.value) else {
        return false;
    };
    let mut any = false;
    for when in routes.iter().filter_map(|route| route.get("when")) {
        any |= criteria::refuse_ambiguous(cx, &when.node);
    }
    any
}
