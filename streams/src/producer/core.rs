//! What the handles, the worker and the senders of one producer share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::{sync::watch, time::timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    FinishReport,
    builder::Config,
    control::Live,
    lag::{DisconnectLagging, Penalties},
    stats::{ProducerStats, Tally},
    subscriber::{Local, Remote, Subscriber, Target},
    undelivered::GiveBack,
};
use crate::{
    Criteria, StreamId, consumer,
    discovery::PeerEntry,
    filter::{Filter, Lookup},
    gate::{Gate, Pass},
    network::CloseReason,
    queue::{Closed, Queue},
    status::{Board, Channel, State},
    streams::{
        self, Scope,
        protocol::{Epoch, SubscriberId},
    },
    tap::Taps,
};

/// How far a producer's end is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Life {
    /// Takes datums.
    Open,
    /// Takes no more; those it has go out until the deadline.
    Ending {
        for_good: bool,
        deadline: tokio::time::Instant,
    },
}

pub(crate) struct Core {
    pub(super) id: StreamId,
    pub(super) config: Config,
    pub(super) streams: Arc<streams::Inner>,
    pub(super) gate: Gate,
    pub(super) lookup: Lookup,
    /// Where what nobody wants goes.
    pub(super) undelivered: Option<GiveBack>,
    /// Names this producer's life, so that a returning consumer can tell what it missed.
    pub(super) epoch: Epoch,
    pub(super) intake: Queue,
    pub(super) board: Board,
    pub(super) tally: Tally,
    pub(super) life: watch::Sender<Life>,
    pub(super) report: watch::Sender<Option<FinishReport>>,
    /// Ends the worker, and with it everything, at once.
    pub(super) cancel: CancellationToken,
    /// Those who look on at what is handed out.
    pub(super) taps: Taps,
    /// What to do about subscribers elsewhere that do not keep up. The worker hears of a change while it waits for them.
    pub(super) lagging: watch::Sender<DisconnectLagging>,
    live: Mutex<Live>,
    fanout: Mutex<Fanout>,
    penalties: Mutex<Penalties>,
    handles: AtomicUsize,
}

#[derive(Debug, Default)]
struct Fanout {
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
    pub(super) fn new(
        config: Config,
        streams: Arc<streams::Inner>,
        (gate, lookup): (Gate, Lookup),
        undelivered: Option<GiveBack>,
        board: Board,
    ) -> Self {
        let cancel = streams.env.cancel.child_token();
        let live = Live {
            buffer_size: config.buffer_size,
            buffer_bytes: config.buffer_bytes,
            max_consumers: config.max_consumers,
            linger: config.linger,
        };
        Self {
            id: config.stream_id,
            intake: Queue::new(config.buffer_size, config.buffer_bytes),
            lagging: watch::Sender::new(config.disconnect_lagging),
            config,
            streams,
            gate,
            lookup,
            undelivered,
            epoch: Epoch::random(),
            board,
            tally: Tally::default(),
            life: watch::Sender::new(Life::Open),
            report: watch::Sender::new(None),
            cancel,
            taps: Taps::default(),
            live: Mutex::new(live),
            fanout: Mutex::default(),
            penalties: Mutex::default(),
            handles: AtomicUsize::new(1),
        }
    }

    fn fanout(&self) -> MutexGuard<'_, Fanout> {
        self.fanout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    pub(crate) fn scope(&self) -> Scope {
        self.config.scope
    }

    pub(crate) fn is_remote(&self) -> bool {
        self.scope() == Scope::Network
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Adds a handle, unless the last one is gone.
    pub(crate) fn open_handle(&self) -> bool {
        let add = |handles: usize| (handles > 0).then_some(handles + 1);
        self.handles
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add)
            .is_ok()
    }

