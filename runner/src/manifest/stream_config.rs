//! The settings of a stream, with their defaults.

use std::time::Duration;

use mosaik_streams::{Encoding, StreamId};

use super::{
    conditions::{OnlineWhen, Require, online_when},
    durable::Durable,
};
use crate::declare::{
    Diagnostic, Fields, Kind, Node, Reader, Shape, StreamName, count, duration, duration_hint,
    nested, parse_duration, section, show_duration, size, words,
};

/// Default number of records that may wait on an edge: 1024.
pub const DEFAULT_BUFFER_SIZE: usize = 1024;
/// Default number of bytes that may wait on an edge: 8 MiB.
pub const DEFAULT_BUFFER_BYTES: usize = 8 << 20;
/// Maximum number of records that may wait on an edge: 16,777,216.
pub const MAX_BUFFER_SIZE: u64 = 1 << 24;
/// Maximum number of bytes that may wait on an edge: 4 GiB.
pub const MAX_BUFFER_BYTES: u64 = 4 << 30;

/// Longest time that a record may wait to be batched with others: 10 s.
const MAX_LINGER: Duration = Duration::from_secs(10);
/// Longest delay between attempts: 365 days, the largest duration.
const MAX_DELAY: Duration = Duration::from_hours(365 * 24);
/// Maximum and default number of records that a stage takes from an edge at once: 4096.
pub const MAX_BATCH_SIZE: usize = 4096;

/// Visibility of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Visible in this process only: the stream is not advertised and needs no socket.
    #[default]
    Node,
    /// Visible to every node of the network.
    Network,
}

const SCOPES: &[(&str, Scope)] = &[("node", Scope::Node), ("network", Scope::Network)];

/// The handling of a remote subscriber that does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lagging {
    /// `true`: disconnect it as soon as its queue is full.
    Disconnect,
    /// `false`: never disconnect it. Records that do not fit into its queue are dropped and counted.
    Drop,
    /// A duration: wait up to this long for subscribers with full queues, then disconnect them. Default: 30 s.
    After(Duration),
    /// `wait`: wait for it without a limit.
    Wait,
}

section! {
    /// Delays between the attempts of a subscriber to connect again.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Backoff: "backoff" + Default check(are_in_order) {
        /// Delay before the first attempt.
        pub initial: Duration = duration(Duration::ZERO, MAX_DELAY), default(Duration::from_millis(500));
        /// Longest delay between two attempts.
        pub max: Duration = duration(Duration::ZERO, MAX_DELAY), default(Duration::from_mins(1));
        /// Total time after which the subscriber gives up on the producer.
        pub max_elapsed: Duration = duration(Duration::ZERO, MAX_DELAY), default(Duration::from_mins(5));
    }
}

fn are_in_order(backoff: &Backoff, cx: &mut Reader<'_>, fields: Fields<'_>) {
    if backoff.initial.is_zero() {
        cx.note(
            Diagnostic::error("`initial` must be greater than 0")
                .at(fields.span, "would retry without a pause"),
        );
    } else if backoff.initial > backoff.max {
        cx.note(
            Diagnostic::error("`initial` is longer than `max`")
                .at(fields.span, "the first delay is the shortest"),
        );
    }
}

section! {
    /// The settings of a stream that can be compared between two manifests.
    #[derive(Debug, Clone, PartialEq)]
    pub struct StreamSettings: "stream_settings" + Default + differences {
        /// Visibility: `node` is private to this process, `network` is shared with all nodes by `id`.
        pub scope: Scope = words(SCOPES), default(Scope::Node), rewire;
        /// Records that wait for each subscriber. `buffer_bytes` applies too.
        pub buffer_size: usize = count(1, MAX_BUFFER_SIZE), default(DEFAULT_BUFFER_SIZE), retune;
        /// Bytes that wait for each subscriber. The limit that is reached first applies.
        pub buffer_bytes: usize = size(1, MAX_BUFFER_BYTES), default(DEFAULT_BUFFER_BYTES), retune;
        /// Time that a record waits for others to be sent with it.
        pub linger: Duration = duration(Duration::ZERO, MAX_LINGER), default(Duration::ZERO), retune;
        /// Stages on other nodes that may read the stream.
        pub max_consumers: Option<usize> = count(1, u64::from(u32::MAX)), unset("any number"), retune;
        /// Policy for a remote subscriber that does not keep up. `true` disconnects it at once, `false` drops its
        /// records, a duration waits that long before disconnecting it, `wait` waits without a limit.
        pub disconnect_lagging: Lagging = lagging(), default(Lagging::After(Duration::from_secs(30))), retune;
        /// Conditions under which each side is online.
        pub online_when: OnlineWhen = online_when(), empty("producers at one consumer, consumers from the start"), retune;
        /// Tags and tickets that each side must have; the other side checks.
        pub require: Require = nested::<Require>(), empty("nothing"), retune;
        /// Delays between the attempts of a subscriber to connect again.
        pub backoff: Backoff = nested::<Backoff>(), default(Backoff::default()), retune;
        /// Log from which readers on other nodes read, exactly and over restarts of either side.
        pub durable: Option<Durable> = nested::<Durable>(), unset("not durable"), rewire;
    }
}

fn lagging() -> Kind<Lagging> {
    let shape = Shape::Either(vec![
        Shape::Bool,
        Shape::Duration(Duration::ZERO, MAX_DELAY),
        Shape::Words(vec!["wait"]),
    ]);
    Kind::new(shape, read_lagging).show(|lagging| match lagging {
        Lagging::Disconnect => "true".to_owned(),
        Lagging::Drop => "false".to_owned(),
        Lagging::After(duration) => show_duration(*duration),
        Lagging::Wait => "wait".to_owned(),
    })
}

fn read_lagging(cx: &mut Reader<'_>, node: &Node, what: &str) -> Option<Lagging> {
    const EXPECTED: &str = "`true`, `false`, a duration or `wait`";
    let text = cx.text(node, what, EXPECTED)?;
    if let Some(cut) = text.flag() {
        return Some(if cut {
            Lagging::Disconnect
        } else {
            Lagging::Drop
        });
    }
    if text.as_str() == "wait" {
        return Some(Lagging::Wait);
    }
    cx.parse(node, what, EXPECTED, |text| {
        parse_duration(text).map_err(|_| (format!("expected {EXPECTED}"), duration_hint(text)))
    })
    .map(Lagging::After)
}

/// A stream with its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamConfig {
    /// Its ID on the network.
    pub id: StreamId,
    /// The encoding of its records.
    pub encoding: Encoding,
    /// The settings of the stream.
    pub settings: StreamSettings,
}

impl StreamConfig {
    /// Creates the default settings, as for `{}`.
    pub fn new(name: &StreamName) -> Self {
        Self {
            id: StreamId::from(name.as_str()),
            encoding: Encoding::Json,
            settings: StreamSettings::default(),
        }
    }
}
