//! One subscription: the connection to a producer from its handshake to its end.

use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    attempts::Phase,
    confirm::Confirming,
    core::{Core, Wanted},
    left::Left,
    memory::{Memory, Remembered},
    progress::Progress,
    receiver::Outcome,
};
use crate::{
    Criteria, Frames, PeerId,
    discovery::{Catalog, Hold, PeerEntry},
    gate::Pass,
    network::{CloseReason, Link, LinkConn, LinkError, LinkReceiver, LinkSender},
    queue::{Closed, Source},
    status::{Channel, State},
    streams::{
        Format, HANDSHAKE_TIMEOUT,
        backoff::Waits,
        protocol::{Hello, Offer, Retune, Start},
        side,
    },
};

/// A channel on the consumer's board for as long as this lives; its link is closed when nobody said how.
struct Entered<'a> {
    core: &'a Core,
    channel: Channel,
    conn: OnceLock<LinkConn>,
    source: Source,
    /// How far the producer is received, once it has agreed to hear what is taken.
    confirmed: OnceLock<Arc<Progress>>,
}

impl Entered<'_> {
    /// Does nothing when there is no link, or it was closed before.
    fn close(&self, reason: CloseReason) {
        match (self.conn.get(), self.confirmed.get()) {
            (Some(conn), Some(progress)) => {
                // From here on this side accounts for what it has received.
                let words = side::LastWords {
                    position: progress.position(),
                    returns: self.core.is_leaving(),
                };
                conn.close_saying(reason, words.encode().as_bytes());
            }
            (Some(conn), None) => conn.close(reason),
            (None, _) => {}
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.close(CloseReason::GracefulShutdown);
        self.channel.set(State::Terminated);
        self.core.board.remove(&self.channel.info);
        self.core.forget(self.source);
    }
}

/// Connects to the producer and reads until the subscription is over. Dropped, it closes the link with 204.
pub(super) async fn subscribe(
    core: &Core,
    peer: &PeerEntry,
    pass: Pass,
    waits: &mut Waits,
    (remembered, left): (&mut Remembered<'_>, &Left<'_>),
    catalog: &watch::Receiver<Catalog>,
) -> Outcome {
    let ids = (*peer.id(), core.streams.env.local_id);
    let channel = Channel::new(
        core.id,
        core.criteria(),
        ids,
        peer.clone(),
        State::Connecting,
    );
    core.board.add(&channel.info);
    let entered = Entered {
        core,
        channel,
        conn: OnceLock::new(),
        source: remembered.source,
        confirmed: OnceLock::new(),
    };
    let outcome = tokio::select! {
        biased;
        // Triggered when the peer is no longer one to take datums from, whatever is being waited for.
        () = core.gate.closed(catalog.clone(), peer.id(), pass) => {
            // Before the stream is let go of, which would look like having read all.
            entered.close(CloseReason::NotAllowed);
            Outcome::Denied
        }
        // Triggered when the subscription is over.
        outcome = hear(core, peer, &entered, waits, (remembered, left), catalog) => outcome,
    };
    entered.close(outcome.close_reason().unwrap_or(CloseReason::Cancelled));
    outcome
}

