//! [`Subscriber`]: a local or remote subscriber of a producer.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{log_place::LogPlace, retained::Retained, stats::Tally};
use crate::{
    Frames, PeerId,
    channel::{
        filter::Filter,
        protocol::{Offer, SubscriberId},
        queue::{Next, Queue, Source},
        status::{Channel, Counter, State},
    },
    consumer,
    net::CloseReason,
    peer::PeerEntry,
};

/// A subscriber. It stays in the list of the fan-out until it is removed. One that confirms records may disconnect and
/// reconnect in the meantime.
#[derive(Debug)]
pub(crate) struct Subscriber {
    /// Distinguishes it from the other writers of the queue in which its records wait.
    pub(super) number: Source,
    pub(super) filter: Mutex<Arc<Filter>>,
    pub(super) target: Target,
    /// Cancelled when it is removed from the list of the fan-out.
    pub(super) gone: CancellationToken,
    /// Cancelled when a local consumer has taken everything up to the end of the stream.
    pub(super) done: CancellationToken,
}

#[derive(Debug)]
pub(super) enum Target {
    Local(Local),
    Remote(Box<Remote>),
}

#[derive(Debug)]
pub(super) struct Local {
    pub(super) channel: Channel,
    pub(super) consumer: Arc<consumer::Core>,
    /// The counters of the producer.
    pub(super) tally: Arc<Tally>,
    /// Cancelled when the consumer accepts no more records from this source.
    pub(super) rejected: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Remote {
    pub(super) queue: Queue,
    pub(super) supply: Supply,
    /// Held by the connection that reads the queue, which has one reader at a time.
    pub(super) sending: tokio::sync::Mutex<()>,
    /// The current or last connection.
    connection: Mutex<Arc<Connection>>,
    /// True while it is disconnected because its node stopped and may start again. It receives the records up to that
    /// point, and nothing more until it reconnects.
    on_leave: AtomicBool,
    /// The reason with which the stream ends, once it does: for good or not.
    pub(super) ending: watch::Sender<CloseReason>,
    /// True once it has reported that it has read everything.
    pub(super) complete: watch::Sender<bool>,
}

/// Where the records for a remote subscriber come from.
#[derive(Debug)]
pub(super) enum Supply {
    /// Its queue. It does not confirm records.
    Queue,
    /// Its queue, and the sent records that it has not confirmed.
    Retained(Retained),
    /// The log of a durable stream. Its queue is not used.
    Log(LogPlace),
}

/// One connection of a subscriber. Its channel is terminated when it is over.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) channel: Channel,
    pub(super) peer: PeerEntry,
    /// The id sent by the consumer; `None` for plain Mosaik.
    pub(super) id: Option<SubscriberId>,
    /// Sent by a subscriber that confirms.
    pub(super) offer: Option<Offer>,
    /// The reason for which it is being disconnected, if it is.
    cut: watch::Sender<Option<CloseReason>>,
    /// Cancelled when the subscriber has another connection.
    pub(super) replaced: CancellationToken,
}

impl Connection {
    pub(super) fn new(
        channel: Channel,
        peer: PeerEntry,
        id: Option<SubscriberId>,
        offer: Option<Offer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            channel,
            peer,
            id,
            offer,
            cut: watch::Sender::new(None),
            replaced: CancellationToken::new(),
        })
    }

    /// Disconnects it. Records that were not sent are lost unless they are retained.
    pub(super) fn cut(&self, reason: CloseReason) {
        self.cut.send_if_modified(|cut| {
            cut.is_none() && {
                *cut = Some(reason);
                true
            }
        });
    }

    /// Resolves when it is disconnected by the producer. Cancel safe.
    pub(super) async fn is_cut(&self) -> CloseReason {
        let mut cut = self.cut.subscribe();
        let cut = cut.wait_for(Option::is_some).await;
        cut.ok()
            .and_then(|cut| *cut)
            .unwrap_or(CloseReason::Cancelled)
    }
}

