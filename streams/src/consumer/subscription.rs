//! One subscription: the connection to a producer from the handshake to its close.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use futures::FutureExt;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    confirm::Confirming,
    group::{Demand, Feed, Group, Memory, Phase, Remembered},
    outcome::Outcome,
};
use crate::{
    Frames, PeerId,
    channel::{
        authorization::Grant,
        backoff::Waits,
        format::Format,
        protocol::{HANDSHAKE_TIMEOUT, Hello, Offer, Retune, Start},
        queue::Closed,
        side,
        status::{Channel, State},
    },
    discovery::{Catalog, Hold},
    net::{CloseReason, Link, LinkConn, LinkError, LinkReceiver, LinkSender},
    peer::PeerEntry,
};

/// Keeps a channel on the boards of the consumers. Dropping it closes the link, unless it was closed before.
struct Entered<'a> {
    group: &'a Group,
    feed: &'a Feed,
    channel: Channel,
    conn: OnceLock<LinkConn>,
    rejected: CancellationToken,
    /// True if the producer accepts confirmations.
    confirms: AtomicBool,
}

impl Entered<'_> {
    /// Does nothing if there is no link or it was closed before.
    fn close(&self, reason: CloseReason) {
        let Some(conn) = self.conn.get() else {
            return;
        };
        if self.confirms.load(Ordering::Relaxed) {
            // The final position: from now on this node accounts for the records before it.
            let words = side::LastWords {
                position: self.feed.position(),
                returns: self.group.leaving.is_cancelled(),
            };
            conn.close_saying(reason, words.encode().as_bytes());
        } else {
            conn.close(reason);
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.close(CloseReason::GracefulShutdown);
        self.channel.set(State::Terminated);
        self.feed.disconnect();
    }
}

/// Connects to the producer and receives until the subscription is over. Cancelling it closes the link with code 204.
pub(super) async fn subscribe(
    group: &Group,
    peer: &PeerEntry,
    grant: Grant,
    waits: &mut Waits,
    remembered: &mut Remembered<'_>,
    catalog: &watch::Receiver<Catalog>,
) -> Outcome {
    let ids = (*peer.id(), group.env.local_id);
    let channel = Channel::new(
        group.id,
        group.demand().criteria.clone(),
        ids,
        peer.clone(),
        State::Connecting,
    );
    let feed = remembered.feed.clone();
    // Declared first, so that it is dropped after the connection is closed, also if this future is cancelled: dropping
    // a sending half finishes its stream, which the producer would take for having read everything.
    let mut link = None;
    let entered = Entered {
        group,
        feed: &feed,
        rejected: feed.connect(&channel.info),
        channel,
        conn: OnceLock::new(),
        confirms: AtomicBool::new(false),
    };
    let outcome = tokio::select! {
        biased;
        // Triggered when the peer no longer meets the requirements, at any stage.
        () = group.authorizer.closed(catalog.clone(), peer.id(), grant) => Outcome::Denied,
        // Triggered when the subscription is over.
        outcome = hear(group, peer, (&entered, &mut link), waits, remembered, catalog) => outcome,
    };
    entered.close(outcome.close_reason().unwrap_or(CloseReason::Cancelled));
    outcome
}