async fn hear(
    core: &Core,
    peer: &PeerEntry,
    entered: &Entered<'_>,
    waits: &mut Waits,
    (remembered, left): (&mut Remembered<'_>, &Left<'_>),
    catalog: &watch::Receiver<Catalog>,
) -> Outcome {
    let rejected = core.accept_from(entered.source);
    // What it takes to get there is let go of then, and not held for as long as the subscription lasts.
    let opened = Box::pin(open(core, peer, entered, (remembered, catalog))).await;
    let (mut link, start, wanted, _hold) = match opened {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    waits.reset();
    let Remembered {
        memory, progress, ..
    } = remembered;
    let lost = memory.resume(start.position, start.selects);
    if core.criteria().is_everything() && lost > 0 {
        tracing::warn!(
            peer = core.streams.env.discovery.describe(peer.id()),
            stream = core.label(),
            lost,
            "records were lost: the producer sent them while this node was not connected to it"
        );
        core.tally
            .lost
            .add(usize::try_from(lost).unwrap_or(usize::MAX));
    }
    let confirming = start.kept.zip(start.position).map(|(_, (_, position))| {
        progress.begin(position);
        entered.confirmed.get_or_init(|| progress.clone());
        Confirming::new(link.conn.clone(), progress.clone())
    });
    entered.channel.set(State::Connected);
    core.attempts.set(peer.id(), Phase::Connected);
    core.board.touch();

    let reading = Reading {
        core,
        channel: &entered.channel,
        source: entered.source,
        // What was kept from before was selected by the criteria of that time.
        selects: start.selects && start.kept.is_none_or(|kept| kept == 0),
        retunes: start.position.is_some(),
        rejected: &rejected,
        left,
        confirming,
    };
    reading.run(&mut link, wanted, memory, catalog, peer).await
}

/// Dials the peer and says what is wanted; the link, what the peer answers, what hears of other wishes, and what keeps the
/// peer known meanwhile.
async fn open(
    core: &Core,
    peer: &PeerEntry,
    entered: &Entered<'_>,
    (remembered, catalog): (&Remembered<'_>, &watch::Receiver<Catalog>),
) -> Result<(Link, Start, watch::Receiver<Arc<Wanted>>, Hold), Outcome> {
    let connected = tokio::select! {
        // Triggered when the peer has a new life.
        () = restarted(catalog.clone(), peer) => return Err(Outcome::Restarted),
        // Triggered when the peer answers, and at the latest when the time for dialling is over.
        connected = core.streams.env.connect(peer) => connected,
    };
    let mut link = connected.map_err(|error| {
        tracing::debug!(peer = %peer.id(), %error, "failed to dial a producer");
        Outcome::Closed(CloseReason::Lost)
    })?;
    entered.conn.get_or_init(|| link.conn.clone());
    let hold = core.streams.env.discovery.hold(*peer.id());
    let mut wanted = core.wanted.subscribe();
    let asked = wanted.borrow_and_update().clone();
    let offer = Offer {
        name: core.name(),
        received: remembered.memory.received(),
    };
    let hello = Hello {
        network: core.streams.env.network_id,
        stream: core.id,
        criteria: asked.criteria.clone(),
        id: Some(core.subscriber_id),
        offer: Some(offer),
        format: core.config.format,
    };
    let greeted = timeout(HANDSHAKE_TIMEOUT, greet(core, &mut link, &hello));
    match greeted.await {
        Ok(Ok(start)) => Ok((link, start, wanted, hold)),
        Ok(Err(reason)) => Err(Outcome::Closed(reason)),
        Err(_) => {
            link.conn.close(CloseReason::Cancelled);
            Err(Outcome::Closed(CloseReason::TimedOut))
        }
    }
}

async fn greet(core: &Core, link: &mut Link, hello: &Hello) -> Result<Start, CloseReason> {
    let why = |error: LinkError| match error {
        LinkError::Closed(reason) => reason,
        _ => CloseReason::ProtocolViolation,
    };
    link.tx.send_frame(&hello.encode()).await.map_err(why)?;
    let frame = link
        .rx
        .recv_frame()
        .await
        .map_err(why)?
        .ok_or(CloseReason::UnexpectedClose)?;
    let start = Start::decode(&frame).map_err(|_| CloseReason::ProtocolViolation)?;
    if start.network != hello.network {
        return Err(CloseReason::DifferentNetwork);
    }
    if start.stream != hello.stream {
        return Err(CloseReason::ProtocolViolation);
    }
    check_format(core, &link.conn.peer(), start.format)?;
    link.rx.set_max_frame_len(core.config.max_datum_len);
    Ok(start)
}

/// Refuses a producer whose records are not what this consumer takes them for, and warns of that once.
fn check_format(core: &Core, peer: &PeerId, theirs: Option<Format>) -> Result<(), CloseReason> {
    let ours = core.config.format;
    if let Some((ours, theirs)) = ours.zip(theirs)
        && !Format::agree(Some(ours), Some(theirs))
    {
        if core.attempts.mismatched(peer, theirs) {
            tracing::warn!(
                stream = core.label(),
                peer = core.streams.env.discovery.describe(peer),
                "the producer declares {theirs}, this consumer {ours}: nothing is read; give the stream the same encoding and schema on both nodes"
            );
        }
        return Err(CloseReason::FormatMismatch);
    }
    Ok(())
}

/// Resolves when the catalog knows a later life of the peer. Cancel safe.
async fn restarted(mut catalog: watch::Receiver<Catalog>, peer: &PeerEntry) {
    let later = |catalog: &Catalog| {
        catalog
            .get(peer.id())
            .is_some_and(|now| now.started_at() > peer.started_at())
    };
    if catalog.wait_for(later).await.is_err() {
        std::future::pending::<()>().await;
    }
}

struct Reading<'a> {
    core: &'a Core,
    channel: &'a Channel,
    source: Source,
    /// Whether the producer applies the criteria. Once they have changed nobody can say of a datum on its way which
    /// were applied, so all are applied here.
    selects: bool,
    /// Whether the producer understands it when the criteria change.
    retunes: bool,
    rejected: &'a CancellationToken,
    left: &'a Left<'a>,
    /// Tells the producer what is taken, if it has agreed to hear it.
    confirming: Option<Confirming>,
}

impl Reading<'_> {
    async fn run(
        mut self,
        Link { conn, tx, rx }: &mut Link,
        mut wanted: watch::Receiver<Arc<Wanted>>,
        memory: &mut Memory,
        catalog: &watch::Receiver<Catalog>,
        peer: &PeerEntry,
    ) -> Outcome {
        let mut restarted = std::pin::pin!(restarted(catalog.clone(), peer));
        loop {
            // Then nothing is read, so that QUIC pushes back.
            let is_full = !self.left.is_empty();
            let received = tokio::select! {
                biased;
                // Triggered when a datum was not what it should be.
                () = self.rejected.cancelled() => return Outcome::Rejected,
                // Triggered when other datums are wanted than before: first, since datums may come without a pause.
                Ok(()) = wanted.changed() => {
                    let criteria = wanted.borrow_and_update().criteria.clone();
                    self.tell(tx, &criteria, memory).await;
                    continue;
                }
                // Triggered when there are datums, the end of them, or the end of the link.
                received = rx.recv_frames(), if !is_full => received,
                // Triggered when all that was received is queued.
                () = self.left.emptied(), if is_full => continue,
                // Triggered when the link ends.
                reason = conn.closed(), if is_full => {
                    self.take_rest(rx, memory);
                    return Outcome::Closed(reason);
                }
                // Triggered when the peer has a new life.
                () = &mut restarted => {
                    self.take_rest(rx, memory);
                    return Outcome::Restarted;
                }
            };
            match received {
                Ok(Some(frames)) => {
                    if self.take(frames, memory).is_err() {
                        return Outcome::Rejected;
                    }
                }
                Ok(None) => {
                    if let Some(confirming) = &self.confirming {
                        tokio::select! {
                            // Triggered when all that was received is taken.
                            () = confirming.all_taken() => {}
                            // Triggered when a datum was not what it should be.
                            () = self.rejected.cancelled() => return Outcome::Rejected,
                            // Triggered when the link ends: the producer waits no longer, or it is lost.
                            reason = conn.closed() => return Outcome::Closed(reason),
                            // Triggered when the peer has a new life.
                            () = &mut restarted => return Outcome::Restarted,
                        }
                    }
                    // All is read, and taken if the producer asks for that: saying so lets it close, with the word on how
                    // the stream ends.
                    tx.finish();
                    return match timeout(HANDSHAKE_TIMEOUT, conn.closed()).await {
                        Ok(reason) => Outcome::Closed(reason),
                        Err(_) => Outcome::Closed(CloseReason::UnexpectedClose),
                    };
                }
                Err(LinkError::Closed(reason)) => return Outcome::Closed(reason),
                Err(error) => {
                    if matches!(error, LinkError::TooLarge { .. }) {
                        self.core.tally.too_large.add(1);
                    }
                    tracing::warn!(peer = %peer.id(), stream = self.core.label(), %error, "a producer broke the protocol");
                    return Outcome::Rejected;
                }
            }
        }
    }

    /// Has the producer select by other criteria, if it can.
    async fn tell(&mut self, tx: &mut LinkSender, criteria: &Criteria, memory: &mut Memory) {
        self.selects = false;
        if !criteria.is_everything() {
            memory.selected();
        }
        if self.retunes {
            // What is not told is merely sent in vain: the criteria are applied here too.
            let _ = timeout(HANDSHAKE_TIMEOUT, tx.send_frame(&Retune::encode(criteria))).await;
        }
    }

    /// Counts what was received, and hands over what is wanted of it.
    fn take(&mut self, frames: Frames, memory: &mut Memory) -> Result<(), Closed> {
        let count = frames.count();
        memory.advance(count);
        let (stats, tally) = (self.channel.info.stats(), &self.core.tally);
        stats.moved(frames.count(), frames.payload_len());
        let mut wanted = frames;
        if !self.selects {
            let (selected, malformed) = self.core.wanted().filter.apply(&wanted);
            let unwanted = wanted.count() - selected.count();
            tally.malformed.add(malformed);
            tally.filtered.add(unwanted - malformed);
            stats.filtered_more(unwanted);
            wanted = selected;
        }
        if let Some(confirming) = &mut self.confirming {
            confirming.add(count, wanted.count());
        }
        self.left.take(self.source, wanted)
    }

    /// Takes what had arrived over a link that is of no use any more.
    fn take_rest(&mut self, rx: &mut LinkReceiver, memory: &mut Memory) {
        if !self.left.takes_rest() {
            return;
        }
        while let Some(Ok(Some(frames))) = rx.recv_frames().now_or_never() {
            if self.take(frames, memory).is_err() {
                return;
            }
        }
    }
}
