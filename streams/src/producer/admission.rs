//! The life cycle of remote subscribers: admission, waiting for a lost one to reconnect, resumption, and expiry.

use std::{
    sync::{Arc, PoisonError},
    time::Instant,
};

use tokio::time::sleep;

use super::{
    core::{Core, Life},
    fanout::{Fanout, Fate},
    log_place::LogPlace,
    retained::Retained,
    stats::count,
    subscriber::{Connection, Remote, Subscriber, Supply, Target},
};
use crate::{
    Criteria,
    channel::{
        authorization::Grant,
        filter::Filter,
        protocol::{Epoch, Kept, Offer, SubscriberId},
        queue::Queue,
        status::{Channel, State},
    },
    durable::{LogId, LogPosition, ReaderId},
    net::CloseReason,
    peer::PeerEntry,
};

/// The maximum number of disconnected subscribers. At the limit, the one that subscribed first is dropped.
const AWAY_MAX: usize = 64;

/// A remote consumer that asks to subscribe.
pub(crate) struct Applicant<'a> {
    pub(crate) peer: &'a PeerEntry,
    pub(crate) criteria: &'a Criteria,
    /// The filter for the criteria; `None` if this node cannot apply them.
    pub(crate) filter: Option<Filter>,
    /// `None` for plain Mosaik consumers.
    pub(crate) id: Option<SubscriberId>,
    /// Sent by consumers that confirm records.
    pub(crate) offer: Option<Offer>,
    /// The number of consumers on its node that share the subscription.
    pub(crate) consumers: u16,
    /// Where it begins, if it reads the log of a durable stream.
    pub(crate) begin: Option<Begin>,
}

/// The place at which a consumer begins to read the log of a durable stream.
pub(crate) struct Begin {
    reader: ReaderId,
    position: u64,
}

/// An admitted subscriber.
pub(crate) struct Admitted {
    subscriber: Arc<Subscriber>,
    connection: Arc<Connection>,
    position: u64,
    kept: Option<Kept>,
    grant: Grant,
}

impl Admitted {
    /// The position of its first record.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// The number of records retained for it, and the bound on them, if it confirms records.
    pub(crate) const fn kept(&self) -> Option<Kept> {
        self.kept
    }

    /// Returns the subscriber, its connection, and the grant by which it was admitted.
    pub(super) fn into_parts(self) -> (Arc<Subscriber>, Arc<Connection>, Grant) {
        (self.subscriber, self.connection, self.grant)
    }
}

impl Core {
    /// Admits a remote consumer, or returns the reason for refusing it. It receives the records sent from now on, and
    /// those retained for it.
    pub(crate) fn admit(
        self: &Arc<Self>,
        applicant: Applicant<'_>,
    ) -> Result<Admitted, CloseReason> {
        let Applicant {
            peer, id, offer, ..
        } = applicant;
        let grant = self.authorizer.authorize(peer);
        let penalties = self
            .penalties
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let penalised = penalties.is_out(peer.id(), Instant::now());
        drop(penalties);

        let mut fanout = self.suspended();
        let retains = id.zip(offer).filter(|_| applicant.begin.is_none());
        let resumed = retains.and_then(|(id, offer)| {
            let resumes = |remote: &Remote| remote.is_resumed_by(peer, &id, &offer);
            let mut subscribers = fanout.subscribers().iter();
            let found = subscribers.find(|other| other.remote().is_some_and(resumes));
            found.cloned()
        });
        if let Some(reason) = fanout.over().filter(|_| resumed.is_none()) {
            return Err(reason);
        }
        let is_other = |s: &&Arc<Subscriber>| resumed.as_ref().is_none_or(|r| !Arc::ptr_eq(r, s));
        let others = fanout.subscribers().iter().filter(is_other);
        let dead: Vec<_> = others
            .filter(|s| s.is_predecessor_of(peer, id.as_ref()))
            .cloned()
            .collect();
        for predecessor in dead {
            self.replace(&mut fanout, &predecessor, id.as_ref());
        }
        let others = fanout.subscribers().iter().filter(is_other);
        let connected = others.filter(|s| s.remote().is_some_and(|remote| !remote.is_away()));
        let consumers = connected.map(|s| s.with_channel(|channel| channel.info.consumers()));
        // Consumers that share a subscription are admitted together if there is room for one: otherwise a reload that
        // adds a consumer would cost the others their subscription.
        if consumers.sum::<usize>() >= self.live().max_consumers {
            return Err(CloseReason::NoCapacity);
        }
        let grant = grant.ok_or(CloseReason::NotAllowed)?;
        if penalised {
            return Err(CloseReason::TooSlow);
        }
        Ok(match resumed {
            Some(subscriber) => self.resume(&subscriber, applicant, grant),
            None => self.let_in(&mut fanout, applicant, grant),
        })
    }

