//! The sending end of one connection: takes all queued records of a subscriber and writes them at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures::future::try_join;
use tokio::{sync::Notify, time::timeout};

use super::{
    admission::Admitted,
    confirmations::{self, Ended},
    core::Core,
    fanout::Fate,
    log_place::LogPlace,
    retained::{self, Retained},
    silence,
    subscriber::{Connection, Remote, Subscriber, Supply},
};
use crate::{
    channel::{
        protocol::{HANDSHAKE_TIMEOUT, Retune, Start},
        queue::Chunks,
        side,
    },
    durable::Next,
    net::{CloseReason, Link, LinkConn, LinkReceiver, LinkSender},
};

/// Serves an admitted subscriber until its connection is over.
pub(crate) async fn serve(core: Arc<Core>, admitted: Admitted, link: Link, start: Start) {
    // Dropped after the connection is closed: dropping a sending half finishes its stream, which the consumer would take
    // for the end of the records.
    let Link {
        conn,
        mut tx,
        mut rx,
    } = link;
    let (subscriber, connection, grant) = admitted.into_parts();
    let Some(remote) = subscriber.remote() else {
        return;
    };
    if !matches!(remote.supply, Supply::Queue) {
        conn.allow_side_stream();
    }
    let _hold = core.env.discovery.hold(conn.peer());
    let catalog = core.env.discovery.catalog_watch();
    let sending = Sending {
        core: &core,
        subscriber: &subscriber,
        remote,
        connection: &connection,
        conn: &conn,
        in_flight: AtomicUsize::new(0),
        all_written: AtomicBool::new(false),
        written: Notify::new(),
    };
    let mut is_lost = false;
    let reason = tokio::select! {
        biased;
        // Triggered when the producer disconnects it.
        reason = connection.is_cut() => reason,
        // Triggered when the peer no longer meets the requirements, even while a write waits or there is nothing to
        // write.
        () = core.authorizer.closed(catalog, connection.peer.id(), grant) => {
            tracing::info!(peer = %connection.peer.id(), stream = core.label(), "disconnected: the consumer no longer has the required tags or tickets");
            CloseReason::NotAllowed
        }
        // Triggered when everything is sent and read, or nothing more can be sent.
        ended = sending.run((&mut tx, &mut rx), &start) => match ended {
            Ended::Said(reason) => reason,
            Ended::Lost => {
                is_lost = true;
                CloseReason::Cancelled
            }
        },
        // Never resolves.
        () = silence::watch(&conn, &sending.written, |is_silent| {
            connection.channel.set_silent(is_silent);
            core.board.touch();
        }) => CloseReason::Cancelled,
        // Triggered when the connection ends.
        reason = conn.closed() => {
            // Plain Mosaik answers the end of the stream by closing the connection.
            if connection.id.is_none() && sending.all_written.load(Ordering::Acquire) {
                remote.complete.send_replace(true);
            }
            is_lost = true;
            reason
        }
    };
    conn.close(reason);
    match &remote.supply {
        Supply::Queue => sending.left(reason),
        Supply::Retained(retained) => sending.left_retained(retained, is_lost),
        Supply::Log(place) => sending.left_log(place),
    }
}

struct Sending<'a> {
    core: &'a Arc<Core>,
    subscriber: &'a Arc<Subscriber>,
    remote: &'a Remote,
    connection: &'a Arc<Connection>,
    conn: &'a LinkConn,
    /// The number of records in the current write.
    in_flight: AtomicUsize,
    all_written: AtomicBool,
    /// Notified with each write.
    written: Notify,
}

