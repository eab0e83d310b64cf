//! The settings of a producer.

use std::{sync::Arc, time::Duration};

use super::lag::DisconnectLagging;
use crate::{
    Encoding, NetworkId, StreamId,
    channel::{config::Scope, format::Format},
    frames::DEFAULT_MAX_FRAME_LEN,
};

/// The time for which a producer that ends lets its subscribers read queued records: 30 s.
pub(super) const DRAIN: Duration = Duration::from_secs(30);
/// The time for which a subscriber whose connection was lost is kept. It exceeds the delay with which a consumer
/// reconnects with backoff after its network was down for 90 s.
const AWAY_LIMIT: Duration = Duration::from_mins(2);

/// The settings of a producer.
#[derive(Debug, Clone)]
pub struct Config {
    /// The stream to produce.
    pub stream_id: StreamId,
    /// The network of the stream.
    pub network_id: NetworkId,
    /// The reach of the stream. Default: the network.
    pub scope: Scope,
    /// The encoding of the records, used to evaluate criteria. Default: JSON.
    pub encoding: Encoding,
    /// The declared format of the records. A subscriber that declares another one is refused. Default: none declared.
    pub format: Option<Format>,
    /// The name of the stream in logs. Default: its id.
    pub label: Option<Arc<str>>,
    /// The capacity in records of the producer's queue, and of the queue of each remote subscriber. Default 1024.
    pub buffer_size: usize,
    /// The capacity of those queues in bytes, headers included; the bound reached first applies. Default 8 MiB. In the
    /// worst case a remote subscriber holds twice as much: the queued records and those being written.
    pub buffer_bytes: usize,
    /// The maximum time for which records wait to be sent together with later ones. The wait ends early once they
    /// amount to 64 KiB or half of the queue. Default: 0, which sends at once; batches still grow under load.
    pub linger: Duration,
    /// The maximum number of remote subscribers. Local ones do not count. Default: no limit.
    pub max_consumers: usize,
    /// The maximum length of a record in bytes. Default: 16 MiB, which other nodes accept by default.
    pub max_datum_len: usize,
    /// The policy for subscribers that do not keep up. Default: disconnect them at once.
    pub disconnect_lagging: DisconnectLagging,
    /// The maximum number of unconfirmed bytes per remote subscriber, headers included. At the limit, sending to it
    /// pauses until it confirms some. Default: the send window of a connection, 16 MiB.
    pub unconfirmed_bytes: usize,
    /// The time for which unconfirmed records are retained after the connection was lost. Default: 2 minutes.
    pub away_limit: Duration,
}

impl Config {
    pub(super) fn new(
        stream_id: StreamId,
        network_id: NetworkId,
        unconfirmed_bytes: usize,
    ) -> Self {
        Self {
            stream_id,
            network_id,
            scope: Scope::Network,
            encoding: Encoding::default(),
            format: None,
            label: None,
            buffer_size: 1024,
            buffer_bytes: 8 * 1024 * 1024,
            linger: Duration::ZERO,
            max_consumers: usize::MAX,
            max_datum_len: DEFAULT_MAX_FRAME_LEN,
            disconnect_lagging: DisconnectLagging::default(),
            unconfirmed_bytes,
            away_limit: AWAY_LIMIT,
        }
    }
}

/// The settings that can change while the producer runs and that no task waits on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    pub(super) buffer_size: usize,
    pub(super) buffer_bytes: usize,
    pub(super) max_consumers: usize,
    pub(super) linger: Duration,
}
