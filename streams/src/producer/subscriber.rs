//! A subscriber of a producer: in this process, or at the other end of a connection.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::stats::Tally;
use crate::{
    Frames, PeerId, consumer,
    discovery::PeerEntry,
    filter::Filter,
    network::CloseReason,
    queue::{Next, Queue, Source},
    status::{Channel, Counter},
    streams::protocol::SubscriberId,
};

/// A subscriber. It is in the fan-out's list until it has left.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(super) channel: Channel,
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
    pub(super) consumer: Arc<consumer::Core>,
    /// The producer's.
    pub(super) tally: Arc<Tally>,
    /// The consumer takes nothing more from this source.
    pub(super) rejected: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Remote {
    pub(super) queue: Queue,
    pub(super) peer: PeerEntry,
    /// What it says of itself; plain Mosaik says nothing.
    pub(super) id: Option<SubscriberId>,
    /// Why it is being cut off, once it is.
    pub(super) cut: watch::Sender<Option<CloseReason>>,
    /// How the stream ends, once it does: for good or not.
    pub(super) ending: watch::Sender<CloseReason>,
    /// Whether it has said that it has read all.
    pub(super) complete: watch::Sender<bool>,
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
        self.channel.generation()
    }

    /// What goes to a subscriber elsewhere counts when it is sent.
    fn passed(&self, count: usize, len: usize) {
        if let Target::Local(local) = &self.target {
            self.channel.info.stats().moved(count, len);
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

    pub(super) fn peer_id(&self) -> PeerId {
        *self.channel.info.consumer_id()
    }

    /// Takes no more datums.
    pub(super) fn has_left(&self) -> bool {
        let rejected =
            matches!(&self.target, Target::Local(local) if local.rejected.is_cancelled());
        rejected || self.gone.is_cancelled() || self.queue().is_closed()
    }

    /// Cuts off one that is elsewhere; what it has not been sent is lost to it.
    pub(super) fn cut(&self, reason: CloseReason) {
        if let Some(remote) = self.remote() {
            remote.cut.send_if_modified(|cut| {
                cut.is_none() && {
                    *cut = Some(reason);
                    true
                }
            });
        }
    }

    /// It missed some datums.
    pub(super) fn missed(&self, count: usize, reason: &Counter) {
        self.channel.info.stats().dropped_more(count);
        reason.add(count);
    }

    /// The part of a batch that it wants.
    pub(super) fn select(&self, batch: &Frames) -> Frames {
        let (wanted, _) = self.filter().apply(batch);
        self.channel
            .info
            .stats()
            .filtered_more(batch.count() - wanted.count());
        wanted
    }

    /// What it wants now.
    pub(super) fn filter(&self) -> Arc<Filter> {
        let filter = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&filter)
    }

    /// Whether it wants all there is, as it comes.
    pub(super) fn takes_everything(&self) -> bool {
        self.filter().is_everything() && !self.has_left()
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
        let Some(remote) = self.remote().filter(|remote| remote.peer.id() == peer.id()) else {
            return false;
        };
        match (&remote.id, id) {
            (Some(old), Some(new)) => old.process != new.process || old.consumer == new.consumer,
            _ => remote.peer.started_at() < peer.started_at(),
        }
    }
}
