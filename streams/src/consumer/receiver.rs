//! Keeps one producer elsewhere subscribed to: connects, reads, and comes back after what can pass.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    attempts::Phase, feed::Feed, group::Group, memory::Remembered, subscription::subscribe,
};
use crate::{
    PeerId,
    discovery::{Catalog, PeerEntry, PeerEntryVersion},
    gate::Pass,
    network::CloseReason,
};

/// How long one sync of catalogs may take before the subscription is tried again anyway.
const SYNC_TIMEOUT: Duration = Duration::from_secs(20);

/// How a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The link closed, or never was.
    Closed(CloseReason),
    /// The peer sent what it should not, or a datum that cannot be decoded.
    Rejected,
    /// The peer has a new life, which the link is not to.
    Restarted,
    /// The peer is no longer one to take datums from.
    Denied,
}

impl Outcome {
    /// What the link was closed with, by either side.
    pub(super) const fn close_reason(self) -> Option<CloseReason> {
        match self {
            Self::Closed(reason) => Some(reason),
            Self::Rejected => Some(CloseReason::ProtocolViolation),
            Self::Denied => Some(CloseReason::NotAllowed),
            Self::Restarted => None,
        }
    }
}

/// Gives up what is not queued, when it is dropped.
struct Backlogs<'a>(&'a Feed);

impl Drop for Backlogs<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Runs for as long as the peer offers the stream, and until all that was received is queued. Dropped, it leaves nothing
/// behind.
pub(super) async fn run(group: &Group, peer: PeerId) {
    let mut remembered = group.recall(peer);
    let feed = remembered.feed.clone();
    let _backlogs = Backlogs(&feed);
    tokio::select! {
        // Never by itself.
        () = feed.drain() => {}
        // Triggered when the peer offers the stream no more, or nothing more is to be received.
        () = keep_unless_leaving(group, peer, &mut remembered) => {}
    }
}

async fn keep_unless_leaving(group: &Group, peer: PeerId, remembered: &mut Remembered<'_>) {
    let feed = remembered.feed.clone();
    tokio::select! {
        // Triggered when the peer offers the stream no more.
        () = keep(group, peer, remembered) => {}
        // Triggered when the node stops.
        () = group.leaving.cancelled() => {}
    }
    feed.drained().await;
}

async fn keep(group: &Group, peer: PeerId, remembered: &mut Remembered<'_>) {
    let feed = remembered.feed.clone();
    let discovery = &group.streams.env.discovery;
    let mut catalog = discovery.catalog_watch();
    let mut waits = group.backoff().waits();
    let mut live = Some(group.enter());
    // This node's version of which the peer was told because it refused an earlier one.
    let mut told = None;
    // Whether that was said, once for each time that it was let in before.
    let mut refused = false;
    // Whether the peer is to be asked, once, how the stream ended if it offers it no more: it was cut off before that.
    let mut is_owed = false;
    let tracked = group.attempts.track(peer);
    while let Some((entry, pass)) = offer(group, &catalog, &peer, std::mem::take(&mut is_owed)) {
        let seen = (
            entry.update_version(),
            catalog.borrow().local().update_version(),
        );
        live.get_or_insert_with(|| group.enter());
        waits.adopt(&group.backoff());
        tracked.set(Phase::Connecting);
        let outcome = subscribe(group, &entry, pass, &mut waits, remembered, &catalog).await;
        tracing::debug!(%peer, stream = %group.id, ?outcome, "subscription over");
        if let Some(reason) = outcome.close_reason() {
            tracked.closed(reason);
        }
        refused &= !tracked.was_connected();
        if matches!(
            outcome,
            Outcome::Closed(CloseReason::TimedOut | CloseReason::Lost)
        ) {
            discovery.suspect(peer);
        }
        let retry = match outcome {
            Outcome::Restarted => continue,
            Outcome::Denied => {
                feed.abandon();
                continue;
            }
            Outcome::Closed(reason @ (CloseReason::UnknownPeer | CloseReason::NotAllowed)) => {
                // The peer judges what it knows of this node, which a sync makes the latest; once for each version.
                let address = entry.address().clone();
                let own = catalog.borrow().local().update_version();
                if told != Some(seen.1)
                    && matches!(
                        timeout(SYNC_TIMEOUT, discovery.sync_with(address)).await,
                        Ok(Ok(()))
                    )
                {
                    told = Some(own);
                    continue;
                }
                if reason == CloseReason::NotAllowed && !std::mem::replace(&mut refused, true) {
                    tracing::warn!(
                        peer = discovery.describe(&peer),
                        stream = group.label(),
                        "refused: this node lacks the tags or tickets that the stream requires of consumers"
                    );
                }
                reason == CloseReason::UnknownPeer
            }
            Outcome::Closed(CloseReason::EndOfStream) => {
                group.mark_ended();
                false
            }
            Outcome::Rejected => {
                feed.abandon();
                false
            }
            Outcome::Closed(
                CloseReason::GracefulShutdown
                | CloseReason::StreamNotFound
                | CloseReason::DifferentNetwork
                | CloseReason::FormatMismatch,
            ) => false,
            Outcome::Closed(_) => true,
        };
        told = None;
        is_owed = retry && remembered.memory.is_known() && entry.streams().contains(&group.id);
        if let Some(wait) = waits.next().filter(|_| retry) {
            let at = Instant::now() + wait;
            tracked.set(Phase::Retrying { at });
            tokio::select! {
                // Triggered when the wait is over.
                () = sleep_until(at) => {}
                // Triggered when the peer says something new of itself: it may have restarted or moved.
                () = news(&mut catalog, &peer, |version, _| version != Some(seen.0)) => {}
            }
            continue;
        }
        tracked.set(Phase::Resting);
        // What came before an end is handed out before it.
        feed.drained().await;
        live = None;
        // Until the peer or this node says something new of itself.
        news(&mut catalog, &peer, |version, own| {
            version != Some(seen.0) || own != seen.1
        })
        .await;
        waits.reset();
    }
}

/// The peer's entry while it offers the stream, or `also_ended`, and is one to take it from.
fn offer(
    group: &Group,
    catalog: &watch::Receiver<Catalog>,
    peer: &PeerId,
    also_ended: bool,
) -> Option<(PeerEntry, Pass)> {
    let catalog = catalog.borrow().clone();
    let entry = group.gate.entry(&catalog, peer)?;
    let pass = group.gate.judge(entry)?;
    let is_offered = also_ended || entry.streams().contains(&group.id);
    is_offered.then(|| (entry.clone(), pass))
}

/// Waits until `is_new` says so of the peer's version and this node's own.
async fn news(
    catalog: &mut watch::Receiver<Catalog>,
    peer: &PeerId,
    is_new: impl Fn(Option<PeerEntryVersion>, PeerEntryVersion) -> bool,
) {
    let changed = catalog.wait_for(|catalog| {
        is_new(
            catalog.get(peer).map(PeerEntry::update_version),
            catalog.local().update_version(),
        )
    });
    if changed.await.is_err() {
        std::future::pending::<()>().await;
    }
}
