//! Who a producer's datums go to: subscribers come, leave, and want other datums than before.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    core::Core,
    lag::DisconnectLagging,
    subscriber::{Local, Remote, Subscriber, Target},
};
use crate::{
    Criteria, consumer,
    discovery::PeerEntry,
    filter::Filter,
    gate::Pass,
    network::CloseReason,
    queue::{Next, Queue},
    status::{Channel, State},
    streams::protocol::SubscriberId,
};

#[derive(Debug, Default)]
pub(super) struct Fanout {
    subscribers: Arc<Vec<Arc<Subscriber>>>,
    /// Datums handed to the fan-out so far.
    position: u64,
    /// Admits nobody any more, for this reason.
    over: Option<CloseReason>,
}

/// A subscriber that was let in.
pub(crate) struct Admitted {
    pub(super) subscriber: Arc<Subscriber>,
    /// Datums that were handed out before its first.
    pub(super) position: u64,
    /// What it was let in by.
    pub(super) pass: Pass,
}

impl Admitted {
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn into_parts(self) -> (Arc<Subscriber>, Pass) {
        (self.subscriber, self.pass)
    }
}

impl Core {
    fn fanout(&self) -> MutexGuard<'_, Fanout> {
        self.fanout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`fanout`](Self::fanout), to change it or to tell where it is: until the worker has looked at it again, no datum
    /// goes past it.
    fn held(&self) -> MutexGuard<'_, Fanout> {
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
        let target = Target::Local(Local {
            consumer: consumer.clone(),
            tally: self.tally.clone(),
            rejected,
        });
        self.add(&mut fanout, channel, filter, target);
    }

    /// How many datums were handed to the fan-out.
    pub(crate) fn position(&self) -> u64 {
        self.held().position
    }

    /// Lets a consumer elsewhere in, or says why not. It counts from here on.
    pub(crate) fn admit(
        &self,
        peer: &PeerEntry,
        criteria: &Criteria,
        filter: Option<Filter>,
        id: Option<SubscriberId>,
    ) -> Result<Admitted, CloseReason> {
        let pass = self.gate.judge(peer);
        let penalties = self
            .penalties
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let penalised = penalties.is_out(peer.id(), Instant::now());
        drop(penalties);

        let mut fanout = self.held();
        let live = *self.live();
        if let Some(reason) = fanout.over {
            return Err(reason);
        }
        let dead: Vec<_> = fanout
            .subscribers
            .iter()
            .filter(|s| s.is_predecessor_of(peer, id.as_ref()))
            .cloned()
            .collect();
        for predecessor in dead {
            predecessor.cut(CloseReason::Cancelled);
            self.take_out(&mut fanout, &predecessor, false);
        }
        if fanout
            .subscribers
            .iter()
            .filter(|s| s.remote().is_some())
            .count()
            >= live.max_consumers
        {
            return Err(CloseReason::NoCapacity);
        }
        let pass = pass.ok_or(CloseReason::NotAllowed)?;
        if penalised {
            return Err(CloseReason::TooSlow);
        }
        let ids = (self.streams.env.local_id, *peer.id());
        let channel = Channel::new(
            self.id,
            criteria.clone(),
            ids,
            peer.clone(),
            State::Connected,
        );
        let remote = Remote {
            queue: Queue::new(live.buffer_size, live.buffer_bytes),
            peer: peer.clone(),
            id,
            cut: watch::Sender::new(None),
            ending: watch::Sender::new(CloseReason::GracefulShutdown),
            complete: watch::Sender::new(false),
        };
        let target = Target::Remote(Box::new(remote));
        let filter = filter.unwrap_or(Filter::Everything);
        let position = fanout.position;
        Ok(Admitted {
            subscriber: self.add(&mut fanout, channel, filter, target),
            position,
            pass,
        })
    }

    fn add(
        &self,
        fanout: &mut Fanout,
        channel: Channel,
        filter: Filter,
        target: Target,
    ) -> Arc<Subscriber> {
        let subscriber = Arc::new(Subscriber {
            channel,
            filter: Mutex::new(Arc::new(filter)),
            target,
            gone: CancellationToken::new(),
            done: CancellationToken::new(),
        });
        Arc::make_mut(&mut fanout.subscribers).push(subscriber.clone());
        self.board.add(&subscriber.channel.info);
        subscriber
    }

    /// A subscriber has left. What it was not sent counts as dropped.
    pub(super) fn remove(&self, subscriber: &Arc<Subscriber>) {
        self.take_out(&mut self.held(), subscriber, false);
    }

    /// As [`remove`](Self::remove); a consumer of this node learns whether it was for good.
    pub(super) fn remove_ended(&self, subscriber: &Arc<Subscriber>, for_good: bool) {
        self.take_out(&mut self.held(), subscriber, for_good);
    }

    fn take_out(&self, fanout: &mut Fanout, subscriber: &Arc<Subscriber>, for_good: bool) {
        let before = fanout.subscribers.len();
        Arc::make_mut(&mut fanout.subscribers).retain(|other| !Arc::ptr_eq(other, subscriber));
        if fanout.subscribers.len() == before {
            return;
        }
        subscriber.channel.set(State::Terminated);
        self.board.remove(&subscriber.channel.info);
        match &subscriber.target {
            Target::Local(local) => local.consumer.remove_source(
                &subscriber.channel.info,
                subscriber.source(),
                for_good,
            ),
            Target::Remote(remote) => {
                subscriber.missed(remote.queue.abandon(), &self.tally.closed);
            }
        }
        subscriber.gone.cancel();
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
            self.take_out(&mut fanout, &subscriber, false);
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
