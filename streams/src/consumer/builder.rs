//! How a consumer is set up.

use std::{fmt, sync::Arc};

use super::{
    core::{Core, Wanted},
    frames::FramesConsumer,
    group::{Group, Share},
    worker,
};
use crate::{
    Criteria, Encoding, StreamId, UniqueId,
    criteria::NotSelectable,
    discovery::PeerEntry,
    filter::{Filter, Lookup, Matches},
    gate::{Gate, Requirements},
    status::{Board, ChannelConditions},
    streams::{self, Format, Scope, backoff::ExponentialBackoff},
    tickets::TicketValidator,
};

/// Bounds and reach of a consumer.
#[derive(Debug, Clone)]
pub struct Config {
    /// The stream.
    pub stream_id: StreamId,
    /// Where producers are looked for. Default: the network.
    pub scope: Scope,
    /// What the datums are, for criteria to look into. Default: JSON.
    pub encoding: Encoding,
    /// What the consumer declares its records to be; a producer that declares otherwise is refused. Default: nothing.
    pub format: Option<Format>,
    /// What the stream is called in logs. Default: its id.
    pub label: Option<Arc<str>>,
    /// Which datums are wanted. Default: all.
    pub criteria: Criteria,
    /// Datums held for the application, from all producers. Default 1024. When it is full, nothing more is read.
    pub buffer_size: usize,
    /// Bytes held likewise, headers included, whichever bound is reached first. Default 8 MiB. In the worst case each
    /// producer's connection holds its receive window and one batch beside it, and so does its predecessor that ended.
    pub buffer_bytes: usize,
    /// The most datums handed out at once, whatever the application asks for. Default: any number.
    pub batch_size: usize,
    /// Bytes of the largest datum taken from elsewhere; a producer that announces a larger one is not listened to any
    /// more. Default: the network's, 16 MiB.
    pub max_datum_len: usize,
    /// Whether this node's own producer is taken too, in process. Default: no.
    pub local: bool,
    /// How attempts to reach a producer are spaced. Default: what the network's streams share.
    pub backoff: ExponentialBackoff,
    /// What its subscriptions are called. Default: a number among this node's consumers of the stream.
    pub name: Option<UniqueId>,
    /// What the subscription that it shares is called. Default: it shares none.
    pub shared: Option<UniqueId>,
    /// When a record counts as taken. Default: when it is handed out.
    pub taken: Taken,
}

/// When a record of a producer on another node counts as taken, so that it is not sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Taken {
    /// When it is handed out.
    #[default]
    HandedOut,
    /// When the application asks for the next batch, having worked off the one before.
    WorkedOff,
}

type OnlineWhen = Box<dyn FnOnce(ChannelConditions) -> ChannelConditions + Send + Sync>;

/// Sets up a consumer of wire-format batches.
#[must_use = "nothing is consumed before it is built"]
pub struct FramesConsumerBuilder {
    streams: Arc<streams::Inner>,
    config: Config,
    requirements: Requirements,
    online_when: OnlineWhen,
}

