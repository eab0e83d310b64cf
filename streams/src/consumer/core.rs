//! What the handle, the worker and the receivers of one consumer share.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use super::{attempts::Attempts, builder::Config, stats::Tally};
use crate::{
    Criteria, StreamId,
    filter::Filter,
    gate::Gate,
    queue::{Queue, Source},
    status::{Board, ChannelInfo},
    streams::{
        self, Scope,
        protocol::{SubscriberId, random_id},
    },
};

pub(crate) struct Core {
    pub(super) id: StreamId,
    pub(super) config: Config,
    pub(super) streams: Arc<streams::Inner>,
    pub(super) gate: Gate,
    /// For what comes from producers that do not select.
    pub(super) filter: Filter,
    /// What this consumer calls itself towards producers elsewhere.
    pub(super) subscriber_id: SubscriberId,
    pub(super) board: Board,
    pub(super) tally: Tally,
    pub(super) attempts: Attempts,
    /// Ends the worker and the receivers.
    pub(super) cancel: CancellationToken,
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
        (gate, filter): (Gate, Filter),
        board: Board,
    ) -> Self {
        let subscriber_id = SubscriberId {
            process: streams.process,
            consumer: random_id(),
        };
        Self {
            id: config.stream_id,
            queue: Queue::new(config.buffer_size, config.buffer_bytes),
            config,
            cancel: streams.env.cancel.child_token(),
            streams,
            gate,
            filter,
            subscriber_id,
            board,
            tally: Tally::new(),
            attempts: Attempts::default(),
            sources: Mutex::default(),
        }
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    pub(crate) fn criteria(&self) -> &Criteria {
        &self.config.criteria
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
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
