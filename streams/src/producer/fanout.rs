//! Who a producer's datums go to: subscribers come, leave, and want other datums than before.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio_util::sync::CancellationToken;

use super::{
    admission::count,
    core::Core,
    lag::DisconnectLagging,
    retained::Retained,
    subscriber::{Local, Remote, Subscriber, Target},
};
use crate::{
    Criteria, consumer,
    filter::Filter,
    network::CloseReason,
    queue::{Next, Source},
    status::{Channel, State},
};

#[derive(Debug, Default)]
pub(super) struct Fanout {
    subscribers: Arc<Vec<Arc<Subscriber>>>,
    /// Datums handed to the fan-out so far.
    position: u64,
    /// Admits nobody any more, for this reason.
    over: Option<CloseReason>,
}

/// What became of a subscriber that is taken out: how what it did not take is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It closed the connection, or was cut off before it was sent all: `closed`.
    Left,
    /// As [`Left`](Self::Left), and it did not say what it has received: what it was sent and did not confirm is `lost`.
    CutOff,
    /// It did not come back: all is `lost`.
    Vanished,
    /// It has said that it has all.
    Complete,
}

impl Subscriber {
    /// What becomes of it if it does not come back. One whose node stopped in order was not waiting for more.
    pub(super) fn fate_away(&self) -> Fate {
        if self.is_on_leave() {
            Fate::Left
        } else {
            Fate::Vanished
        }
    }
}

impl Fanout {
    pub(super) fn subscribers(&self) -> &[Arc<Subscriber>] {
        &self.subscribers
    }

    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    pub(super) const fn over(&self) -> Option<CloseReason> {
        self.over
    }
}

