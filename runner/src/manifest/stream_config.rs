//! The settings of a stream, with their defaults.

use std::time::Duration;

use mosaik_streams::{Encoding, StreamId};

use super::{
    conditions::{OnlineWhen, Require},
    scalar::StreamName,
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
pub(super) const MAX_LINGER: Duration = Duration::from_secs(10);
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

/// Reconnection delays of a consumer after it has lost a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Delay before the first attempt. Default: 500 ms.
    pub initial: Duration,
    /// Longest delay between attempts. Default: 60 s.
    pub max: Duration,
    /// Total time after which the consumer gives up on the producer. Default: 5 min.
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

/// The settings of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamConfig {
    /// Its visibility.
    pub scope: Scope,
    /// Its ID on the network.
    pub id: StreamId,
    /// The encoding of its records.
    pub encoding: Encoding,
    /// Maximum number of records that wait for each subscriber. Default: [`DEFAULT_BUFFER_SIZE`].
    pub buffer_size: usize,
    /// Maximum number of bytes that wait for each subscriber. Default: [`DEFAULT_BUFFER_BYTES`]. The queue is full when
    /// either limit is reached.
    pub buffer_bytes: usize,
    /// Time that a record may wait to be batched with others. Default: 0.
    pub linger: Duration,
    /// Maximum number of remote subscribers; `None` for no limit.
    pub max_consumers: Option<usize>,
    /// The handling of a remote subscriber that does not keep up.
    pub disconnect_lagging: Lagging,
    /// The conditions under which each side counts as online.
    pub online_when: OnlineWhen,
    /// Requirements on each side.
    pub require: Require,
    /// Reconnection delays of consumers.
    pub backoff: Backoff,
}

impl StreamConfig {
    /// Creates the default settings, as for `{}`.
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