impl FramesConsumerBuilder {
    pub(crate) fn new(streams: Arc<streams::Inner>, id: StreamId) -> Self {
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
            max_datum_len: streams.env.max_frame_len(),
            local: false,
            backoff: streams.env.config.backoff.clone(),
            name: None,
            shared: None,
            taken: Taken::default(),
        };
        let online_when: OnlineWhen = Box::new(|conditions| conditions.minimum_of(0));
        Self {
            streams,
            config,
            requirements: Requirements::new(),
            online_when,
        }
    }

    pub(super) fn with_stream_id(mut self, id: StreamId) -> Self {
        self.config.stream_id = id;
        self
    }

    /// Where producers are looked for. [`Scope::Node`] takes this node's producer alone. Default: the network.
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.config.scope = scope;
        self
    }

    /// What the records are, for criteria to look into, and declared to producers: one that declares another encoding or
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

    /// Which datums are wanted. Producers that can select send no others. Default: all.
    pub fn with_criteria(mut self, criteria: Criteria) -> Self {
        self.config.criteria = criteria;
        self
    }

    /// Datums held for the application. Default 1024, at least 1.
    pub fn with_buffer_size(mut self, datums: usize) -> Self {
        self.config.buffer_size = datums;
        self
    }

    /// Bytes held likewise, headers included. Default 8 MiB. A larger datum is held alone.
    pub fn with_buffer_bytes(mut self, bytes: usize) -> Self {
        self.config.buffer_bytes = bytes;
        self
    }

    /// The most datums handed out at once, whatever the application asks for. Default: any number, at least 1.
    pub fn with_batch_size(mut self, datums: usize) -> Self {
        self.config.batch_size = datums;
        self
    }

    /// Bytes of the largest datum taken from elsewhere. Default: the network's, 16 MiB.
    pub fn with_max_datum_len(mut self, bytes: usize) -> Self {
        self.config.max_datum_len = bytes.min(u32::MAX as usize);
        self
    }

    /// Whether this node's own producer is taken too, in process and without a copy. Default: no.
    pub fn with_local(mut self, local: bool) -> Self {
        self.config.local = local;
        self
    }

    /// Which nodes it takes datums from, asked again whenever the node's entry changes. Said several times, all must
    /// hold. This node's own producer is not asked.
    pub fn require(mut self, from: impl Fn(&PeerEntry) -> bool + Send + Sync + 'static) -> Self {
        self.requirements = self.requirements.require(from);
        self
    }

    /// Which nodes it takes datums from, all at once; those said before count no more.
    pub fn with_requirements(mut self, requirements: Requirements) -> Self {
        self.requirements = requirements;
        self
    }

    /// Which tickets a node must show for datums to be taken from it. Said several times, all must be shown.
    ///
    /// The connection is closed when the first of its tickets expires or is taken back, unless its entry shows another
    /// by then. This node's own producer needs none.
    pub fn require_ticket(mut self, validator: impl TicketValidator) -> Self {
        self.requirements = self.requirements.require_ticket(validator);
        self
    }

    /// When it is online, said from conditions that are met by one producer. Default: from the start.
    pub fn online_when(
        mut self,
        conditions: impl FnOnce(ChannelConditions) -> ChannelConditions + Send + Sync + 'static,
    ) -> Self {
        self.online_when = Box::new(conditions);
        self
    }

    /// How attempts to reach a producer are spaced.
    pub fn with_backoff(mut self, backoff: ExponentialBackoff) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// What its subscriptions are called. A consumer of the same name in the next life of this node, one with the same secret
    /// key, is sent what this one had not confirmed. Default: a number among this node's consumers of the stream, in the
    /// order in which they are built.
    pub fn with_name(mut self, name: impl Into<UniqueId>) -> Self {
        self.config.name = Some(name.into());
        self
    }

    /// Shares one subscription to each producer on another node with every consumer of the stream in this network that is
    /// built with the same name, format and [`max_datum_len`](Self::with_max_datum_len): one connection, over which what any
    /// of them wants is sent once. Default: it shares none.
    ///
    /// Each has its own criteria, queue and conditions for being online. One whose queue is full holds back the others, as it
    /// does within a node. Requirements, back-off and label are those of the first one; with
    /// [`ConsumerControl`](super::ConsumerControl) they are set for all. The name is also what the subscription is called, in
    /// place of [`with_name`](Self::with_name): in the next life of this node, consumers that share under the same name are
    /// sent what was not confirmed by all. A consumer that joins later gets what is received from then on. To start several
    /// with the first record, see [`Streams::hold_subscriptions`](crate::streams::Streams::hold_subscriptions).
    pub fn with_shared_subscription(mut self, name: impl Into<UniqueId>) -> Self {
        self.config.shared = Some(name.into());
        self
    }

    /// When a record counts as taken. Default: when it is handed out.
    pub fn with_taken(mut self, taken: Taken) -> Self {
        self.config.taken = taken;
        self
    }

    /// Starts the consumer.
    ///
    /// # Errors
    /// When the criteria cannot be applied to datums of the encoding.
    pub fn build(self) -> Result<FramesConsumer, NotSelectable> {
        let lookup = Lookup::Encoding(self.config.encoding.clone());
        let filter = lookup.filter(&self.config.criteria)?;
        Ok(self.start(lookup, filter))
    }

    /// For types that judge their datums themselves, which cannot fail here.
    pub(super) fn build_typed(self, matches: Matches) -> FramesConsumer {
        let filter = Filter::decoded(matches, &self.config.criteria);
        self.start(Lookup::Datum(matches), filter)
    }

    fn start(self, lookup: Lookup, filter: Filter) -> FramesConsumer {
        let Self {
            streams,
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
        let core = streams.add_consumer(config.stream_id, |others| {
            let mut groups = others.iter().map(|other| &other.group);
            let shared = share.and_then(|share| groups.find(|group| group.admits(&share)));
            let group = shared.cloned().unwrap_or_else(|| {
                let name = share.map_or_else(|| name_among(&config, others), |s| s.subscription());
                let gate = Gate::new(requirements);
                let group = Arc::new(Group::new(&config, streams.clone(), gate, name));
                started = Some(group.clone());
                group
            });
            Core::new(config, group, (lookup, wanted), board)
        });
        if let Some(group) = started {
            streams.env.spawn(worker::run(group));
        }
        FramesConsumer::new(core)
    }
}

/// What the subscriptions of a consumer that does not share are called: as it was built, or else by the first number that none
/// of the others has.
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