    fn connection(&self, applicant: &Applicant<'_>) -> Arc<Connection> {
        let ids = (self.env.local_id, *applicant.peer.id());
        let (criteria, peer) = (applicant.criteria.clone(), applicant.peer.clone());
        let channel = Channel::new(self.id, criteria, ids, peer.clone(), State::Connected);
        channel.set_consumers(applicant.consumers);
        Connection::new(channel, peer, applicant.id, applicant.offer)
    }

    fn let_in(&self, fanout: &mut Fanout, applicant: Applicant<'_>, grant: Grant) -> Admitted {
        let connection = self.connection(&applicant);
        let begin = applicant.begin.as_ref();
        let position = begin.map_or_else(|| fanout.position(), |begin| begin.position);
        let supply = match (&self.log, begin, applicant.offer) {
            (Some(log), Some(begin), _) => {
                Supply::Log(LogPlace::new(log.clone(), begin.reader, position))
            }
            (_, _, Some(_)) => {
                let retained = Retained::new(position, self.config.unconfirmed_bytes);
                retained.attach(connection.channel.generation(), None);
                Supply::Retained(retained)
            }
            (_, _, None) => Supply::Queue,
        };
        let kept = applicant.offer.map(|_| Kept {
            records: 0,
            max_bytes: self.config.unconfirmed_bytes as u64,
        });
        let live = *self.live();
        let queue = Queue::new(live.buffer_size, live.buffer_bytes);
        let number = connection.channel.generation();
        let target = Remote::new(queue, supply, connection.clone());
        if let Life::Ending { for_good: true, .. } = *self.life.borrow() {
            target.ending.send_replace(CloseReason::EndOfStream);
        }
        let filter = applicant.filter.unwrap_or(Filter::Everything);
        let target = Target::Remote(Box::new(target));
        Admitted {
            subscriber: self.add(fanout, number, filter, target),
            connection,
            position,
            kept,
            grant,
        }
    }

    /// Returns where a consumer begins in the log. `None` if the stream is not durable, the consumer is one of plain
    /// Mosaik, or is not authorized: the search for a time reads the disk.
    pub(crate) async fn begin(&self, peer: &PeerEntry, offer: Option<&Offer>) -> Option<Begin> {
        let (log, offer) = self.log.as_ref().zip(offer)?;
        self.authorizer.authorize(peer)?;
        let reader = ReaderId {
            peer: *peer.id(),
            subscription: offer.name,
        };
        let received = offer.received.map(|(Epoch(log), position)| LogPosition {
            log: LogId(log),
            position,
        });
        let position = log.begin(&reader, received, offer.start).await;
        Some(Begin { reader, position })
    }

    /// Gives a known subscriber another connection.
    fn resume(
        &self,
        subscriber: &Arc<Subscriber>,
        applicant: Applicant<'_>,
        grant: Grant,
    ) -> Admitted {
        let connection = self.connection(&applicant);
        let (mut position, mut kept) = (0, None);
        if let Some(remote) = subscriber.remote()
            && let Supply::Retained(retained) = &remote.supply
        {
            let last = remote.connection();
            let is_same = last.id == applicant.id;
            let received = applicant.offer.and_then(|offer| offer.received);
            let received = received.filter(|(epoch, _)| is_same && *epoch == self.epoch());
            let number = connection.channel.generation();
            let begin = retained.attach(number, received.map(|(_, position)| position));
            if !is_same {
                self.tally.redelivered.add(count(begin.again));
            }
            self.disconnect(&last);
            remote.set_connection(connection.clone());
            position = begin.position;
            kept = Some(retained.kept(begin.again + remote.queue.held().0 as u64));
        }
        subscriber.set_filter(applicant.filter.unwrap_or(Filter::Everything));
        self.board.add(&connection.channel.info);
        Admitted {
            subscriber: subscriber.clone(),
            connection,
            position,
            kept,
            grant,
        }
    }

    /// Closes a connection and keeps its subscriber.
    fn disconnect(&self, connection: &Connection) {
        connection.cut(CloseReason::Cancelled);
        connection.channel.set(State::Terminated);
        self.board.remove(&connection.channel.info);
    }

