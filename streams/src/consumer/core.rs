//! What the handle, the worker and the receivers of one consumer share.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicUsize},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{attempts::Attempts, builder::Config, memory::Memories, stats::Tally};
use crate::{
    Criteria, StreamId, UniqueId,
    criteria::NotSelectable,
    discovery::PeerEntry,
    filter::{Filter, Lookup},
    gate::Gate,
    queue::{Queue, Source},
    status::{Board, ChannelInfo},
    streams::{
        self, Scope,
        backoff::ExponentialBackoff,
        protocol::{SubscriberId, random_id},
    },
    tap::Taps,
};

/// Which datums a consumer wants.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(super) criteria: Criteria,
    /// For what comes from producers that do not select.
    pub(super) filter: Filter,
}

pub(crate) struct Core {
    pub(super) id: StreamId,
    pub(super) config: Config,
    pub(super) streams: Arc<streams::Inner>,
    pub(super) gate: Gate,
    pub(super) lookup: Lookup,
    pub(super) wanted: watch::Sender<Arc<Wanted>>,
    backoff: Mutex<ExponentialBackoff>,
    /// Those who look on at what is taken.
    pub(super) taps: Taps,
    /// What this consumer calls itself towards producers elsewhere.
    pub(super) subscriber_id: SubscriberId,
    pub(super) board: Board,
    pub(super) tally: Tally,
    pub(super) attempts: Attempts,
    pub(super) memories: Memories,
    /// What its subscriptions are called.
    name: OnceLock<UniqueId>,
    /// The most datums handed out at once.
    pub(super) batch_size: AtomicUsize,
    /// Ends the worker and the receivers.
    pub(super) cancel: CancellationToken,
    /// Cancelled when nothing more is to be received, since the node stops.
    pub(super) leaving: CancellationToken,
    queue: Queue,
    sources: Mutex<Sources>,
}

#[derive(Debug, Default)]
struct Sources {
    /// Producers that are connected or being connected to.
    live: usize,
    /// Whether one of them has ended for good.
    ended: bool,
    /// Cancelled to hear no more of a source.
    rejections: HashMap<Source, CancellationToken>,
}

/// A producer that is connected or being connected to, for as long as this lives.
pub(super) struct Live<'a>(&'a Core);

impl Drop for Live<'_> {
    fn drop(&mut self) {
        let mut sources = self.0.sources();
        sources.live -= 1;
        self.0.settle(&sources);
    }
}

