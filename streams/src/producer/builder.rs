//! [`FramesProducerBuilder`] and the settings of a producer.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    config::Config,
    core::{Core, Registrar},
    frames::FramesProducer,
    lag::DisconnectLagging,
    undelivered::GiveBack,
    worker,
};
use crate::{
    Encoding, StreamId,
    channel::{
        authorization::{Authorizer, Requirements},
        config::Scope,
        env::Env,
        filter::Lookup,
        format::Format,
        status::{Board, ChannelConditions},
    },
    durable::DurableLog,
    peer::{PeerEntry, TicketValidator},
};

/// An error from building a producer of wire-format batches.
#[derive(Debug, thiserror::Error)]
pub enum FramesBuilderError {
    /// The stream already has a producer on this node. Contains another handle to it.
    #[error("the stream already has a producer on this node")]
    AlreadyExists(FramesProducer),
}

type OnlineWhen = Box<dyn FnOnce(ChannelConditions) -> ChannelConditions + Send + Sync>;

/// Configures and starts a producer of wire-format batches.
#[must_use = "nothing is produced before it is built"]
pub struct FramesProducerBuilder {
    env: Arc<Env>,
    registrar: Arc<dyn Registrar>,
    config: Config,
    lookup: Option<Lookup>,
    requirements: Requirements,
    undelivered: Option<GiveBack>,
    log: Option<DurableLog>,
    online_when: OnlineWhen,
}

impl FramesProducerBuilder {
    pub(crate) fn new(env: Arc<Env>, registrar: Arc<dyn Registrar>, id: StreamId) -> Self {
        let online_when: OnlineWhen = Box::new(|conditions| conditions);
        let config = Config::new(id, env.network_id, env.send_window());
        Self {
            env,
            registrar,
            config,
            lookup: None,
            requirements: Requirements::new(),
            undelivered: None,
            log: None,
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

    /// Sets the reach of the stream. Default: the network.
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.config.scope = scope;
        self
    }

    /// Sets the encoding, by which criteria are evaluated, and declares it to subscribers. A subscriber that declares
    /// another encoding or schema is refused with code 10415. Default: JSON, and no declaration.
    pub fn with_encoding(mut self, encoding: Encoding) -> Self {
        self.config.format = Some(Format::from(&encoding));
        self.config.encoding = encoding;
        self
    }

    /// Sets the name of the stream in logs. Default: its id.
    pub fn with_label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.config.label = Some(label.into());
        self
    }

    /// Sets the capacity in records of the producer's queue, and of the queue of each remote subscriber. Default 1024,
    /// minimum 1.
    pub fn with_buffer_size(mut self, records: usize) -> Self {
        self.config.buffer_size = records;
        self
    }

    /// Sets the capacity of those queues in bytes, headers included. Default 8 MiB. An empty queue accepts a larger
    /// record.
    pub fn with_buffer_bytes(mut self, bytes: usize) -> Self {
        self.config.buffer_bytes = bytes;
        self
    }

    /// Sets the maximum time for which records wait to be sent together with later ones. The wait ends early once they
    /// amount to 64 KiB or half of the queue. Default: 0.
    ///
    /// Lingering adds up to this latency to each record. It saves packets and system calls when records arrive one by
    /// one, slower than they can be sent. The end of the stream does not wait.
    pub fn with_linger(mut self, linger: Duration) -> Self {
        self.config.linger = linger;
        self
    }

    /// Sets the maximum number of remote subscribers. Default: no limit.
    pub fn with_max_consumers(mut self, max_consumers: usize) -> Self {
        self.config.max_consumers = max_consumers;
        self
    }

    /// Sets the maximum length of a record in bytes. Default: 16 MiB.
    pub fn with_max_datum_len(mut self, bytes: usize) -> Self {
        self.config.max_datum_len = bytes.min(u32::MAX as usize);
        self
    }

    /// Makes the stream durable: every record is appended to the log, from which consumers on other nodes read. They
    /// continue at their position in the log after either side was restarted. Consumers on this node, and those of plain
    /// Mosaik, receive the live stream. Default: not durable.
    ///
    /// Criteria of remote consumers are applied by them. A remote consumer that does not keep up is never disconnected
    /// and never waited for.
    pub fn with_log(mut self, log: DurableLog) -> Self {
        self.log = Some(log);
        self
    }

    /// Sets when the producer is online. The conditions passed in are met by one subscriber, which is the default.
    pub fn online_when(
        mut self,
        conditions: impl FnOnce(ChannelConditions) -> ChannelConditions + Send + Sync + 'static,
    ) -> Self {
        self.online_when = Box::new(conditions);
        self
    }

    /// Adds a condition on the nodes that may subscribe, evaluated again whenever a node's entry changes. Repeated
    /// calls add up: all conditions must hold. They do not apply to consumers on this node.
    pub fn require(mut self, may: impl Fn(&PeerEntry) -> bool + Send + Sync + 'static) -> Self {
        self.requirements = self.requirements.require(may);
        self
    }

    /// Replaces all requirements on the nodes that may subscribe.
    pub fn with_requirements(mut self, requirements: Requirements) -> Self {
        self.requirements = requirements;
        self
    }

    /// Requires subscribers to present a ticket that `validator` accepts, for as long as they are connected. Repeated
    /// calls add up: each validator must accept one.
    ///
    /// A subscriber is disconnected with code 10403 when the first of the accepted tickets expires or is revoked,
    /// unless its entry contains another valid one by then. Records that were not sent to it count as dropped.
    /// Consumers on this node need no ticket.
    pub fn require_ticket(mut self, validator: impl TicketValidator) -> Self {
        self.requirements = self.requirements.require_ticket(validator);
        self
    }

    /// Sets the policy for remote subscribers that do not keep up. Default: disconnect them at once.
    pub fn disconnect_lagging(mut self, policy: impl Into<DisconnectLagging>) -> Self {
        self.config.disconnect_lagging = policy.into();
        self
    }

    /// Sets the maximum number of unconfirmed bytes per remote subscriber, at least 1. Default: the send window of a
    /// connection. A limit below the bandwidth-delay product slows the connection. It does not apply to plain Mosaik
    /// consumers, which do not confirm records.
    pub fn with_unconfirmed_bytes(mut self, bytes: usize) -> Self {
        self.config.unconfirmed_bytes = bytes;
        self
    }

    /// Sets the time for which unconfirmed records are retained after the connection to a subscriber was lost. Default:
    /// 2 minutes. In the meantime its queue fills up; once it is full, [`disconnect_lagging`](Self::disconnect_lagging)
    /// applies.
    pub fn with_away_limit(mut self, limit: Duration) -> Self {
        self.config.away_limit = limit;
        self
    }

    /// Starts the producer and announces its stream.
    ///
    /// # Errors
    /// Fails if the stream already has a producer on this node. The error contains a handle to that producer.
    pub fn build(self) -> Result<FramesProducer, FramesBuilderError> {
        let Self {
            env,
            registrar,
            config,
            lookup,
            requirements,
            undelivered,
            log,
            online_when,
        } = self;
        let stream_id = config.stream_id;
        let lookup = lookup.unwrap_or_else(|| Lookup::Encoding(config.encoding.clone()));
        let make = || {
            Core::new(
                config,
                (env.clone(), registrar.clone()),
                (Authorizer::new(requirements), lookup),
                (undelivered, log),
                Board::new(online_when),
            )
        };
        let added = registrar.add(stream_id, Box::new(make));
        match added {
            Ok(core) => {
                if let Some(log) = &core.log {
                    log.set_finished(false);
                }
                env.spawn(worker::run(core.clone()));
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
