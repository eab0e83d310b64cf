//! The settings of an operator that can be compared between two manifests.

use std::time::Duration;

use super::{
    grants::Grants,
    parallel::{MAX_INSTANCES, key_fields},
};
use crate::declare::{
    Declared, Diagnostic, Kind, Node, Reader, Shape, Spanned, StreamName, Value, count, duration,
    nested, read_section, section, size, stream_name, words,
};

pub(crate) const MIN_MEMORY: u64 = 1 << 20;
pub(crate) const MAX_MEMORY: u64 = 4 << 30;
pub(crate) const MAX_BINARY: u64 = 256 << 20;
pub(crate) const MIN_TIME: Duration = Duration::from_millis(1);
pub(crate) const MAX_TIME: Duration = Duration::from_mins(1);
pub(crate) const MAX_WAIT: Duration = Duration::from_hours(1);
/// Longest interval between ticks and between checkpoints: 24 h.
const MAX_INTERVAL: Duration = Duration::from_hours(24);

section! {
    /// Resource limits of an operator.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct OperatorLimits: "limits" + Default {
        /// Memory of each instance.
        pub memory: u64 = size(MIN_MEMORY, MAX_MEMORY), default(64 << 20);
        /// CPU time of one call. Each record of the batch adds a thousandth of this value.
        pub time: Duration = duration(MIN_TIME, MAX_TIME), default(Duration::from_secs(1));
        /// Time that one call may wait for files, timers and responses. Each record of the batch adds a thousandth of
        /// this value.
        pub wait: Duration = duration(MIN_TIME, MAX_WAIT), default(Duration::from_mins(1));
        /// Size of the code.
        pub binary: u64 = size(1, MAX_BINARY), default(10 << 20);
    }
}

section! {
    /// The settings of an operator that can be compared between two manifests.
    #[derive(Debug, Clone, PartialEq)]
    pub struct OperatorSettings: "operator_settings" + Default + differences {
        /// Limits of memory, time and code.
        pub limits: OperatorLimits = nested::<OperatorLimits>(), default(OperatorLimits::default()), retune;
        /// Policy for records that it rejects or fails on. `skip` drops and counts them, `stop` also fails the
        /// operator, `restart` also replaces the instance, `{to: stream}` sends them to a stream.
        pub on_error: OnError = on_error(ON_ERRORS, "skip"), empty("as `skip`; `up` exits with 5"), retune;
        /// State at a reload: `carry` passes it to the new instance, `reset` starts empty.
        pub state: StatePolicy = words(STATES), default(StatePolicy::Carry), swap;
        /// Interval of calls without a record.
        pub tick: Option<Duration> = duration(MIN_TIME, MAX_INTERVAL), unset("never"), retune;
        /// Interval at which its state is saved in memory, for the instance that follows a failure. It is saved only
        /// while it is used. Checkpoints that survive the process are set at the top of the manifest.
        pub checkpoint: Option<Duration> = snapshots(), unset("`1s`"), retune;
        /// Instances that run in parallel, each on its own thread.
        pub instances: usize = count(1, MAX_INSTANCES), default(1), swap;
        /// Field, or list of fields, whose value selects the instance for a record. Needs JSON.
        pub key: Option<Vec<String>> = key_fields(), unset("any free instance; output in order"), swap;
        /// Access to resources other than its streams.
        pub allow: Grants = nested::<Grants>(), empty("nothing"), swap;
    }
}

/// The interval of snapshots in memory. A mapping is probably meant for the checkpoints of the graph.
fn snapshots() -> Kind<Duration> {
    let kind = duration(MIN_TIME, MAX_INTERVAL);
    let read = kind.read;
    let reads = move |cx: &mut Reader<'_>, node: &Node, what: &str| {
        if let Value::Mapping(_) = &node.value {
            cx.note(
                Diagnostic::error("`checkpoint` of an operator is a duration")
                    .at(node.span, "expected a duration")
                    .help(
                        "it is the interval of the operator's snapshots in memory; checkpoints of the graph are set at \
                         the top of the manifest: `checkpoint: {every: 1s}`",
                    ),
            );
            return None;
        }
        read(cx, node, what)
    };
    Kind {
        read: Box::new(reads),
        ..kind
    }
}

section! {
    /// Destination of records that an operator rejects or fails on, or that a sink does not write.
    #[derive(Debug, Clone)]
    struct OnErrorTo: "on_error_to" {
        /// Stream of dead-letter records.
        to: Spanned<StreamName> = stream_name(), required;
    }
}

/// The handling of records on which an operator fails, or that a sink does not write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OnError {
    /// Not set: drop and count the records. `up` then exits with 5. A sink that cannot write stops.
    #[default]
    Unset,
    /// Drop and count the records.
    Skip,
    /// Stop the operator. Stages that feed only this operator end as well.
    Stop,
    /// Drop and count the records, and restart the operator. Not for sinks.
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

const STATES: &[(&str, StatePolicy)] =
    &[("carry", StatePolicy::Carry), ("reset", StatePolicy::Reset)];

const ON_ERRORS: &[&str] = &["skip", "stop", "restart"];

/// One of these words, or a stream. `unset` shows the value without any of them.
pub(super) fn on_error(words: &'static [&'static str], unset: &'static str) -> Kind<OnError> {
    let shape = Shape::Either(vec![
        Shape::Words(words.to_vec()),
        Shape::Of(OnErrorTo::SECTION),
    ]);
    let read =
        move |cx: &mut Reader<'_>, node: &Node, what: &str| read_on_error(cx, node, what, words);
    Kind::new(shape, read).show(move |on_error| match on_error {
        OnError::Unset => unset.to_owned(),
        OnError::Skip => "skip".to_owned(),
        OnError::Stop => "stop".to_owned(),
        OnError::Restart => "restart".to_owned(),
        OnError::To(stream) => format!("{{to: {stream}}}"),
    })
}

fn read_on_error(
    cx: &mut Reader<'_>,
    node: &Node,
    what: &str,
    words: &[&'static str],
) -> Option<OnError> {
    if let Value::Mapping(_) = &node.value {
        let to = read_section::<OnErrorTo>(cx, node, what)?.0.to;
        return Some(OnError::To(to.value));
    }
    Some(match cx.word(node, what, words)? {
        "stop" => OnError::Stop,
        "restart" => OnError::Restart,
        _ => OnError::Skip,
    })
}