    /// Handles a subscriber that another consumer of its node supersedes: the same consumer, or one of a later process.
    fn replace(
        self: &Arc<Self>,
        fanout: &mut Fanout,
        subscriber: &Arc<Subscriber>,
        by: Option<&SubscriberId>,
    ) {
        let Some(remote) = subscriber.remote() else {
            return;
        };
        let last = remote.connection();
        let is_next_life = by
            .zip(last.id.as_ref())
            .is_some_and(|(new, old)| new.process != old.process);
        if is_next_life && let Supply::Retained(retained) = &remote.supply {
            // The consumer of the same name in the new process is still expected.
            retained.detach(last.channel.generation());
            self.set_away(fanout, subscriber, &last);
        } else {
            last.cut(CloseReason::Cancelled);
            self.take_out(fanout, subscriber, Fate::Left);
        }
    }

    /// Keeps a subscriber that confirms records after its connection was lost, and waits for it to reconnect.
    pub(super) fn wait_for(
        self: &Arc<Self>,
        subscriber: &Arc<Subscriber>,
        connection: &Arc<Connection>,
    ) {
        let mut fanout = self.suspended();
        if fanout.over() == Some(CloseReason::GracefulShutdown) {
            self.take_out(&mut fanout, subscriber, subscriber.fate_away());
        } else if !subscriber.gone.is_cancelled() {
            self.set_away(&mut fanout, subscriber, connection);
        }
    }

    /// Like [`wait_for`](Self::wait_for), for a subscriber whose node stopped in an orderly way. It is sent nothing
    /// more until it reconnects.
    pub(super) fn grant_leave(
        self: &Arc<Self>,
        subscriber: &Arc<Subscriber>,
        connection: &Arc<Connection>,
    ) {
        let mut fanout = self.suspended();
        if fanout.over() == Some(CloseReason::GracefulShutdown) {
            self.take_out(&mut fanout, subscriber, Fate::Left);
        } else if !subscriber.gone.is_cancelled() {
            // The board first: the worker uses it to decide whether the stream waits for readers.
            self.set_away(&mut fanout, subscriber, connection);
            // Unless it has reconnected.
            if let Some(remote) = subscriber.remote()
                && Arc::ptr_eq(&remote.connection(), connection)
            {
                remote.set_on_leave();
            }
        }
    }

    fn set_away(
        self: &Arc<Self>,
        fanout: &mut Fanout,
        subscriber: &Arc<Subscriber>,
        connection: &Arc<Connection>,
    ) {
        let was_away = subscriber.remote().is_none_or(Remote::is_away);
        if was_away {
            return;
        }
        self.disconnect(connection);
        let is_away = |s: &&Arc<Subscriber>| s.remote().is_some_and(Remote::is_away);
        let away: Vec<_> = fanout
            .subscribers()
            .iter()
            .filter(is_away)
            .cloned()
            .collect();
        if let Some(first) = away.first().filter(|_| away.len() > AWAY_MAX) {
            self.take_out(fanout, first, first.fate_away());
        }
        let (core, subscriber, connection) = (self.clone(), subscriber.clone(), connection.clone());
        self.env.spawn(async move {
            tokio::select! {
                // Triggered when the producer ends.
                () = core.cancel.cancelled() => {}
                // Triggered when the subscriber is dropped.
                () = subscriber.gone.cancelled() => {}
                // Triggered when it reconnects.
                () = connection.replaced.cancelled() => {}
                // Triggered when the time limit is reached.
                () = sleep(core.config.away_limit) => core.expire(&subscriber, &connection),
            }
        });
    }

    /// Drops a subscriber if it is disconnected.
    pub(super) fn remove_if_away(&self, subscriber: &Arc<Subscriber>) {
        let mut fanout = self.suspended();
        // Under the lock: it may be reconnecting.
        if subscriber.remote().is_some_and(Remote::is_away) {
            self.take_out(&mut fanout, subscriber, subscriber.fate_away());
        }
    }

    /// Drops a subscriber, unless it has reconnected since this connection was lost.
    fn expire(&self, subscriber: &Arc<Subscriber>, connection: &Connection) {
        let mut fanout = self.suspended();
        if !connection.replaced.is_cancelled() {
            self.take_out(&mut fanout, subscriber, subscriber.fate_away());
        }
    }
}
