//! [`FramesConsumerBuilder`] and the settings of a consumer.

use std::{fmt, sync::Arc};

use super::{
    config::{Config, Taken},
    frames::FramesConsumer,
    group::{Core, Group, Registrar, Share, Wanted},
    worker,
};
use crate::{
    Criteria, Encoding, StreamId, UniqueId,
    channel::{
        authorization::{Authorizer, Requirements},
        backoff::ExponentialBackoff,
        config::Scope,
        env::Env,
        filter::{Filter, Lookup, Matches},
        format::Format,
        status::{Board, ChannelConditions},
    },
    criteria::NotSelectable,
    durable::{SourcePosition, StartAt},
    peer::{PeerEntry, TicketValidator},
};

type OnlineWhen = Box<dyn FnOnce(ChannelConditions) -> ChannelConditions + Send + Sync>;

/// Configures and starts a consumer of wire-format batches.
#[must_use = "nothing is consumed before it is built"]
pub struct FramesConsumerBuilder {
    env: Arc<Env>,
    registrar: Arc<dyn Registrar>,
    config: Config,
    requirements: Requirements,
    online_when: OnlineWhen,
}

impl FramesConsumerBuilder {
    pub(crate) fn new(env: Arc<Env>, registrar: Arc<dyn Registrar>, id: StreamId) -> Self {
        let config = Config {
            stream_id: id,
            scope: Scope::Network,
            encoding: Encoding::default(),
            format: None,
            label: None,
            criteria: Criteria::default(),
            buffer_size: 1024,
            buffer_bytes: 8 * 1024 * 1024,
            batch_size: usize::MAX,
            max_datum_len: env.max_frame_len(),
            local: false,
            backoff: env.config.backoff.clone(),
            name: None,
            shared: None,
            taken: Taken::default(),
            start: StartAt::default(),
            positions: Vec::new(),
        };
        let online_when: OnlineWhen = Box::new(|conditions| conditions.minimum_of(0));
        Self {
            env,
            registrar,
            config,
            requirements: Requirements::new(),
            online_when,
        }
    }

    pub(super) fn with_stream_id(mut self, id: StreamId) -> Self {
        self.config.stream_id = id;
        self
    }

