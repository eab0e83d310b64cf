//! How a producer is set up.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    admission::AWAY_LIMIT, core::Core, frames::FramesProducer, lag::DisconnectLagging,
    undelivered::GiveBack, worker,
};
use crate::{
    Encoding, NetworkId, StreamId,
    discovery::PeerEntry,
    filter::Lookup,
    frames::DEFAULT_MAX_FRAME_LEN,
    gate::{Gate, Requirements},
    status::{Board, ChannelConditions},
    streams::{self, Format, Scope},
    tickets::TicketValidator,
};

/// Bounds and reach of a producer.
#[derive(Debug, Clone)]
pub struct Config {
    /// The stream.
    pub stream_id: StreamId,
    /// The network that it is a stream of.
    pub network_id: NetworkId,
    /// How far the stream reaches. Default: the network.
    pub scope: Scope,
    /// What its datums are, for criteria to look into. Default: JSON.
    pub encoding: Encoding,
    /// What the producer declares its records to be; a subscriber that declares otherwise is refused. Default: nothing.
    pub format: Option<Format>,
    /// What the stream is called in logs. Default: its id.
    pub label: Option<Arc<str>>,
    /// Datums held for the fan-out, and again for each subscriber elsewhere. Default 1024.
    pub buffer_size: usize,
    /// Bytes held likewise, headers included, whichever bound is reached first. Default 8 MiB. In the worst case a subscriber holds
    /// twice as much: what is queued and what is being written.
    pub buffer_bytes: usize,
    /// How long datums wait for more to go out with them, until there are 64 KiB or half of the queue is taken. Default: not
    /// at all; what is there goes out at once, and under load it is more by itself.
    pub linger: Duration,
    /// Subscribers elsewhere; those of this node do not count. Default: any number.
    pub max_consumers: usize,
    /// Bytes of the largest datum taken. Default, and what other nodes accept by default: 16 MiB.
    pub max_datum_len: usize,
    /// What to do about subscribers that do not keep up. Default: cut them off at once.
    pub disconnect_lagging: DisconnectLagging,
    /// Bytes sent to a subscriber on another node and not confirmed, headers included. When there are more, no more is sent
    /// to it until it confirms some. Default: the send window of a connection, 16 MiB.
    pub unconfirmed_bytes: usize,
    /// How long what was not confirmed is kept for a subscriber whose connection was lost. Default: 2 minutes.
    pub away_limit: Duration,
}

impl Config {
    fn new(stream_id: StreamId, network_id: NetworkId, unconfirmed_bytes: usize) -> Self {
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

/// Why a producer of wire-format batches cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FramesBuilderError {
    /// The stream has a producer on this node already: this one. Here is another handle to it.
    #[error("the stream has a producer on this node already")]
    AlreadyExists(FramesProducer),
}

type OnlineWhen = Box<dyn FnOnce(ChannelConditions) -> ChannelConditions + Send + Sync>;

/// Sets up a producer of wire-format batches.
#[must_use = "nothing is produced before it is built"]
pub struct FramesProducerBuilder {
    streams: Arc<streams::Inner>,
    config: Config,
    lookup: Option<Lookup>,
    requirements: Requirements,
    undelivered: Option<GiveBack>,
    online_when: OnlineWhen,
}

impl FramesProducerBuilder {
    pub(crate) fn new(streams: Arc<streams::Inner>, id: StreamId) -> Self {
        let online_when: OnlineWhen = Box::new(|conditions| conditions);
        let config = Config::new(id, streams.env.network_id, streams.env.send_window());
        Self {
            streams,
            config,
            lookup: None,
            requirements: Requirements::new(),
            undelivered: None,
            online_when,
        }
    }

    pub(crate) fn with_lookup(mut self, lookup: Lookup) -> Self {
        self.lookup = Some(lookup);
        self
    }

    pub(super) fn with_stream_id(mut self, id: StreamId) -> Self {
        self.config.stream_id = id;
        self
    }

    pub(super) fn with_undelivered(mut self, give_back: GiveBack) -> Self {
        self.undelivered = Some(give_back);
        self
    }

    /// How far the stream reaches. Default: the network.
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.config.scope = scope;
        self
    }

    /// What its records are, for criteria to look into, and declared to subscribers: one that declares another encoding or
    /// schema is refused with 10415. Default: JSON, and nothing is declared.
    pub fn with_encoding(mut self, encoding: Encoding) -> Self {
        self.config.format = Some(Format::from(&encoding));
        self.config.encoding = encoding;
        self
    }

