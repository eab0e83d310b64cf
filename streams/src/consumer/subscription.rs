//! One subscription: the connection to a producer from the handshake to its close.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

mod reading;

use super::{
    confirm::Confirming,
    group::{Demand, Feed, Group, Phase, Remembered},
    outcome::Outcome,
};
use crate::{
    PeerId,
    channel::{
        authorization::Grant,
        backoff::Waits,
        format::Format,
        protocol::{HANDSHAKE_TIMEOUT, Hello, Offer, Start},
        side,
        status::{Channel, State},
    },
    discovery::{Catalog, Hold},
    net::{CloseReason, Link, LinkConn, LinkError},
    peer::PeerEntry,
};
use reading::Reading;

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
            let returns = self.group.leaving.is_cancelled();
            let words = side::LastWords {
                position: self.feed.accounted(returns),
                returns,
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
    let before = memory.received();
    if let (Some((before, _)), Some((log, position)), Some(_)) = (before, start.position, start.log)
        && before != log
    {
        tracing::warn!(
            peer = group.env.discovery.describe(peer.id()),
            stream = group.label(),
            position,
            "the producer's log of the stream is another one than before: reading begins at this position"
        );
    }
    let lost = memory.resume(start.position, start.selects);
    if lost > 0 {
        count_lost(group, peer, lost);
    }
    let confirming = start.kept.zip(start.position).map(|(kept, (_, position))| {
        let log = start.log.zip(start.position);
        let log = log.map(|((_, end), (id, _))| (id, end));
        let continues = log.is_some_and(|(id, _)| before.is_some_and(|(before, _)| before == id));
        feed.begin(position, kept.max_bytes, log, continues);
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
        start: group.start,
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

#[cfg(test)]
mod tests;