    /// Sets the nodes on which producers are searched for. [`Scope::Node`] accepts the producer of this node only.
    /// Default: the network.
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.config.scope = scope;
        self
    }

    /// Sets the encoding, by which criteria are evaluated, and declares it to producers. A producer that declares
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

    /// Sets the criteria that select records. Producers that support selection send matching records only. Default:
    /// every record.
    pub fn with_criteria(mut self, criteria: Criteria) -> Self {
        self.config.criteria = criteria;
        self
    }

    /// Sets the capacity of the queue in records. Default 1024, minimum 1.
    pub fn with_buffer_size(mut self, records: usize) -> Self {
        self.config.buffer_size = records;
        self
    }

    /// Sets the capacity of the queue in bytes, headers included. Default 8 MiB. An empty queue accepts a larger
    /// record.
    pub fn with_buffer_bytes(mut self, bytes: usize) -> Self {
        self.config.buffer_bytes = bytes;
        self
    }

    /// Sets the maximum number of records returned at once, even if the application asks for more. Default: no limit;
    /// minimum 1.
    pub fn with_batch_size(mut self, records: usize) -> Self {
        self.config.batch_size = records;
        self
    }

    /// Sets the maximum length in bytes of a record from another node. Default: the limit of the network, 16 MiB.
    pub fn with_max_datum_len(mut self, bytes: usize) -> Self {
        self.config.max_datum_len = bytes.min(u32::MAX as usize);
        self
    }

    /// Includes the producer of this node, in process and without copying. Default: false.
    pub fn with_local(mut self, local: bool) -> Self {
        self.config.local = local;
        self
    }

    /// Adds a condition on the nodes from which records are accepted, evaluated again whenever a node's entry changes.
    /// Repeated calls add up: all conditions must hold. They do not apply to this node's own producer.
    pub fn require(mut self, from: impl Fn(&PeerEntry) -> bool + Send + Sync + 'static) -> Self {
        self.requirements = self.requirements.require(from);
        self
    }

    /// Replaces all requirements on the nodes from which records are accepted.
    pub fn with_requirements(mut self, requirements: Requirements) -> Self {
        self.requirements = requirements;
        self
    }

    /// Requires producers to present a ticket that `validator` accepts. Repeated calls add up: each validator must
    /// accept one.
    ///
    /// The connection is closed when the first of the accepted tickets expires or is revoked, unless the node's entry
    /// contains another valid one by then. This node's own producer needs no ticket.
    pub fn require_ticket(mut self, validator: impl TicketValidator) -> Self {
        self.requirements = self.requirements.require_ticket(validator);
        self
    }

    /// Sets when the consumer is online. The conditions passed in are met by one producer. Default: online from the
    /// start.
    pub fn online_when(
        mut self,
        conditions: impl FnOnce(ChannelConditions) -> ChannelConditions + Send + Sync + 'static,
    ) -> Self {
        self.online_when = Box::new(conditions);
        self
    }

    /// Sets the delays between attempts to connect to a producer.
    pub fn with_backoff(mut self, backoff: ExponentialBackoff) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// Sets the name of the subscriptions. After this node restarts with the same secret key, producers send a consumer
    /// of the same name the records that it had not confirmed. Default: a number among this node's consumers of the
    /// stream, in the order in which they are built.
    pub fn with_name(mut self, name: impl Into<UniqueId>) -> Self {
        self.config.name = Some(name.into());
        self
    }

    /// Shares one subscription to each remote producer with all consumers of the stream in this network that are built
    /// with the same name, format and [`max_datum_len`](Self::with_max_datum_len). They use one connection, and a
    /// record that several of them select is sent once. Default: not shared.
    ///
    /// Each consumer keeps its own criteria, queue and online conditions. A full queue of one holds back the others, as
    /// it does within a node. The first consumer determines requirements, backoff and label; changes made with
    /// [`ConsumerControl`](super::ConsumerControl) apply to all. The name also names the subscription, in place of
    /// [`with_name`](Self::with_name): after a restart of this node, consumers that share the same name receive the
    /// records that not all of them had confirmed. A consumer that joins later receives records from that point on. To
    /// start several consumers with the same first record, see
    /// [`Streams::hold_subscriptions`](crate::streams::Streams::hold_subscriptions).
    pub fn with_shared_subscription(mut self, name: impl Into<UniqueId>) -> Self {
        self.config.shared = Some(name.into());
        self
    }

    /// Sets the moment at which a record counts as taken. Default: when it is returned to the application.
    pub fn with_taken(mut self, taken: Taken) -> Self {
        self.config.taken = taken;
        self
    }

    /// Sets where the consumer begins in the log of a durable stream, if neither it nor the producer knows a position.
    /// Consumers with different values do not share a subscription. Default: at the end of the log.
    pub fn with_start(mut self, start: StartAt) -> Self {
        self.config.start = start;
        self
    }

    /// Sets the positions in the logs of durable streams at which the consumer continues, as
    /// [`FramesConsumer::positions`] returned them in an earlier process. Default: none.
    pub fn with_positions(mut self, positions: Vec<SourcePosition>) -> Self {
        self.config.positions = positions;
        self
    }

    /// Starts the consumer.
    ///
    /// # Errors
    /// Fails if the criteria cannot be evaluated on records of the encoding.
    pub fn build(self) -> Result<FramesConsumer, NotSelectable> {
        let lookup = Lookup::Encoding(self.config.encoding.clone());
        let filter = lookup.filter(&self.config.criteria)?;
        Ok(self.start(lookup, filter))
    }

    /// Starts a consumer of a type that matches criteria itself, which cannot fail.
    pub(super) fn build_typed(self, matches: Matches) -> FramesConsumer {
        let filter = Filter::decoded(matches, &self.config.criteria);
        self.start(Lookup::Datum(matches), filter)
    }

    fn start(self, lookup: Lookup, filter: Filter) -> FramesConsumer {
        let Self {
            env,
            registrar,
            config,
            requirements,
            online_when,
        } = self;
        let wanted = Wanted {
            criteria: config.criteria.clone(),
            filter,
        };
        let board = Board::new(online_when);
        let share = Share::of(&config);
        let mut started = None;
        let stream_id = config.stream_id;
        let make = |others: &[Arc<Core>]| {
            let mut groups = others.iter().map(|other| &other.group);
            let shared = share.and_then(|share| groups.find(|group| group.admits(&share)));
            let group = shared.cloned().unwrap_or_else(|| {
                let name = share.map_or_else(|| name_among(&config, others), |s| s.subscription());
                let authorizer = Authorizer::new(requirements);
                let group = Arc::new(Group::new(&config, env.clone(), authorizer, name));
                started = Some(group.clone());
                group
            });
            Core::new(config, group, registrar.clone(), (lookup, wanted), board)
        };
        let core = registrar.add(stream_id, Box::new(make));
        if let Some(group) = started {
            env.spawn(worker::run(group));
        }
        FramesConsumer::new(core)
    }
}

/// Returns the name of the subscriptions of a consumer that does not share: the configured one, or the first `consumer
/// N` that is not in use.
fn name_among(config: &Config, others: &[Arc<Core>]) -> UniqueId {
    let others: Vec<_> = others.iter().map(|other| other.group.name()).collect();
    config.name.unwrap_or_else(|| {
        let mut names =
            (0..=others.len()).map(|n| UniqueId::from(format!("consumer {n}").as_str()));
        let free = names.find(|name| !others.contains(name));
        free.unwrap_or_else(UniqueId::random)
    })
}

impl fmt::Debug for FramesConsumerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramesConsumerBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
