//! `operators`: the settings of each operator.

use std::{path::PathBuf, time::Duration};

use super::{
    criteria,
    data_file::{self, DataFileDecl},
    edge::{self, EDGE_SHAPE, EdgeDecl, Ports},
    grants::{self, Grants},
    guarded::{Guarded, decode_hex},
    keys::{Section, Shape, key, required},
    operator_config::{OperatorConfig, config},
    parallel,
    reader::Reader,
    scalar::{StageName, StreamName},
    source::{Span, Spanned},
    stream::{duration_within, size},
    tree::{Entry, Node, Value},
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

/// Resource limits of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorLimits {
    /// Memory, in bytes. Default: 64 MiB.
    pub memory: u64,
    /// CPU time of one call. Default: 1 s.
    pub time: Duration,
    /// Time that one call may spend waiting for the host. Default: 1 min.
    pub wait: Duration,
    /// Size of the code, in bytes. Default: 10 MiB.
    pub binary: u64,
}

impl Default for OperatorLimits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            time: Duration::from_secs(1),
            wait: Duration::from_mins(1),
            binary: 10 << 20,
        }
    }
}

/// The handling of records on which an operator fails.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OnError {
    /// Not set: drop and count the records. `up` then exits with 5.
    #[default]
    Unset,
    /// Drop and count the records.
    Skip,
    /// Stop the operator. Stages that feed only this operator end as well.
    Stop,
    /// Drop and count the records, and restart the operator.
    Restart,
    /// Send the records to this stream.
    To(StreamName),
}

/// The handling of an operator's state when it is swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatePolicy {
    /// Pass the state to the new instance. The default.
    #[default]
    Carry,
    /// Start the new instance with empty state.
    Reset,
}

/// The representation of records on `postcard` streams for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostcardPolicy {
    /// JSON, converted with the stream's schema in both directions. The default for built-in operators.
    Json,
    /// The unchanged bytes. The default for all other operators.
    Native,
}

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
    /// Locations of the parts of `config`.
    pub(crate) config_places: Vec<ConfigPlace>,
    /// Files whose content becomes part of `config`.
    pub(crate) files: Vec<DataFileDecl>,
    pub(crate) limits: OperatorLimits,
    /// Location of the memory limit, if it is set.
    pub(crate) memory_span: Option<Span>,
    pub(crate) grants: Grants,
    pub(crate) on_error: OnError,
    /// Location of the stream's name in `{to: …}`.
    pub(crate) on_error_span: Span,
    pub(crate) state: StatePolicy,
    pub(crate) tick: Option<Duration>,
    pub(crate) checkpoint: Option<Duration>,
    pub(crate) instances: usize,
    /// Location of the number of instances, or of the operator's name.
    pub(crate) instances_span: Span,
    pub(crate) key: Option<Spanned<Vec<String>>>,
    pub(crate) postcard: PostcardPolicy,
    /// Whether `from` and `to` were read without mistakes, so that ports can be checked. A misspelt key counts as a
    /// mistake.
    pub(crate) wired: bool,
}

/// Location of a part of an operator's `config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigPlace {
    /// Path of the part: `routes[1].when`.
    pub(crate) path: String,
    /// Location of its key, or of the item of a list.
    pub(crate) key: Span,
    pub(crate) value: Span,
}

impl ConfigPlace {
    /// Returns the locations of all parts of a configuration.
    fn all(config: &Node) -> Vec<Self> {
        let mut places = Vec::new();
        Self::add(config, "", &mut places);
        places
    }

    fn add(node: &Node, prefix: &str, places: &mut Vec<Self>) {
        match &node.value {
            Value::Scalar(_) => {}
            Value::Mapping(entries) => {
                let dot = if prefix.is_empty() { "" } else { "." };
                for entry in entries {
                    let path = format!("{prefix}{dot}{}", entry.key.text);
                    Self::add(&entry.node, &path, places);
                    places.push(Self {
                        path,
                        key: entry.key.span,
                        value: entry.node.span,
                    });
                }
            }
            Value::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{prefix}[{index}]");
                    Self::add(item, &path, places);
                    places.push(Self {
                        path,
                        key: item.span,
                        value: item.span,
                    });
                }
            }
        }
    }
}

pub(crate) const MIN_MEMORY: u64 = 1 << 20;
pub(crate) const MAX_MEMORY: u64 = 4 << 30;
pub(crate) const MAX_BINARY: u64 = 256 << 20;
pub(crate) const MIN_TIME: Duration = Duration::from_millis(1);
pub(crate) const MAX_TIME: Duration = Duration::from_mins(1);
pub(crate) const MAX_WAIT: Duration = Duration::from_hours(1);

static LIMITS: Section = Section {
    name: "limits",
    doc: "Bounds on memory, time and code of the operator.",
    keys: &[
        key(
            "memory",
            Shape::Size,
            "Its memory, 1MiB to 4GiB. Default: `64MiB`.",
        ),
        key(
            "time",
            Shape::Duration,
            "CPU time of one call, 1ms to 1m; a thousandth more for each record of its batch. Default: `1s`.",
        ),
        key(
            "wait",
            Shape::Duration,
            "Time that one call may wait for files, timers and responses, 1ms to 1h; a thousandth more for each record of its batch. Default: `1m`.",
        ),
        key(
            "binary",
            Shape::Size,
            "Its code, at most 256MiB. Default: `10MiB`.",
        ),
    ],
};

