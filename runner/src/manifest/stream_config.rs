//! A stream as it is to be run, with its defaults.

use std::time::Duration;

use mosaik_streams::{Encoding, StreamId};

use super::{
    conditions::{OnlineWhen, Require},
    scalar::StreamName,
};

/// Datums that wait on an edge, unless a manifest says otherwise: 1024.
pub const DEFAULT_BUFFER_SIZE: usize = 1024;
/// Bytes that wait on an edge, unless a manifest says otherwise: 8 MiB.
pub const DEFAULT_BUFFER_BYTES: usize = 8 << 20;
/// The most datums that may wait on an edge: 16,777,216.
pub const MAX_BUFFER_SIZE: u64 = 1 << 24;
/// The most bytes that may wait on an edge: 4 GiB.
pub const MAX_BUFFER_BYTES: u64 = 4 << 30;

/// The longest that a datum may wait for others: 10 s.
pub(super) const MAX_LINGER: Duration = Duration::from_secs(10);
/// The most datums that a stage takes from an edge at once, and how many unless a manifest says fewer: 4096.
pub const MAX_BATCH_SIZE: usize = 4096;

/// Who can see a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// This process only: never advertised, without a socket.
    #[default]
    Node,
    /// Every node of the network.
    Network,
}

/// What happens to a remote subscriber that does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lagging {
    /// `true`: cut at once when its queue is full.
    Disconnect,
    /// `false`: never cut; it misses what it has no room for, counted.
    Drop,
    /// A duration: the stream may wait that long for full subscribers, then cuts them. Default: 30 s.
    After(Duration),
    /// `wait`: waited for without limit.
    Wait,
}

/// How a consumer tries again after losing a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first try. Default: 500 ms.
    pub initial: Duration,
    /// The longest wait. Default: 60 s.
    pub max: Duration,
    /// In all, before giving the producer up. Default: 5 min.
    pub max_elapsed: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(500),
            max: Duration::from_mins(1),
            max_elapsed: Duration::from_mins(5),
        }
    }
}

/// A stream as it is to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamConfig {
    /// Who can see it.
    pub scope: Scope,
    /// What it is known by on the network.
    pub id: StreamId,
    /// What its datums are.
    pub encoding: Encoding,
    /// Datums that wait for each subscriber. Default: [`DEFAULT_BUFFER_SIZE`].
    pub buffer_size: usize,
    /// Bytes that wait for each subscriber. Default: [`DEFAULT_BUFFER_BYTES`]; whichever bound is reached first.
    pub buffer_bytes: usize,
    /// How long a datum waits for more to go out with it. Default: not at all.
    pub linger: Duration,
    /// The most remote subscribers; without it, any number.
    pub max_consumers: Option<usize>,
    /// What happens to a remote subscriber that does not keep up.
    pub disconnect_lagging: Lagging,
    /// When each side counts as online.
    pub online_when: OnlineWhen,
    /// What each side must show.
    pub require: Require,
    /// How a consumer tries again.
    pub backoff: Backoff,
}

impl StreamConfig {
    /// A stream about which nothing is said: `{}`.
    pub fn new(name: &StreamName) -> Self {
        Self {
            scope: Scope::Node,
            id: StreamId::from(name.as_str()),
            encoding: Encoding::Json,
            buffer_size: DEFAULT_BUFFER_SIZE,
            buffer_bytes: DEFAULT_BUFFER_BYTES,
            linger: Duration::ZERO,
            max_consumers: None,
            disconnect_lagging: Lagging::After(Duration::from_secs(30)),
            online_when: OnlineWhen::default(),
            require: Require::default(),
            backoff: Backoff::default(),
        }
    }
}
