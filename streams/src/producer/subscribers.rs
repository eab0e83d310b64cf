//! Changes of a producer's subscribers and of their criteria.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio_util::sync::CancellationToken;

use super::{
    core::Core,
    fanout::{Fanout, Fate},
    lag::DisconnectLagging,
    stats::count,
    subscriber::{Local, Remote, Subscriber, Supply, Target},
};
use crate::{
    Criteria,
    channel::{
        filter::Filter,
        queue::{Mark, Next, Source},
        status::{Channel, State},
    },
    consumer,
    net::CloseReason,
};

impl Core {
    fn fanout(&self) -> MutexGuard<'_, Fanout> {
        self.fanout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Like [`fanout`](Self::fanout), for changing it or reading the position: no record bypasses the worker until the
    /// worker has run again.
    pub(super) fn suspended(&self) -> MutexGuard<'_, Fanout> {
        let mut fanout = self.fanout();
        fanout.position += self.intake.suspend_bypass();
        fanout
    }

    /// Sends all records through the worker from now on, which evaluates all conditions again.
    pub(super) fn suspend_bypass(&self) {
        drop(self.suspended());
    }

    /// Lets records go from the sending handles directly to the queue of the only subscriber, bypassing the worker, if
    /// the worker would grant them on unchanged. Returns that subscriber.
    pub(super) fn start_bypass(&self) -> Option<Arc<Subscriber>> {
        let fanout = self.fanout();
        let [only] = fanout.subscribers.as_slice() else {
            return None;
        };
        let is_idle = self.log.is_none() && self.taps.is_empty() && self.live().linger.is_zero();
        if !is_idle || !self.board.is_online() || !only.takes_everything() {
            return None;
        }
        self.intake.start_bypass(only.clone());
        Some(only.clone())
    }

    /// Counts the next `count` records and returns the subscribers that receive them.
    pub(super) fn advance(&self, count: usize) -> Arc<Vec<Arc<Subscriber>>> {
        let mut fanout = self.suspended();
        fanout.position += count as u64;
        fanout.subscribers.clone()
    }

    /// Passes a mark to the consumers on this node. Everything before it has been handed to them.
    pub(super) fn pass_mark(&self, mark: Mark) {
        let fanout = self.suspended();
        for subscriber in fanout.subscribers.iter() {
            if let Target::Local(local) = &subscriber.target {
                // A consumer that has left needs no mark.
                let _ = local.consumer.queue().put_mark(mark);
            }
        }
    }

    /// Returns the current subscribers.
    pub(super) fn current_subscribers(&self) -> Arc<Vec<Arc<Subscriber>>> {
        self.suspended().subscribers.clone()
    }

    /// Disconnects the consumers that read the log of a stream that has ended, because another producer uses the log
    /// from now on. They reconnect to it.
    pub(crate) fn hand_over_log(&self) {
        for subscriber in self.current_subscribers().iter() {
            subscriber.cut(CloseReason::Cancelled);
        }
        self.cancel.cancel();
    }

    /// Admits no more subscribers. Returns the current ones.
    pub(super) fn seal(&self, reason: CloseReason) -> Arc<Vec<Arc<Subscriber>>> {
        let mut fanout = self.suspended();
        fanout.over = Some(reason);
        fanout.subscribers.clone()
    }

    /// Connects a consumer on this node. Does nothing if the producer is ending.
    pub(crate) fn add_local(self: &Arc<Self>, consumer: &Arc<consumer::Core>) {
        let me = self.env.discovery.me().into_unsigned();
        let local = self.env.local_id;
        let criteria = consumer.criteria();
        let filter = self.filter_for(&criteria);
        let channel = Channel::new(self.id, criteria, (local, local), me, State::Connected);
        let mut fanout = self.suspended();
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

    /// Returns the number of records handed to the fan-out.
    pub(crate) fn position(&self) -> u64 {
        self.suspended().position
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

    /// Removes a subscriber. Records that were not sent to it count as dropped.
    pub(super) fn remove(&self, subscriber: &Arc<Subscriber>) {
        self.remove_as(subscriber, Fate::CutOff);
    }

    /// Like [`remove`](Self::remove), with an explicit fate.
    pub(super) fn remove_as(&self, subscriber: &Arc<Subscriber>, fate: Fate) {
        self.take_out(&mut self.suspended(), subscriber, fate);
    }

    /// Removes a subscriber from the list and counts the records that it did not take.
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

    /// Counts the records that were not sent to a remote subscriber, or not confirmed by it.
    fn count_missed(&self, subscriber: &Subscriber, remote: &Remote, fate: Fate) {
        let queued = remote.queue.abandon();
        let unconfirmed = match &remote.supply {
            Supply::Retained(retained) => retained.give_up(),
            // The log has what it did not receive.
            Supply::Queue | Supply::Log(_) => 0,
        };
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
                peer = self.env.discovery.describe(&peer),
                stream = self.label(),
                lost,
                "records were lost: a consumer did not confirm them before it was given up"
            );
        }
    }

    /// Applies changed criteria of a consumer on this node.
    pub(crate) fn local_wants(&self, consumer: &Arc<consumer::Core>) {
        let fanout = self.suspended();
        for subscriber in fanout.subscribers.iter() {
            if matches!(&subscriber.target, Target::Local(l) if Arc::ptr_eq(&l.consumer, consumer))
            {
                subscriber.set_filter(self.filter_for(&consumer.criteria()));
            }
        }
    }

    /// Sets the criteria of a subscriber from the next batch on.
    pub(super) fn select_for(&self, subscriber: &Subscriber, criteria: &Criteria) {
        let _held = self.suspended();
        subscriber.set_filter(self.filter_for(criteria));
    }

    /// Returns the filter for criteria. If they cannot be applied here, it passes everything and the consumer filters.
    fn filter_for(&self, criteria: &Criteria) -> Filter {
        self.lookup.filter(criteria).unwrap_or(Filter::Everything)
    }

    /// Removes a consumer on this node that was dropped.
    pub(crate) fn remove_local(&self, consumer: &Arc<consumer::Core>) {
        let mut fanout = self.suspended();
        let is_it = |s: &&Arc<Subscriber>| matches!(&s.target, Target::Local(l) if Arc::ptr_eq(&l.consumer, consumer));
        let found = fanout.subscribers.iter().find(is_it).cloned();
        if let Some(subscriber) = found {
            self.take_out(&mut fanout, &subscriber, Fate::Left);
        }
    }

    /// Disconnects a subscriber that does not keep up.
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