static ON_ERROR_TO: Section = Section {
    name: "on_error_to",
    doc: "Destination of records that the operator rejects or fails on.",
    keys: &[required("to", Shape::Name, "The stream.")],
};

const ON_ERRORS: &[&str] = &["skip", "stop", "restart"];
const STATES: &[&str] = &["carry", "reset"];
const POSTCARDS: &[&str] = &["json", "native"];

/// The keys of an operator.
pub(crate) static OPERATOR: Section = Section {
    name: "operator",
    doc: "An operator: a WebAssembly component between streams.",
    keys: &[
        required(
            "wasm",
            Shape::Text,
            "Its code: a path relative to the manifest, or `builtin:<name>`.",
        ),
        key(
            "digest",
            Shape::Pattern("^blake3:[0-9A-Fa-f]{64}$"),
            "Hash that the code must have: `blake3:<64 hex digits>`. Default: any.",
        ),
        key(
            "from",
            Shape::Either(&[Shape::Name, Shape::Of(&edge::EDGE), Shape::Map(&EDGE_SHAPE)]),
            "Input: a stream, `{stream: …}`, or by port `{port: stream}`.",
        ),
        key(
            "to",
            Shape::Either(&[Shape::Name, Shape::Map(&Shape::Name)]),
            "Output: a stream, or by port `{port: stream}`.",
        ),
        key(
            "config",
            Shape::Anything,
            "Handed to the operator as JSON. Default: `{}`.",
        ),
        key(
            "files",
            data_file::FILES,
            "Files beside the manifest whose content goes into `config`, by the key there: `{table: cities.csv}`. At most 8 MiB each.",
        ),
        key(
            "limits",
            Shape::Of(&LIMITS),
            "Bounds on its memory, time and code.",
        ),
        key(
            "on_error",
            Shape::Either(&[Shape::Words(ON_ERRORS), Shape::Of(&ON_ERROR_TO)]),
            "Policy for records that it rejects or fails on: `skip` drops and counts them, `stop` fails the operator, `restart` starts the operator again, `{to: stream}` sends them there. Default: as `skip`, and `up` exits with 5.",
        ),
        key(
            "state",
            Shape::Words(STATES),
            "Over a reload: `carry` (default) hands its state on, `reset` starts empty.",
        ),
        key(
            "tick",
            Shape::Duration,
            "Calls its `tick` so often. Default: never.",
        ),
        key(
            "checkpoint",
            Shape::Duration,
            "Takes a snapshot of its state so often while it is used, in memory, for the instance that follows a failure; 1ms to 24h. Default: `1s`.",
        ),
        key(
            "postcard",
            Shape::Words(POSTCARDS),
            "Form of `postcard` streams for it: `json` converts them by their schema, in and out; `native` leaves them as they are. Default: `json` for `builtin:` operators, `native` for others.",
        ),
        key(
            "instances",
            Shape::Count(1, parallel::MAX_INSTANCES),
            "Number of instances that run side by side, each on its own thread. Default: 1.",
        ),
        key(
            "key",
            parallel::KEY,
            "Field, or list of fields, whose value selects the instance for a record; needs JSON. Default: any free instance, with the order of the output restored.",
        ),
        key(
            "allow",
            Shape::Of(&grants::ALLOW),
            "Grants beyond its streams. Default: none.",
        ),
    ],
};