impl Core {
    fn fanout(&self) -> MutexGuard<'_, Fanout> {
        self.fanout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`fanout`](Self::fanout), to change it or to tell where it is: until the worker has looked at it again, no datum
    /// goes past it.
    pub(super) fn held(&self) -> MutexGuard<'_, Fanout> {
        let mut fanout = self.fanout();
        fanout.position += self.intake.hold();
        fanout
    }

    /// Whatever is sent from now on goes through the worker, which looks at everything anew.
    pub(super) fn hold(&self) {
        drop(self.held());
    }

    /// Lets datums go from who sends them to the queue of the only subscriber, past the worker, if there is nothing for it to
    /// do to them. Gives who that is.
    pub(super) fn cut_through(&self) -> Option<Arc<Subscriber>> {
        let fanout = self.fanout();
        let [only] = fanout.subscribers.as_slice() else {
            return None;
        };
        let is_idle = self.taps.is_empty() && self.live().linger.is_zero();
        if !is_idle || !self.board.is_online() || !only.takes_everything() {
            return None;
        }
        self.intake.cut_through(only.clone());
        Some(only.clone())
    }

    /// The subscribers that the next `count` datums are for.
    pub(super) fn advance(&self, count: usize) -> Arc<Vec<Arc<Subscriber>>> {
        let mut fanout = self.held();
        fanout.position += count as u64;
        fanout.subscribers.clone()
    }

    /// Admits nobody any more; the subscribers there are.
    pub(super) fn seal(&self, reason: CloseReason) -> Arc<Vec<Arc<Subscriber>>> {
        let mut fanout = self.held();
        fanout.over = Some(reason);
        fanout.subscribers.clone()
    }

    /// Connects a consumer of this node. Nothing happens when the producer is at its end.
    pub(crate) fn add_local(self: &Arc<Self>, consumer: &Arc<consumer::Core>) {
        let me = self.streams.env.discovery.me().into_unsigned();
        let local = self.streams.env.local_id;
        let criteria = consumer.criteria();
        let filter = self.filter_for(&criteria);
        let channel = Channel::new(self.id, criteria, (local, local), me, State::Connected);
        let mut fanout = self.held();
        if fanout.over.is_some() || consumer.queue().is_closed() {
            return;
        }
        let rejected = consumer.add_source(&channel.info, channel.generation());
        let number = channel.generation();
        let target = Target::Local(Local {
            channel,
            consumer: consumer.clone(),
            tally: self.tally.clone(),
            rejected,
        });
        self.add(&mut fanout, number, filter, target);
    }

    /// How many datums were handed to the fan-out.
    pub(crate) fn position(&self) -> u64 {
        self.held().position
    }

    pub(super) fn add(
        &self,
        fanout: &mut Fanout,
        number: Source,
        filter: Filter,
        target: Target,
    ) -> Arc<Subscriber> {
        let subscriber = Arc::new(Subscriber {
            number,
            filter: Mutex::new(Arc::new(filter)),
            target,
            gone: CancellationToken::new(),
            done: CancellationToken::new(),
        });
        Arc::make_mut(&mut fanout.subscribers).push(subscriber.clone());
        subscriber.with_channel(|channel| self.board.add(&channel.info));
        subscriber
    }

    /// A subscriber has left. What it was not sent counts as dropped.
    pub(super) fn remove(&self, subscriber: &Arc<Subscriber>) {
        self.remove_as(subscriber, Fate::CutOff);
    }

    /// As [`remove`](Self::remove), for this reason.
    pub(super) fn remove_as(&self, subscriber: &Arc<Subscriber>, fate: Fate) {
        self.take_out(&mut self.held(), subscriber, fate);
    }

    /// Takes a subscriber out of the list and counts what it did not take.
    pub(super) fn take_out(&self, fanout: &mut Fanout, subscriber: &Arc<Subscriber>, fate: Fate) {
        let before = fanout.subscribers.len();
        Arc::make_mut(&mut fanout.subscribers).retain(|other| !Arc::ptr_eq(other, subscriber));
        if fanout.subscribers.len() == before {
            return;
        }
        subscriber.with_channel(|channel| {
            channel.set(State::Terminated);
            self.board.remove(&channel.info);
        });
        match &subscriber.target {
            Target::Local(local) => local.consumer.remove_source(
                &local.channel.info,
                subscriber.source(),
                fate == Fate::Complete,
            ),
            Target::Remote(remote) => self.count_missed(subscriber, remote, fate),
        }
        subscriber.gone.cancel();
    }

    /// Counts what a subscriber on another node was not sent, or did not confirm.
    fn count_missed(&self, subscriber: &Subscriber, remote: &Remote, fate: Fate) {
        let queued = remote.queue.abandon();
        let unconfirmed = remote.retained.as_ref().map_or(0, Retained::give_up);
        let (closed, lost) = match fate {
            Fate::Complete => (queued, 0),
            Fate::Left => (queued + count(unconfirmed), 0),
            Fate::CutOff => (queued, count(unconfirmed)),
            Fate::Vanished => (0, queued + count(unconfirmed)),
        };
        subscriber.missed(closed, &self.tally.closed);
        subscriber.missed(lost, &self.tally.lost);
        if lost > 0 {
            let peer = subscriber.peer_id();
            tracing::warn!(
                peer = self.streams.env.discovery.describe(&peer),
                stream = self.label(),
                lost,
                "records were lost: a consumer did not confirm them before it was given up"
            );
        }
    }

    /// A consumer of this node wants other datums than before.
    pub(crate) fn local_wants(&self, consumer: &Arc<consumer::Core>) {
        let fanout = self.held();
        for subscriber in fanout.subscribers.iter() {
            if matches!(&subscriber.target, Target::Local(l) if Arc::ptr_eq(&l.consumer, consumer))
            {
                subscriber.set_filter(self.filter_for(&consumer.criteria()));
            }
        }
    }

    /// Hands a subscriber what meets these criteria, from the next batch on.
    pub(super) fn select_for(&self, subscriber: &Subscriber, criteria: &Criteria) {
        let _held = self.held();
        subscriber.set_filter(self.filter_for(criteria));
    }

    /// What meets criteria; everything where they cannot be applied, for the consumer to select from.
    fn filter_for(&self, criteria: &Criteria) -> Filter {
        self.lookup.filter(criteria).unwrap_or(Filter::Everything)
    }

    /// A consumer of this node is gone.
    pub(crate) fn remove_local(&self, consumer: &Arc<consumer::Core>) {
        let mut fanout = self.held();
        let is_it = |s: &&Arc<Subscriber>| matches!(&s.target, Target::Local(l) if Arc::ptr_eq(&l.consumer, consumer));
        let found = fanout.subscribers.iter().find(is_it).cloned();
        if let Some(subscriber) = found {
            self.take_out(&mut fanout, &subscriber, Fate::Left);
        }
    }

    /// Cuts a subscriber off because it does not keep up.
    pub(super) fn cut_lagging(&self, subscriber: &Arc<Subscriber>) {
        if matches!(*self.lagging.borrow(), DisconnectLagging::After(_)) {
            let mut penalties = self
                .penalties
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            penalties.add(subscriber.peer_id(), Instant::now());
        }
        subscriber.cut(CloseReason::TooSlow);
        if let Some(remote) = subscriber.remote() {
            subscriber.missed(remote.queue.abandon(), &self.tally.lagging);
        }
        self.remove(subscriber);
    }

    pub(super) fn subscribers_left(&self) -> usize {
        self.fanout().subscribers.len()
    }
}