async fn hear(
    group: &Group,
    peer: &PeerEntry,
    (entered, slot): (&Entered<'_>, &mut Option<Link>),
    waits: &mut Waits,
    remembered: &mut Remembered<'_>,
    catalog: &watch::Receiver<Catalog>,
) -> Outcome {
    // Boxed so that the state of opening is freed instead of being held for the whole subscription.
    let opened = Box::pin(open(group, peer, (entered, slot), (remembered, catalog))).await;
    let (link, start, (demand, asked), _hold) = match opened {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    waits.reset();
    let Remembered { memory, feed, .. } = remembered;
    let lost = memory.resume(start.position, start.selects);
    if lost > 0 {
        count_lost(group, peer, lost);
    }
    let confirming = start.kept.zip(start.position).map(|(kept, (_, position))| {
        feed.begin(position, kept.max_bytes);
        entered.confirms.store(true, Ordering::Relaxed);
        Confirming::new(link.conn.clone(), feed.clone())
    });
    entered.channel.set(State::Connected);
    group.attempts.set(peer.id(), Phase::Connected);
    feed.touch();

    let reading = Reading {
        group,
        channel: &entered.channel,
        // Retained records were selected by the criteria of an earlier subscription.
        selects: start.selects && start.kept.is_none_or(|kept| kept.records == 0),
        asked,
        retunes: start.position.is_some(),
        rejected: &entered.rejected,
        feed,
        confirming,
    };
    reading.run(link, demand, memory, catalog, peer).await
}

/// Counts records that were sent while this node was not connected, for the consumers without criteria.
fn count_lost(group: &Group, peer: &PeerEntry, lost: u64) {
    let consumers = group.consumers();
    let mut losers = consumers
        .iter()
        .filter(|core| core.criteria().is_everything())
        .peekable();
    if losers.peek().is_some() {
        tracing::warn!(
            peer = group.env.discovery.describe(peer.id()),
            stream = group.label(),
            lost,
            "records were lost: the producer sent them while this node was not connected to it"
        );
    }
    let lost = usize::try_from(lost).unwrap_or(usize::MAX);
    losers.for_each(|core| core.tally.lost.add(lost));
}

/// A watch on the demand, and the demand that was sent to the producer.
type Asked = (watch::Receiver<Arc<Demand>>, Arc<Demand>);

/// Dials the peer and sends the demand. Returns the link, which it puts into the slot, the peer's answer, a watch on the
/// demand, and a hold that keeps the peer in the catalog meanwhile.
async fn open<'l>(
    group: &Group,
    peer: &PeerEntry,
    (entered, slot): (&Entered<'_>, &'l mut Option<Link>),
    (remembered, catalog): (&Remembered<'_>, &watch::Receiver<Catalog>),
) -> Result<(&'l mut Link, Start, Asked, Hold), Outcome> {
    let connected = tokio::select! {
        // Triggered when the peer has restarted.
        () = restarted(catalog.clone(), peer) => return Err(Outcome::Restarted),
        // Triggered when the peer answers, and at the latest when dialling times out.
        connected = group.env.connect(peer) => connected,
    };
    let link = slot.insert(connected.map_err(|error| {
        tracing::debug!(peer = %peer.id(), %error, "failed to dial a producer");
        Outcome::Closed(CloseReason::Lost)
    })?);
    entered.conn.get_or_init(|| link.conn.clone());
    let hold = group.env.discovery.hold(*peer.id());
    let mut demand = group.watch_demand();
    let asked = demand.borrow_and_update().clone();
    let offer = Offer {
        name: group.name(),
        received: remembered.memory.received(),
    };
    let hello = Hello {
        network: group.env.network_id,
        stream: group.id,
        criteria: asked.criteria.clone(),
        id: Some(group.subscriber_id),
        offer: Some(offer),
        format: group.format,
        consumers: asked.consumers,
    };
    let greeted = timeout(HANDSHAKE_TIMEOUT, greet(group, link, &hello));
    match greeted.await {
        Ok(Ok(start)) => Ok((link, start, (demand, asked), hold)),
        Ok(Err(reason)) => Err(Outcome::Closed(reason)),
        Err(_) => {
            link.conn.close(CloseReason::Cancelled);
            Err(Outcome::Closed(CloseReason::TimedOut))
        }
    }
}

async fn greet(group: &Group, link: &mut Link, hello: &Hello) -> Result<Start, CloseReason> {
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
    check_format(group, &link.conn.peer(), start.format)?;
    link.rx.set_max_frame_len(group.max_datum_len);
    Ok(start)
}

/// Refuses a producer that declares another format, and logs one warning about it.
fn check_format(group: &Group, peer: &PeerId, theirs: Option<Format>) -> Result<(), CloseReason> {
    let ours = group.format;
    if let Some((ours, theirs)) = ours.zip(theirs)
        && !Format::agree(Some(ours), Some(theirs))
    {
        if group.attempts.mismatched(peer, theirs) {
            tracing::warn!(
                stream = group.label(),
                peer = group.env.discovery.describe(peer),
                "the producer declares {theirs}, this consumer {ours}: nothing is read; give the stream the same encoding and schema on both nodes"
            );
        }
        return Err(CloseReason::FormatMismatch);
    }
    Ok(())
}

/// Resolves when the catalog contains a later incarnation of the peer. Cancel safe.
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
    group: &'a Group,
    channel: &'a Channel,
    /// True if the producer applies the criteria. After they have changed, it is unknown which ones were applied to a
    /// record in flight, so the consumer applies them as well.
    selects: bool,
    /// The demand that was last sent to the producer.
    asked: Arc<Demand>,
    /// True if the producer supports changes of the demand.
    retunes: bool,
    rejected: &'a CancellationToken,
    feed: &'a Arc<Feed>,
    /// Confirms taken records, if the producer accepts confirmations.
    confirming: Option<Confirming>,
}

impl Reading<'_> {
    async fn run(
        mut self,
        Link { conn, tx, rx }: &mut Link,
        mut demand: watch::Receiver<Arc<Demand>>,
        memory: &mut Memory,
        catalog: &watch::Receiver<Catalog>,
        peer: &PeerEntry,
    ) -> Outcome {
        let mut restarted = std::pin::pin!(restarted(catalog.clone(), peer));
        loop {
            // While backlogs remain nothing is read, so that QUIC applies backpressure.
            let is_full = !self.feed.is_drained();
            let received = tokio::select! {
                biased;
                // Triggered when a record was malformed.
                () = self.rejected.cancelled() => return Outcome::Rejected,
                // Triggered when the demand changes. Polled first, since records may arrive without a pause.
                Ok(()) = demand.changed() => {
                    let demand = demand.borrow_and_update().clone();
                    if !self.tell(tx, demand, memory).await {
                        // Without last words, so that the producer retains what was not received.
                        conn.close(CloseReason::TimedOut);
                        return Outcome::Closed(CloseReason::TimedOut);
                    }
                    continue;
                }
                // Triggered by records, by the end of the stream, or by the end of the link.
                received = rx.recv_frames(), if !is_full => received,
                // Triggered when all received records are queued.
                () = self.feed.drained(), if is_full => continue,
                // Triggered when the link closes.
                reason = conn.closed(), if is_full => {
                    self.take_rest(rx, memory);
                    return Outcome::Closed(reason);
                }
                // Triggered when the peer has restarted.
                () = &mut restarted => {
                    self.take_rest(rx, memory);
                    return Outcome::Restarted;
                }
            };
            match received {
                Ok(Some(frames)) => {
                    if self.take(&frames, memory).is_err() {
                        // No consumer is left; the group cancels this task.
                        std::future::pending::<()>().await;
                    }
                }
                Ok(None) => {
                    if let Some(confirming) = &self.confirming {
                        tokio::select! {
                            // Triggered when every received record is taken.
                            () = confirming.all_taken() => {}
                            // Triggered when a record was malformed.
                            () = self.rejected.cancelled() => return Outcome::Rejected,
                            // Triggered when the link closes: the producer stopped waiting, or is gone.
                            reason = conn.closed() => return Outcome::Closed(reason),
                            // Triggered when the peer has restarted.
                            () = &mut restarted => return Outcome::Restarted,
                        }
                    }
                    // Everything is read, and taken if the producer asked for that. Finishing lets the producer close
                    // the link with the reason for which the stream ends.
                    tx.finish();
                    return match timeout(HANDSHAKE_TIMEOUT, conn.closed()).await {
                        Ok(reason) => Outcome::Closed(reason),
                        Err(_) => Outcome::Closed(CloseReason::UnexpectedClose),
                    };
                }
                Err(LinkError::Closed(reason)) => return Outcome::Closed(reason),
                Err(error) => {
                    if matches!(error, LinkError::TooLarge { .. }) {
                        for core in self.group.consumers() {
                            core.tally.too_large.add(1);
                        }
                    }
                    tracing::warn!(peer = %peer.id(), stream = self.group.label(), %error, "a producer broke the protocol");
                    return Outcome::Rejected;
                }
            }
        }
    }

    /// Sends a changed demand to the producer, if it supports that. Returns false if the producer does not read it: it
    /// then keeps the previous criteria, and the stream must not be used again.
    async fn tell(
        &mut self,
        tx: &mut LinkSender,
        demand: Arc<Demand>,
        memory: &mut Memory,
    ) -> bool {
        let criteria = &demand.criteria;
        self.selects &= *criteria == self.asked.criteria;
        if !criteria.is_everything() {
            memory.selected();
        }
        if self.retunes {
            let retune = Retune {
                criteria: criteria.clone(),
                consumers: demand.consumers,
            };
            // An error means that the link has ended, which reading reports.
            let sent = timeout(HANDSHAKE_TIMEOUT, tx.send_frame(&retune.encode())).await;
            if sent.is_err() {
                return false;
            }
        }
        self.asked = demand;
        true
    }

    /// Counts received records and passes them to the feed.
    fn take(&mut self, frames: &Frames, memory: &mut Memory) -> Result<(), Closed> {
        let is_selected =
            self.selects && self.asked.is_uniform && Arc::ptr_eq(&self.asked, &self.group.demand());
        let unwanted = self.feed.take(frames, is_selected)?;
        memory.advance(frames.count());
        let stats = self.channel.info.stats();
        stats.moved(frames.count(), frames.payload_len());
        stats.filtered_more(unwanted);
        if let Some(confirming) = &mut self.confirming {
            confirming.received();
        }
        Ok(())
    }

    /// Takes the records that had arrived over a link that is no longer used.
    fn take_rest(&mut self, rx: &mut LinkReceiver, memory: &mut Memory) {
        if !self.feed.takes_rest() {
            return;
        }
        while let Some(Ok(Some(frames))) = rx.recv_frames().now_or_never() {
            if self.take(&frames, memory).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