    /// What the stream is called in logs. Default: its id.
    pub fn with_label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.config.label = Some(label.into());
        self
    }

    /// Datums held for the fan-out, and again for each subscriber elsewhere. Default 1024, at least 1.
    pub fn with_buffer_size(mut self, datums: usize) -> Self {
        self.config.buffer_size = datums;
        self
    }

    /// Bytes held likewise, headers included. Default 8 MiB. A larger datum is held alone.
    pub fn with_buffer_bytes(mut self, bytes: usize) -> Self {
        self.config.buffer_bytes = bytes;
        self
    }

    /// How long datums wait for more to go out with them, until there are 64 KiB or half of the queue is taken. Default: not at
    /// all. It costs each datum up to this much latency, and saves packets and calls where datums come one by one, slower
    /// than they could be sent. The stream's end waits for nothing.
    pub fn with_linger(mut self, linger: Duration) -> Self {
        self.config.linger = linger;
        self
    }

    /// The most subscribers elsewhere. Default: any number.
    pub fn with_max_consumers(mut self, max_consumers: usize) -> Self {
        self.config.max_consumers = max_consumers;
        self
    }

    /// Bytes of the largest datum taken. Default 16 MiB.
    pub fn with_max_datum_len(mut self, bytes: usize) -> Self {
        self.config.max_datum_len = bytes.min(u32::MAX as usize);
        self
    }

    /// When it is online, said from conditions that are met by one subscriber, which is the default.
    pub fn online_when(
        mut self,
        conditions: impl FnOnce(ChannelConditions) -> ChannelConditions + Send + Sync + 'static,
    ) -> Self {
        self.online_when = Box::new(conditions);
        self
    }

    /// Which nodes may subscribe, asked again whenever the node's entry changes. Said several times, all must hold.
    /// Consumers of this node always may.
    pub fn require(mut self, may: impl Fn(&PeerEntry) -> bool + Send + Sync + 'static) -> Self {
        self.requirements = self.requirements.require(may);
        self
    }

    /// Which nodes may subscribe, all at once; those said before count no more.
    pub fn with_requirements(mut self, requirements: Requirements) -> Self {
        self.requirements = requirements;
        self
    }

    /// Which tickets a node must show to subscribe, and for as long as it stays. Said several times, all must be shown.
    ///
    /// A subscriber is cut off with 10403 when the first of its tickets expires or is taken back, unless its entry shows
    /// another by then; what it has not been sent counts as dropped. Consumers of this node need none.
    pub fn require_ticket(mut self, validator: impl TicketValidator) -> Self {
        self.requirements = self.requirements.require_ticket(validator);
        self
    }

    /// What to do about subscribers elsewhere that do not keep up. Default: cut them off at once.
    pub fn disconnect_lagging(mut self, policy: impl Into<DisconnectLagging>) -> Self {
        self.config.disconnect_lagging = policy.into();
        self
    }

    /// Bytes sent to a subscriber on another node and not confirmed, at least 1. Default: the send window of a connection.
    /// A limit below the bandwidth-delay product slows the connection. It does not apply to plain Mosaik consumers, which
    /// do not confirm.
    pub fn with_unconfirmed_bytes(mut self, bytes: usize) -> Self {
        self.config.unconfirmed_bytes = bytes;
        self
    }

    /// How long what was not confirmed is kept for a subscriber whose connection was lost. Default: 2 minutes. Meanwhile its
    /// queue fills, and then [`disconnect_lagging`](Self::disconnect_lagging) says what happens.
    pub fn with_away_limit(mut self, limit: Duration) -> Self {
        self.config.away_limit = limit;
        self
    }

    /// Starts the producer and announces its stream.
    ///
    /// # Errors
    /// When the stream has a producer on this node already; the error holds a handle to it.
    pub fn build(self) -> Result<FramesProducer, FramesBuilderError> {
        let Self {
            streams,
            config,
            lookup,
            requirements,
            undelivered,
            online_when,
        } = self;
        let lookup = lookup.unwrap_or_else(|| Lookup::Encoding(config.encoding.clone()));
        let made = streams.add_producer(config.stream_id, || {
            Core::new(
                config,
                streams.clone(),
                (Gate::new(requirements), lookup),
                undelivered,
                Board::new(online_when),
            )
        });
        match made {
            Ok(core) => {
                streams.env.spawn(worker::run(core.clone()));
                Ok(FramesProducer::new(core))
            }
            Err(existing) => Err(FramesBuilderError::AlreadyExists(FramesProducer::new(
                existing,
            ))),
        }
    }
}

impl fmt::Debug for FramesProducerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramesProducerBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