impl Sending<'_> {
    /// Handles the end of the connection of a subscriber that does not confirm records.
    fn left(&self, reason: CloseReason) {
        let unsent = self.in_flight.load(Ordering::Acquire);
        let counter = if reason == CloseReason::TooSlow {
            &self.core.tally.lagging
        } else {
            &self.core.tally.closed
        };
        self.subscriber.missed(unsent, counter);
        self.core.remove(self.subscriber);
    }

    /// Handles the end of the connection of a subscriber that reads the log. The log has what it did not receive.
    fn left_log(&self, place: &LogPlace) {
        if let Some(words) = self.last_words() {
            // A position beyond the sent records is invalid.
            let _ = place.confirm(words.position);
        }
        let is_complete = *self.remote.complete.borrow();
        let fate = if is_complete {
            Fate::Complete
        } else {
            Fate::Left
        };
        self.core.remove_as(self.subscriber, fate);
    }

    /// Handles the end of the connection of a subscriber that confirms records. It may reconnect, unless the consumer
    /// reported that it leaves.
    fn left_retained(&self, retained: &Retained, is_lost: bool) {
        let number = self.number();
        // A position beyond the sent records is invalid.
        let said = self
            .last_words()
            .filter(|words| retained.confirm(number, words.position).is_ok());
        let is_complete = *self.remote.complete.borrow();
        if !retained.detach(number) {
            // Another connection has replaced this one.
        } else if is_complete {
            self.core.remove_as(self.subscriber, Fate::Complete);
        } else if let Some(words) = said {
            if words.returns {
                self.core.grant_leave(self.subscriber, self.connection);
            } else {
                self.core.remove_as(self.subscriber, Fate::Left);
            }
        } else if is_lost {
            self.core.wait_for(self.subscriber, self.connection);
        } else {
            self.core.remove(self.subscriber);
        }
    }

    fn last_words(&self) -> Option<side::LastWords> {
        side::LastWords::decode(&self.conn.last_words()?)
    }

    fn number(&self) -> u64 {
        self.connection.channel.generation()
    }

    async fn run(&self, (tx, rx): (&mut LinkSender, &mut LinkReceiver), start: &Start) -> Ended {
        if !matches!(
            timeout(HANDSHAKE_TIMEOUT, tx.send_frame(&start.encode())).await,
            Ok(Ok(()))
        ) {
            return Ended::Lost;
        }
        let heard = async {
            match self.connection.id {
                Some(_) => self.hear(rx).await,
                // Plain Mosaik sends nothing and closes, which the caller detects.
                None => std::future::pending().await,
            }
        };
        let confirmed = async {
            let confirm = |position| match &self.remote.supply {
                Supply::Queue => Ok(()),
                Supply::Retained(retained) => retained.confirm(self.number(), position),
                Supply::Log(place) => place.confirm(position),
            };
            match &self.remote.supply {
                Supply::Queue => std::future::pending().await,
                _ => Box::pin(confirmations::hear(self.conn, confirm)).await,
            }
        };
        tokio::select! {
            biased;
            // Triggered when everything is sent and read, or nothing more can be sent.
            ended = try_join(self.write(tx), heard) => match ended {
                Ok(_) => Ended::Said(*self.remote.ending.borrow()),
                Err(ended) => ended,
            },
            // Triggered when the consumer violates the protocol.
            ended = confirmed => ended,
        }
    }

    /// Writes until there is nothing more to write.
    async fn write(&self, tx: &mut LinkSender) -> Result<(), Ended> {
        match &self.remote.supply {
            Supply::Log(place) => self.write_log(tx, place).await?,
            Supply::Retained(retained) => self.write_retained(tx, retained).await?,
            Supply::Queue => {
                while let Some(mut all) = self.remote.queue.take_all().await {
                    self.in_flight.store(all.count, Ordering::Release);
                    self.count(&all);
                    self.core.tally.unconfirmed.add(all.count);
                    self.send(tx, &mut all).await?;
                    self.in_flight.store(0, Ordering::Release);
                }
            }
        }
        tx.finish();
        self.all_written.store(true, Ordering::Release);
        Ok(())
    }

    /// Like [`write`](Self::write), and retains the written records until they are confirmed.
    async fn write_retained(&self, tx: &mut LinkSender, retained: &Retained) -> Result<(), Ended> {
        // A previous connection may not have detected its end yet.
        let _turn = self.remote.sending.lock().await;
        loop {
            match retained.next(self.number(), &self.remote.queue) {
                retained::Next::Records(mut all, is_new) => {
                    if is_new {
                        self.count(&all);
                    }
                    self.send(tx, &mut all).await?;
                }
                retained::Next::Full => retained.has_room().await,
                retained::Next::Empty => {
                    if !self.remote.queue.filled().await {
                        return Ok(());
                    }
                }
                retained::Next::Replaced => return Err(Ended::Lost),
            }
        }
    }

    /// Like [`write`](Self::write), from the log.
    async fn write_log(&self, tx: &mut LinkSender, place: &LogPlace) -> Result<(), Ended> {
        let mut cursor = place.cursor().await;
        loop {
            match cursor.next().await {
                Next::Records(batches) => {
                    place.sends(cursor.position());
                    let mut all = Chunks::default();
                    for batch in batches {
                        all.push(batch);
                    }
                    self.count(&all);
                    self.send(tx, &mut all).await?;
                }
                Next::Gap(gap) => {
                    // Once it has read what is before the gap, the consumer reconnects behind it, and counts what is
                    // missing from the positions.
                    place.log().note_gap(gap);
                    self.remote.ending.send_replace(CloseReason::Cancelled);
                    return Ok(());
                }
                Next::End => return Ok(()),
                Next::Failed(error) => {
                    tracing::warn!(stream = self.core.label(), %error, "the log of the stream cannot be read");
                    return Err(Ended::Said(CloseReason::Cancelled));
                }
            }
        }
    }

    /// Counts records before their bytes can arrive, so that the received count never exceeds the sent count.
    fn count(&self, all: &Chunks) {
        let stats = self.connection.channel.info.stats();
        stats.moved(all.count, all.payload_len);
        self.core.tally.sent_datums.add(all.count);
        self.core.tally.sent_bytes.add(all.payload_len);
    }

    async fn send(&self, tx: &mut LinkSender, all: &mut Chunks) -> Result<(), Ended> {
        self.written.notify_one();
        let sent = tx.send_wire(&mut all.batches).await;
        sent.map_err(|_| Ended::Lost)
    }

    /// Applies the criteria that the consumer sends, until it finishes its side, which reports that it has read
    /// everything, or the link ends.
    async fn hear(&self, rx: &mut LinkReceiver) -> Result<(), Ended> {
        loop {
            match rx.recv_frame().await {
                Ok(Some(frame)) => {
                    if let Some(retune) = Retune::decode(&frame) {
                        self.core.select_for(self.subscriber, &retune.criteria);
                        self.connection.channel.set_consumers(retune.consumers);
                        self.core.board.touch();
                    }
                }
                Ok(None) if self.all_written.load(Ordering::Acquire) => break,
                // It cannot have read everything yet. Its last words say how far it has read.
                Ok(None) => std::future::pending().await,
                Err(_) => return Err(Ended::Lost),
            }
        }
        self.remote.complete.send_replace(true);
        Ok(())
    }
}