impl Core {
    pub(super) fn new(
        config: Config,
        streams: Arc<streams::Inner>,
        (gate, lookup, wanted): (Gate, Lookup, Wanted),
        board: Board,
    ) -> Self {
        let subscriber_id = SubscriberId {
            process: streams.process,
            consumer: random_id(),
        };
        let batch_size = config.batch_size;
        Self {
            id: config.stream_id,
            queue: Queue::new(config.buffer_size, config.buffer_bytes),
            backoff: Mutex::new(config.backoff.clone()),
            config,
            cancel: streams.env.cancel.child_token(),
            leaving: CancellationToken::new(),
            streams,
            gate,
            lookup,
            wanted: watch::Sender::new(Arc::new(wanted)),
            taps: Taps::default(),
            subscriber_id,
            board,
            tally: Tally::new(),
            attempts: Attempts::default(),
            memories: Memories::default(),
            name: OnceLock::new(),
            batch_size: AtomicUsize::new(batch_size),
            sources: Mutex::default(),
        }
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    /// What the stream is called in logs.
    pub(super) fn label(&self) -> String {
        let label = self.config.label.as_ref();
        label.map_or_else(|| self.id.to_string(), ToString::to_string)
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    pub(super) fn wanted(&self) -> Arc<Wanted> {
        self.wanted.borrow().clone()
    }

    pub(crate) fn criteria(&self) -> Criteria {
        self.wanted().criteria.clone()
    }

    /// Other criteria from the next datum on that is put into the queue.
    pub(super) fn set_criteria(self: &Arc<Self>, criteria: Criteria) -> Result<(), NotSelectable> {
        let filter = self.lookup.filter(&criteria)?;
        self.wanted
            .send_replace(Arc::new(Wanted { criteria, filter }));
        self.streams.consumer_wants(self);
        Ok(())
    }

    pub(super) fn backoff(&self) -> ExponentialBackoff {
        let backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        backoff.clone()
    }

    pub(super) fn set_backoff(&self, policy: ExponentialBackoff) {
        *self.backoff.lock().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// How many nodes elsewhere offer the stream and are not, or do not show, what is required.
    pub(super) fn unfit(&self) -> usize {
        if self.config.scope == Scope::Node {
            return 0;
        }
        let catalog = self.streams.env.discovery.catalog();
        let local_id = self.streams.env.local_id;
        let offers =
            |peer: &&PeerEntry| peer.streams().contains(&self.id) && *peer.id() != local_id;
        let unfit = |peer: &&PeerEntry| {
            let entry = self.gate.entry(&catalog, peer.id());
            entry.is_none_or(|entry| self.gate.judge(entry).is_none())
        };
        catalog.peers().filter(offers).filter(unfit).count()
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Names it: as it was built, or else by the first number that none of the others has.
    pub(crate) fn name_among<'a>(&self, others: impl Iterator<Item = &'a Arc<Self>>) {
        let others: Vec<_> = others.map(|other| other.name()).collect();
        let name = self.config.name.unwrap_or_else(|| {
            let mut names =
                (0..=others.len()).map(|n| UniqueId::from(format!("consumer {n}").as_str()));
            let free = names.find(|name| !others.contains(name));
            free.unwrap_or_else(UniqueId::random)
        });
        // It is named once.
        let _ = self.name.set(name);
    }

    /// What its subscriptions are called, the same in each life of its node.
    pub(super) fn name(&self) -> UniqueId {
        self.name.get().copied().unwrap_or_else(UniqueId::random)
    }

    /// Whether it takes what a producer of this node sends.
    pub(crate) fn takes_local(&self) -> bool {
        self.config.local || self.config.scope == Scope::Node
    }

    /// A producer is being connected to.
    pub(super) fn enter(&self) -> Live<'_> {
        self.sources().live += 1;
        Live(self)
    }

    /// One of the producers has ended for good.
    pub(super) fn mark_ended(&self) {
        self.sources().ended = true;
    }

    /// The stream is over when one has ended for good and there is no other.
    fn settle(&self, sources: &Sources) {
        if sources.ended && sources.live == 0 {
            self.queue.close();
            self.cancel.cancel();
        }
    }

    /// Datums will come from a producer of this node. The token is cancelled when no more are wanted.
    pub(crate) fn add_source(&self, channel: &ChannelInfo, source: Source) -> CancellationToken {
        self.sources().live += 1;
        self.board.add(channel);
        self.accept_from(source)
    }

    /// They will not any more.
    pub(crate) fn remove_source(&self, channel: &ChannelInfo, source: Source, for_good: bool) {
        self.board.remove(channel);
        let mut sources = self.sources();
        sources.rejections.remove(&source);
        sources.live -= 1;
        sources.ended |= for_good;
        self.settle(&sources);
    }

    pub(super) fn accept_from(&self, source: Source) -> CancellationToken {
        self.sources().rejections.entry(source).or_default().clone()
    }

    pub(super) fn forget(&self, source: Source) {
        self.sources().rejections.remove(&source);
    }

    /// Hears no more of a source, after a datum that is not what it should be.
    pub(super) fn reject(&self, source: Source) {
        self.tally.malformed.add(1);
        if let Some(rejection) = self.sources().rejections.get(&source) {
            rejection.cancel();
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("id", &self.id)
            .field("online", &self.board.is_online())
            .field("queued", &self.queue.held())
            .finish_non_exhaustive()
    }
}