impl Remote {
    pub(super) fn new(queue: Queue, supply: Supply, connection: Arc<Connection>) -> Self {
        Self {
            queue,
            supply,
            sending: tokio::sync::Mutex::default(),
            connection: Mutex::new(connection),
            on_leave: AtomicBool::new(false),
            ending: watch::Sender::new(CloseReason::GracefulShutdown),
            complete: watch::Sender::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Connection>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the current or last connection.
    pub(super) fn connection(&self) -> Arc<Connection> {
        Arc::clone(&self.lock())
    }

    pub(super) fn set_connection(&self, connection: Arc<Connection>) {
        let last = std::mem::replace(&mut *self.lock(), connection);
        last.replaced.cancel();
        self.on_leave.store(false, Ordering::Release);
    }

    /// Notes that its node stopped in an orderly way.
    pub(super) fn set_on_leave(&self) {
        self.on_leave.store(true, Ordering::Release);
    }

    /// Returns true if it is disconnected.
    pub(super) fn is_away(&self) -> bool {
        self.connection().channel.info.state() == State::Terminated
    }

    /// Returns true if a consumer with this id and offer continues this subscription: the same consumer again, or the
    /// one of the same name in another process of its node.
    pub(super) fn is_resumed_by(&self, peer: &PeerEntry, id: &SubscriberId, offer: &Offer) -> bool {
        let last = self.connection();
        let (Some(old), Some(old_offer)) = (&last.id, &last.offer) else {
            return false;
        };
        let is_same = old == id;
        let is_successor = old.process != id.process && old_offer.name == offer.name;
        last.peer.id() == peer.id() && (is_same || is_successor)
    }
}

impl Next for Subscriber {
    /// Returns the queue in which its records wait.
    fn queue(&self) -> &Queue {
        match &self.target {
            Target::Local(local) => local.consumer.queue(),
            Target::Remote(remote) => &remote.queue,
        }
    }

    fn source(&self) -> Source {
        self.number
    }

    /// Records for a remote subscriber are counted when they are sent.
    fn passed(&self, count: usize, len: usize) {
        if let Target::Local(local) = &self.target {
            local.channel.info.stats().moved(count, len);
            local.tally.delivered_local.add(count);
        }
    }
}

impl Subscriber {
    pub(super) fn remote(&self) -> Option<&Remote> {
        match &self.target {
            Target::Local(_) => None,
            Target::Remote(remote) => Some(remote),
        }
    }

    /// Returns true if it reads the log of a durable stream.
    pub(super) fn reads_log(&self) -> bool {
        let remote = self.remote();
        remote.is_some_and(|remote| matches!(remote.supply, Supply::Log(_)))
    }

    /// Passes the current or last channel to `look`.
    pub(super) fn with_channel<T>(&self, look: impl FnOnce(&Channel) -> T) -> T {
        match &self.target {
            Target::Local(local) => look(&local.channel),
            Target::Remote(remote) => look(&remote.connection().channel),
        }
    }

    pub(super) fn peer_id(&self) -> PeerId {
        self.with_channel(|channel| *channel.info.consumer_id())
    }

    /// Returns true if its node stopped in an orderly way. It is then sent nothing, and not waited for, until it
    /// reconnects.
    pub(super) fn is_on_leave(&self) -> bool {
        let remote = self.remote();
        remote.is_some_and(|remote| remote.on_leave.load(Ordering::Acquire))
    }

    /// Returns true if it accepts no more records.
    pub(super) fn has_left(&self) -> bool {
        let rejected =
            matches!(&self.target, Target::Local(local) if local.rejected.is_cancelled());
        rejected || self.gone.is_cancelled() || self.queue().is_closed()
    }

    /// Closes the connection of a remote subscriber.
    pub(super) fn cut(&self, reason: CloseReason) {
        if let Some(remote) = self.remote() {
            remote.connection().cut(reason);
        }
    }

    /// Counts records that it missed.
    pub(super) fn missed(&self, count: usize, reason: &Counter) {
        if count > 0 {
            self.with_channel(|channel| channel.info.stats().dropped_more(count));
            reason.add(count);
        }
    }

    /// Returns the records of a batch that it selects.
    pub(super) fn select(&self, batch: &Frames) -> Frames {
        let (wanted, _) = self.filter().apply(batch);
        let unwanted = batch.count() - wanted.count();
        if unwanted > 0 {
            self.with_channel(|channel| channel.info.stats().filtered_more(unwanted));
        }
        wanted
    }

    /// Returns its current filter.
    pub(super) fn filter(&self) -> Arc<Filter> {
        let filter = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&filter)
    }

    /// Returns true if it accepts every record unchanged.
    pub(super) fn takes_everything(&self) -> bool {
        self.filter().is_everything() && !self.has_left() && !self.is_on_leave()
    }

    /// Resolves when a local consumer accepts no more records from this source. Cancel safe.
    pub(super) async fn rejected(&self) {
        match &self.target {
            Target::Local(local) => local.rejected.cancelled().await,
            Target::Remote(_) => std::future::pending().await,
        }
    }

    /// Sets the filter from the next batch on.
    pub(super) fn set_filter(&self, filter: Filter) {
        *self.filter.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(filter);
    }

    /// Returns true if `peer` supersedes this subscriber: it is the same consumer, or belongs to a later process with
    /// the same key.
    pub(super) fn is_predecessor_of(&self, peer: &PeerEntry, id: Option<&SubscriberId>) -> bool {
        let Some(last) = self.remote().map(Remote::connection) else {
            return false;
        };
        if last.peer.id() != peer.id() {
            return false;
        }
        match (&last.id, id) {
            (Some(old), Some(new)) => old.process != new.process || old.consumer == new.consumer,
            _ => last.peer.started_at() < peer.started_at(),
        }
    }
}
