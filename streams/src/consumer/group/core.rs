//! [`Core`]: the state that a consumer's handle and its group share.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use super::{
    super::{config::Config, stats::Tally},
    Group,
};
use crate::{
    Criteria, PeerId, StreamId,
    channel::{
        config::Scope,
        filter::{Filter, Lookup},
        queue::{Queue, Source},
        status::{Board, ChannelInfo},
        tap::Taps,
    },
    criteria::NotSelectable,
    durable::LogPosition,
};

/// Creates a consumer, given the other consumers of the stream.
pub(crate) type MakeConsumer<'a> = Box<dyn FnOnce(&[Arc<Core>]) -> Core + 'a>;

/// The consumers of a node, by stream. Implemented by the layer above, which connects consumers to producers.
pub(crate) trait Registrar: Send + Sync {
    /// Registers the consumer that `make` returns, which receives the other consumers of the stream.
    fn add(&self, id: StreamId, make: MakeConsumer<'_>) -> Arc<Core>;

    /// Applies changed criteria of a consumer to the producer on this node.
    fn criteria_changed(&self, core: &Arc<Core>);

    fn remove(&self, core: &Arc<Core>);
}

/// The selection of a consumer.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(in crate::consumer) criteria: Criteria,
    /// Applied to records of producers that do not select.
    pub(in crate::consumer) filter: Filter,
}

pub(crate) struct Core {
    pub(in crate::consumer) config: Config,
    registrar: Arc<dyn Registrar>,
    /// The consumers with which it shares subscriptions to remote producers.
    pub(in crate::consumer) group: Arc<Group>,
    pub(in crate::consumer) lookup: Lookup,
    wanted: Mutex<Arc<Wanted>>,
    /// The taps on the records that the application takes.
    pub(in crate::consumer) taps: Taps,
    pub(in crate::consumer) board: Board,
    pub(in crate::consumer) tally: Tally,
    /// The maximum number of records returned at once.
    pub(in crate::consumer) batch_size: AtomicUsize,
    /// Set when the node stops: no more records are received.
    is_leaving: AtomicBool,
    queue: Queue,
    sources: Mutex<Sources>,
}

#[derive(Debug, Default)]
struct Sources {
    /// The number of producers that are connected or connecting.
    live: usize,
    /// True once a producer has finished the stream.
    ended: bool,
    /// Cancelled to disconnect a producer of this node.
    rejections: HashMap<Source, CancellationToken>,
}

impl Core {
    pub(in crate::consumer) fn new(
        config: Config,
        group: Arc<Group>,
        registrar: Arc<dyn Registrar>,
        (lookup, wanted): (Lookup, Wanted),
        board: Board,
    ) -> Self {
        let batch_size = config.batch_size;
        Self {
            queue: Queue::new(config.buffer_size, config.buffer_bytes),
            config,
            registrar,
            group,
            lookup,
            wanted: Mutex::new(Arc::new(wanted)),
            taps: Taps::default(),
            board,
            tally: Tally::new(),
            batch_size: AtomicUsize::new(batch_size),
            is_leaving: AtomicBool::new(false),
            sources: Mutex::default(),
        }
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn id(&self) -> StreamId {
        self.config.stream_id
    }

    /// Returns the current settings.
    pub(in crate::consumer) fn current_config(&self) -> Config {
        let (buffer_size, buffer_bytes) = self.queue.bounds();
        Config {
            criteria: self.criteria(),
            buffer_size,
            buffer_bytes,
            batch_size: self.batch_size.load(Ordering::Relaxed),
            backoff: self.group.backoff(),
            ..self.config.clone()
        }
    }

    /// Marks that no more records are to be received because the node stops.
    pub(in crate::consumer) fn set_leaving(&self) {
        self.is_leaving.store(true, Ordering::Release);
    }

    pub(in crate::consumer) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    pub(in crate::consumer) fn wanted(&self) -> Arc<Wanted> {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.clone()
    }

    pub(crate) fn criteria(&self) -> Criteria {
        self.wanted().criteria.clone()
    }

    /// Sets the criteria, starting with the next record that is queued.
    pub(in crate::consumer) fn set_criteria(
        self: &Arc<Self>,
        criteria: Criteria,
    ) -> Result<(), NotSelectable> {
        let filter = self.lookup.filter(&criteria)?;
        let wanted = Arc::new(Wanted { criteria, filter });
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
        self.registrar.criteria_changed(self);
        self.group.criteria_changed();
        Ok(())
    }

    /// Returns the position at which the consumer continues in the log of a node, if one was set.
    pub(in crate::consumer) fn position_of(&self, peer: &PeerId) -> Option<LogPosition> {
        let mut positions = self.config.positions.iter();
        positions
            .find(|known| known.peer == *peer)
            .map(|known| known.at)
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Removes the consumer from the node's streams.
    pub(in crate::consumer) fn unregister(self: &Arc<Self>) {
        self.registrar.remove(self);
    }

    /// Adds the consumer to its group.
    pub(crate) fn join_group(self: &Arc<Self>) {
        self.group.join(self);
    }

    /// Returns true if the consumer accepts records of a producer on this node.
    pub(crate) fn takes_local(&self) -> bool {
        self.config.local || self.config.scope == Scope::Node
    }

    /// Counts remote producers that are being connected to.
    pub(in crate::consumer) fn sources_joined(&self, count: usize) {
        self.sources().live += count;
    }

    /// Counts one of them as gone. Returns true if that ended the stream.
    pub(in crate::consumer) fn source_left(&self) -> bool {
        let mut sources = self.sources();
        sources.live -= 1;
        self.settle(&sources)
    }

    /// Notes that a producer has finished the stream.
    pub(in crate::consumer) fn mark_ended(&self) {
        self.sources().ended = true;
    }

    /// Closes the queue and returns true if a producer has finished the stream and no producer is left.
    fn settle(&self, sources: &Sources) -> bool {
        let is_over = sources.ended && sources.live == 0;
        if is_over {
            self.queue.close();
        }
        is_over
    }

    /// Adds a producer on this node. The returned token is cancelled when its records are rejected.
    pub(crate) fn add_source(&self, channel: &ChannelInfo, source: Source) -> CancellationToken {
        self.sources().live += 1;
        self.board.add(channel);
        self.sources().rejections.entry(source).or_default().clone()
    }

    /// Removes a producer on this node. `for_good` says that it finished the stream.
    pub(crate) fn remove_source(
        self: &Arc<Self>,
        channel: &ChannelInfo,
        source: Source,
        for_good: bool,
    ) {
        self.board.remove(channel);
        let mut sources = self.sources();
        sources.rejections.remove(&source);
        sources.live -= 1;
        sources.ended |= for_good;
        let is_over = self.settle(&sources);
        drop(sources);
        if is_over {
            self.group.leave(self);
        }
    }

    /// Disconnects a source after a malformed record.
    pub(in crate::consumer) fn reject(&self, source: Source) {
        self.tally.malformed.add(1);
        match self.sources().rejections.get(&source) {
            Some(rejection) => rejection.cancel(),
            None => self.group.reject(source),
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("id", &self.config.stream_id)
            .field("online", &self.board.is_online())
            .field("queued", &self.queue.held())
            .finish_non_exhaustive()
    }
}