/// Reads one operator. Returns `None` without a valid `wasm`, since nothing further can be checked then.
pub(crate) fn read(cx: &mut Reader<'_>, entry: &Entry) -> Option<OperatorDecl> {
    let name = cx.name(entry, "an operator", StageName::new);
    let fields = cx.section(&entry.node, &entry.key.text, &OPERATOR)?;
    let component = fields.node("wasm").and_then(|node| component(cx, node));
    let digest = fields.node("digest").and_then(|node| digest(cx, node));
    let from = fields.node("from").map(|node| edge::read_ports(cx, node));
    let to = fields.node("to").map(|node| edge::read_outputs(cx, node));
    let config_places = fields.node("config").map(ConfigPlace::all);
    let config = fields
        .get("config")
        .map(|entry| (entry.key.span, config(cx, &entry.node)));
    let limits = fields
        .node("limits")
        .map(|node| read_limits(cx, node))
        .unwrap_or_default();
    let memory_span = fields
        .node("limits")
        .and_then(|node| Some(node.get("memory")?.node.span));
    let (on_error, on_error_span) = match fields.node("on_error") {
        Some(node) => on_error(cx, node).unwrap_or((OnError::Unset, node.span)),
        None => (OnError::Unset, entry.key.span),
    };
    let state = fields
        .node("state")
        .and_then(|node| cx.word(node, "state", STATES));
    let tick = fields
        .node("tick")
        .and_then(|node| interval(cx, node, "tick"));
    let checkpoint = fields
        .node("checkpoint")
        .and_then(|node| interval(cx, node, "checkpoint"));
    let postcard = fields
        .node("postcard")
        .and_then(|node| cx.word(node, "postcard", POSTCARDS));
    let (instances, key) = parallel::read(cx, fields);
    let grants = fields
        .get("allow")
        .map(|entry| grants::read(cx, &entry.node))
        .unwrap_or_default();
    let is_misspelt = |key| fields.get(key).is_none() && fields.is_misspelt(key);
    let wired = !matches!(from, Some(None))
        && !matches!(to, Some(None))
        && !is_misspelt("from")
        && !is_misspelt("to");
    let (config_span, config) = match config {
        Some((span, config)) => (config.is_some().then_some(span), config),
        // Do not report consequences of a misspelt key.
        None if is_misspelt("config") || is_misspelt("files") => (None, None),
        None => (Some(entry.key.span), None),
    };
    let files = data_file::read(cx, fields, config.as_deref().map(|config| &**config));
    let component = component?;
    let ambiguous = fields
        .node("config")
        .is_some_and(|node| refuse_ambiguous(cx, &component.value, node));
    let postcard = match (postcard, &*component.value) {
        (Some("json"), _) | (None, ComponentSource::Builtin(_)) => PostcardPolicy::Json,
        _ => PostcardPolicy::Native,
    };
    Some(OperatorDecl {
        name: name?,
        component,
        digest,
        from: from.flatten(),
        to: to.flatten(),
        config: config.unwrap_or_else(|| Guarded::open(serde_json::json!({}).into())),
        config_places: config_places.unwrap_or_default(),
        // Without its files the configuration is incomplete.
        config_span: config_span.filter(|_| files.is_some() && !ambiguous),
        files: files.unwrap_or_default(),
        limits,
        memory_span,
        grants,
        on_error,
        on_error_span,
        state: if state == Some("reset") {
            StatePolicy::Reset
        } else {
            StatePolicy::Carry
        },
        tick,
        checkpoint,
        instances: instances.as_ref().map_or(1, |instances| instances.value),
        instances_span: instances.map_or(entry.key.span, |instances| instances.span),
        key,
        postcard,
        wired,
    })
}

fn component(cx: &mut Reader<'_>, node: &Node) -> Option<Spanned<Guarded<ComponentSource>>> {
    let text = cx.text(node, "wasm", "a path or `builtin:<name>`")?;
    let source = match text.as_str().strip_prefix("builtin:") {
        Some(name) => ComponentSource::Builtin(name.to_owned()),
        None => ComponentSource::Path(cx.path(text.as_str())),
    };
    Some(Spanned::new(
        Guarded::new(source, text.value.is_secret()),
        node.span,
    ))
}

fn digest(cx: &mut Reader<'_>, node: &Node) -> Option<Spanned<[u8; 32]>> {
    cx.parse(node, "digest", "a digest", |text| {
        let hex = text.strip_prefix("blake3:").and_then(decode_hex);
        hex.ok_or_else(|| ("expected `blake3:` and 64 hex digits".to_owned(), None))
    })
    .map(|digest| Spanned::new(digest, node.span))
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

fn read_limits(cx: &mut Reader<'_>, node: &Node) -> OperatorLimits {
    let mut limits = OperatorLimits::default();
    let Some(fields) = cx.section(node, "limits", &LIMITS) else {
        return limits;
    };
    if let Some(memory) = fields
        .node("memory")
        .and_then(|node| size(cx, node, "memory", MIN_MEMORY, MAX_MEMORY))
    {
        limits.memory = memory;
    }
    if let Some(time) = fields
        .node("time")
        .and_then(|node| duration_within(cx, node, "time", MIN_TIME, MAX_TIME))
    {
        limits.time = time;
    }
    if let Some(wait) = fields
        .node("wait")
        .and_then(|node| duration_within(cx, node, "wait", MIN_TIME, MAX_WAIT))
    {
        limits.wait = wait;
    }
    if let Some(binary) = fields
        .node("binary")
        .and_then(|node| size(cx, node, "binary", 1, MAX_BINARY))
    {
        limits.binary = binary;
    }
    limits
}

fn interval(cx: &mut Reader<'_>, node: &Node, what: &str) -> Option<Duration> {
    duration_within(cx, node, what, MIN_TIME, Duration::from_hours(24))
}

fn on_error(cx: &mut Reader<'_>, node: &Node) -> Option<(OnError, Span)> {
    if let Value::Mapping(_) = &node.value {
        let fields = cx.section(node, "on_error", &ON_ERROR_TO)?;
        let stream = edge::stream(cx, fields.node("to")?, "to")?;
        return Some((OnError::To(stream.value), stream.span));
    }
    let on_error = match cx.word(node, "on_error", ON_ERRORS)? {
        "stop" => OnError::Stop,
        "restart" => OnError::Restart,
        _ => OnError::Skip,
    };
    Some((on_error, node.span))
}