    /// Whether this was the last handle.
    pub(super) fn close_handle(&self) -> bool {
        self.handles.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(super) fn end(&self, for_good: bool, deadline: tokio::time::Instant) {
        // In this order: the worker winds up when it finds the intake closed and empty, and must then know how.
        self.life.send_replace(Life::Ending { for_good, deadline });
        self.intake.close();
    }

    /// Waits until it is online. Cancel safe.
    pub(super) async fn online(&self) -> Result<(), Closed> {
        if self.intake.is_closed() {
            return Err(Closed);
        }
        if self.board.is_online() {
            return Ok(());
        }
        let mut life = self.life.subscribe();
        tokio::select! {
            // Triggered when it comes online.
            () = self.board.when().online() => Ok(()),
            // Triggered when it begins to end.
            _ = life.wait_for(|life| !matches!(life, Life::Open)) => Err(Closed),
            // Triggered when the network ends.
            () = self.cancel.cancelled() => Err(Closed),
        }
    }

    /// Brings the deadline of an ending forward to this moment.
    pub(super) fn hurry(&self) {
        self.life.send_modify(|life| {
            if let Life::Ending { deadline, .. } = life {
                *deadline = tokio::time::Instant::now();
            }
        });
    }

    /// Resolves when it must stop, whatever is left: cancelled, or its deadline has passed. Cancel safe.
    pub(super) async fn stopped(&self) {
        let mut life = self.life.subscribe();
        let overdue = async {
            loop {
                let deadline = match *life.borrow_and_update() {
                    Life::Ending { deadline, .. } => Some(deadline),
                    Life::Open => None,
                };
                let changed = match deadline {
                    None => life.changed().await,
                    Some(deadline) => match timeout_at(deadline, life.changed()).await {
                        Ok(changed) => changed,
                        Err(_) => return,
                    },
                };
                if changed.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = overdue => {}
        }
    }

    /// What it has done so far.
    pub(super) fn stats(&self) -> ProducerStats {
        let (datums, bytes) = self.intake.put_so_far();
        ProducerStats {
            datums,
            bytes,
            ..self.tally.read()
        }
    }

    /// The subscribers that the next `count` datums are for.
    pub(super) fn advance(&self, count: usize) -> Arc<Vec<Arc<Subscriber>>> {
        let mut fanout = self.fanout();
        fanout.position += count as u64;
        fanout.subscribers.clone()
    }

    /// Admits nobody any more; the subscribers there are.
    pub(super) fn seal(&self, reason: CloseReason) -> Arc<Vec<Arc<Subscriber>>> {
        let mut fanout = self.fanout();
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
        let mut fanout = self.fanout();
        if fanout.over.is_some() || consumer.queue().is_closed() {
            return;
        }
        let rejected = consumer.add_source(&channel.info, channel.generation());
        let target = Target::Local(Local {
            consumer: consumer.clone(),
            rejected,
        });
        let subscriber = Subscriber {
            channel,
            filter: Mutex::new(Arc::new(filter)),
            target,
            gone: CancellationToken::new(),
            done: CancellationToken::new(),
        };
        self.add(&mut fanout, subscriber);
    }

    /// How many datums were handed to the fan-out.
    pub(crate) fn position(&self) -> u64 {
        self.fanout().position
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

        let mut fanout = self.fanout();
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
        let subscriber = Subscriber {
            channel,
            filter: Mutex::new(Arc::new(filter)),
            target,
            gone: CancellationToken::new(),
            done: CancellationToken::new(),
        };
        let position = fanout.position;
        Ok(Admitted {
            subscriber: self.add(&mut fanout, subscriber),
            position,
            pass,
        })
    }

    fn add(&self, fanout: &mut Fanout, subscriber: Subscriber) -> Arc<Subscriber> {
        let subscriber = Arc::new(subscriber);
        Arc::make_mut(&mut fanout.subscribers).push(subscriber.clone());
        self.board.add(&subscriber.channel.info);
        subscriber
    }

    /// A subscriber has left. What it was not sent counts as dropped.
    pub(super) fn remove(&self, subscriber: &Arc<Subscriber>) {
        self.take_out(&mut self.fanout(), subscriber, false);
    }

    /// As [`remove`](Self::remove); a consumer of this node learns whether it was for good.
    pub(super) fn remove_ended(&self, subscriber: &Arc<Subscriber>, for_good: bool) {
        self.take_out(&mut self.fanout(), subscriber, for_good);
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
        for subscriber in self.fanout().subscribers.iter() {
            if matches!(&subscriber.target, Target::Local(l) if Arc::ptr_eq(&l.consumer, consumer))
            {
                self.select_for(subscriber, &consumer.criteria());
            }
        }
    }

    /// Hands a subscriber what meets these criteria, from the next batch on.
    pub(super) fn select_for(&self, subscriber: &Subscriber, criteria: &Criteria) {
        subscriber.set_filter(self.filter_for(criteria));
    }

    /// What meets criteria; everything where they cannot be applied, for the consumer to select from.
    fn filter_for(&self, criteria: &Criteria) -> Filter {
        self.lookup.filter(criteria).unwrap_or(Filter::Everything)
    }

    /// A consumer of this node is gone.
    pub(crate) fn remove_local(&self, consumer: &Arc<consumer::Core>) {
        let mut fanout = self.fanout();
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

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("id", &self.id)
            .field("online", &self.board.is_online())
            .field("subscribers", &self.subscribers_left())
            .finish_non_exhaustive()
    }
}
