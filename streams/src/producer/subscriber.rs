//! A subscriber of a producer: in this process, or at the other end of a connection.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{retained::Retained, stats::Tally};
use crate::{
    Frames, PeerId, consumer,
    discovery::PeerEntry,
    filter::Filter,
    network::CloseReason,
    queue::{Next, Queue, Source},
    status::{Channel, Counter, State},
    streams::protocol::{Offer, SubscriberId},
};

/// A subscriber. It is in the fan-out's list until it has left. One that confirms what it takes may be away meanwhile, and
/// be connected again.
#[derive(Debug)]
pub(crate) struct Subscriber {
    /// Tells it from every other writer of the queue that its records wait in.
    pub(super) number: Source,
    pub(super) filter: Mutex<Arc<Filter>>,
    pub(super) target: Target,
    /// Cancelled when it has been taken out of the fan-out's list.
    pub(super) gone: CancellationToken,
    /// Cancelled when a consumer of this node has taken all up to the stream's end.
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
    /// The producer's.
    pub(super) tally: Arc<Tally>,
    /// The consumer takes nothing more from this source.
    pub(super) rejected: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Remote {
    pub(super) queue: Queue,
    /// What was sent and is not confirmed, of a subscriber that confirms.
    pub(super) retained: Option<Retained>,
    /// Held by the connection that takes from the queue, which has one reader at a time.
    pub(super) sending: tokio::sync::Mutex<()>,
    /// The connection that it has, or had last.
    connection: Mutex<Arc<Connection>>,
    /// Whether it has no connection because its node stopped, and may start again. It gets what there was until then, and
    /// nothing more before it is back.
    on_leave: AtomicBool,
    /// How the stream ends, once it does: for good or not.
    pub(super) ending: watch::Sender<CloseReason>,
    /// Whether it has said that it has read all.
    pub(super) complete: watch::Sender<bool>,
}

/// One connection of a subscriber. Its channel is terminated when it is over.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) channel: Channel,
    pub(super) peer: PeerEntry,
    /// What it says of itself; plain Mosaik says nothing.
    pub(super) id: Option<SubscriberId>,
    /// Of a subscriber that confirms.
    pub(super) offer: Option<Offer>,
    /// Why it is being cut off, once it is.
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

    /// Cuts it off; what it has not been sent is lost to it, unless it is kept.
    pub(super) fn cut(&self, reason: CloseReason) {
        self.cut.send_if_modified(|cut| {
            cut.is_none() && {
                *cut = Some(reason);
                true
            }
        });
    }

    /// Resolves when it is cut off. Cancel safe.
    pub(super) async fn is_cut(&self) -> CloseReason {
        let mut cut = self.cut.subscribe();
        let cut = cut.wait_for(Option::is_some).await;
        cut.ok()
            .and_then(|cut| *cut)
            .unwrap_or(CloseReason::Cancelled)
    }
}

impl Remote {
    pub(super) fn new(
        queue: Queue,
        retained: Option<Retained>,
        connection: Arc<Connection>,
    ) -> Self {
        Self {
            queue,
            retained,
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

    /// The connection that it has, or had last.
    pub(super) fn connection(&self) -> Arc<Connection> {
        Arc::clone(&self.lock())
    }

    pub(super) fn set_connection(&self, connection: Arc<Connection>) {
        let last = std::mem::replace(&mut *self.lock(), connection);
        last.replaced.cancel();
        self.on_leave.store(false, Ordering::Release);
    }

    /// Its node has stopped in order.
    pub(super) fn set_on_leave(&self) {
        self.on_leave.store(true, Ordering::Release);
    }

    /// Whether it has no connection.
    pub(super) fn is_away(&self) -> bool {
        self.connection().channel.info.state() == State::Terminated
    }

    /// Whether a consumer that says this of itself goes on with this subscription: the same consumer again, or the one of
    /// the same name in another life of its node.
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
    /// Where its datums wait for it.
    fn queue(&self) -> &Queue {
        match &self.target {
            Target::Local(local) => local.consumer.queue(),
            Target::Remote(remote) => &remote.queue,
        }
    }

    fn source(&self) -> Source {
        self.number
    }

    /// What goes to a subscriber elsewhere counts when it is sent.
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

    /// Looks at the channel that it has, or had last.
    pub(super) fn with_channel<T>(&self, look: impl FnOnce(&Channel) -> T) -> T {
        match &self.target {
            Target::Local(local) => look(&local.channel),
            Target::Remote(remote) => look(&remote.connection().channel),
        }
    }

    pub(super) fn peer_id(&self) -> PeerId {
        self.with_channel(|channel| *channel.info.consumer_id())
    }

    /// Whether it takes nothing before it is back, and is not waited for.
    pub(super) fn is_on_leave(&self) -> bool {
        let remote = self.remote();
        remote.is_some_and(|remote| remote.on_leave.load(Ordering::Acquire))
    }

    /// Takes no more datums.
    pub(super) fn has_left(&self) -> bool {
        let rejected =
            matches!(&self.target, Target::Local(local) if local.rejected.is_cancelled());
        rejected || self.gone.is_cancelled() || self.queue().is_closed()
    }

    /// Cuts off the connection of one on another node.
    pub(super) fn cut(&self, reason: CloseReason) {
        if let Some(remote) = self.remote() {
            remote.connection().cut(reason);
        }
    }

    /// It missed some datums.
    pub(super) fn missed(&self, count: usize, reason: &Counter) {
        if count > 0 {
            self.with_channel(|channel| channel.info.stats().dropped_more(count));
            reason.add(count);
        }
    }

    /// The part of a batch that it wants.
    pub(super) fn select(&self, batch: &Frames) -> Frames {
        let (wanted, _) = self.filter().apply(batch);
        let unwanted = batch.count() - wanted.count();
        if unwanted > 0 {
            self.with_channel(|channel| channel.info.stats().filtered_more(unwanted));
        }
        wanted
    }

    /// What it wants now.
    pub(super) fn filter(&self) -> Arc<Filter> {
        let filter = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&filter)
    }

    /// Whether it wants all there is, as it comes.
    pub(super) fn takes_everything(&self) -> bool {
        self.filter().is_everything() && !self.has_left() && !self.is_on_leave()
    }

    /// Resolves when a consumer of this node takes nothing more from this source. Cancel safe.
    pub(super) async fn rejected(&self) {
        match &self.target {
            Target::Local(local) => local.rejected.cancelled().await,
            Target::Remote(_) => std::future::pending().await,
        }
    }

    /// It gets what this lets through, from the next batch on.
    pub(super) fn set_filter(&self, filter: Filter) {
        *self.filter.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(filter);
    }

    /// Whether `peer`, which is here again, is what this subscriber was before it died: the same consumer, or a process
    /// that a younger one of the same key has replaced.
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
