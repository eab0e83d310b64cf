//! The settings of a consumer.

use std::sync::Arc;

use crate::{
    Criteria, Encoding, StreamId, UniqueId,
    channel::{backoff::ExponentialBackoff, config::Scope, format::Format},
    durable::{SourcePosition, StartAt},
};

/// The settings of a consumer.
#[derive(Debug, Clone)]
pub struct Config {
    /// The stream to consume.
    pub stream_id: StreamId,
    /// The nodes on which producers are searched for. Default: the network.
    pub scope: Scope,
    /// The encoding of the records, used to evaluate criteria. Default: JSON.
    pub encoding: Encoding,
    /// The declared format of the records. A producer that declares another one is refused. Default: none declared.
    pub format: Option<Format>,
    /// The name of the stream in logs. Default: its id.
    pub label: Option<Arc<str>>,
    /// The criteria that select records. Default: every record.
    pub criteria: Criteria,
    /// The capacity of the queue, in records from all producers together. Default 1024. While it is full, nothing is read.
    pub buffer_size: usize,
    /// The capacity of the queue in bytes, headers included; the bound reached first applies. Default 8 MiB. In the
    /// worst case each producer's connection holds its receive window and one batch in addition, and so does the
    /// connection that preceded it.
    pub buffer_bytes: usize,
    /// The maximum number of records returned at once. Default: no limit.
    pub batch_size: usize,
    /// The maximum length in bytes of a record from another node. A producer that announces a longer one is
    /// disconnected. Default: the limit of the network, 16 MiB.
    pub max_datum_len: usize,
    /// Includes the producer of this node, in process. Default: false.
    pub local: bool,
    /// The delays between attempts to connect to a producer. Default: the policy of the network's streams.
    pub backoff: ExponentialBackoff,
    /// The name of the subscriptions. Default: a number, unique among this node's consumers of the stream.
    pub name: Option<UniqueId>,
    /// The name of a subscription shared with other consumers. Default: not shared.
    pub shared: Option<UniqueId>,
    /// The moment at which a record counts as taken. Default: when it is returned to the application.
    pub taken: Taken,
    /// Where the consumer begins in the log of a durable stream, if no position is known. Default: at its end.
    pub start: StartAt,
    /// The positions in the logs of durable streams at which the consumer continues. Default: none.
    pub positions: Vec<SourcePosition>,
}

/// The moment at which a record from another node counts as taken. The producer does not send a taken record again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Taken {
    /// When it is returned to the application.
    #[default]
    HandedOut,
    /// When the application asks for the next batch, which means that it has processed the previous one.
    WorkedOff,
}
