//! Maintains the subscription to one remote producer: connects, receives, and reconnects after transient failures.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    group::{Feed, Group, Phase, Remembered},
    outcome::Outcome,
    subscription::subscribe,
};
use crate::{
    PeerId,
    channel::authorization::Grant,
    discovery::Catalog,
    net::CloseReason,
    peer::{PeerEntry, PeerEntryVersion},
};

/// The maximum duration of a catalog sync, after which the subscription is tried again anyway.
const SYNC_TIMEOUT: Duration = Duration::from_secs(20);

/// Drops the backlogs when it is dropped.
struct Backlogs<'a>(&'a Feed);

impl Drop for Backlogs<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Runs while the peer offers the stream, and until all received records are queued. Cancelling it drops the backlogs.
pub(super) async fn run(group: &Group, peer: PeerId) {
    let mut remembered = group.recall(peer);
    let feed = remembered.feed.clone();
    let _backlogs = Backlogs(&feed);
    tokio::select! {
        // Never resolves.
        () = feed.drain() => {}
        // Triggered when the peer no longer offers the stream, or receiving stops.
        () = keep_unless_leaving(group, peer, &mut remembered) => {}
    }
}

async fn keep_unless_leaving(group: &Group, peer: PeerId, remembered: &mut Remembered<'_>) {
    let feed = remembered.feed.clone();
    tokio::select! {
        // Triggered when the peer no longer offers the stream.
        () = keep(group, peer, remembered) => {}
        // Triggered when the node stops.
        () = group.leaving.cancelled() => {}
    }
    feed.drained().await;
}

async fn keep(group: &Group, peer: PeerId, remembered: &mut Remembered<'_>) {
    let feed = remembered.feed.clone();
    let discovery = &group.env.discovery;
    let mut catalog = discovery.catalog_watch();
    let mut waits = group.backoff().waits();
    let mut live = Some(group.enter());
    // The version of this node's entry that was synced to the peer after it refused an earlier one.
    let mut told = None;
    // True once a refusal was logged. Reset whenever the peer accepts this node.
    let mut refused = false;
    // True if the subscription was interrupted. The peer is then asked once more even if it no longer offers the
    // stream, to learn how the stream ended.
    let mut is_owed = false;
    let tracked = group.attempts.track(peer);
    while let Some((entry, grant)) = offer(group, &catalog, &peer, std::mem::take(&mut is_owed)) {
        let seen = (
            entry.update_version(),
            catalog.borrow().local().update_version(),
        );
        live.get_or_insert_with(|| group.enter());
        waits.adopt(&group.backoff());
        tracked.set(Phase::Connecting);
        let outcome = subscribe(group, &entry, grant, &mut waits, remembered, &catalog).await;
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
                // The peer decides by the entry that it knows of this node. A sync makes that the latest one; done once
                // per version.
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
                // Triggered when the peer's entry changes: it may have restarted or moved.
                () = news(&mut catalog, &peer, |version, _| version != Some(seen.0)) => {}
            }
            continue;
        }
        tracked.set(Phase::Resting);
        // Records received before the end are queued before it.
        feed.drained().await;
        live = None;
        // Wait until the peer's or this node's entry changes.
        news(&mut catalog, &peer, |version, own| {
            version != Some(seen.0) || own != seen.1
        })
        .await;
        waits.reset();
    }
}

/// Returns the peer's entry and grant if it offers the stream (or `also_ended` is set) and meets the requirements.
fn offer(
    group: &Group,
    catalog: &watch::Receiver<Catalog>,
    peer: &PeerId,
    also_ended: bool,
) -> Option<(PeerEntry, Grant)> {
    let catalog = catalog.borrow().clone();
    let entry = group.authorizer.entry(&catalog, peer)?;
    let grant = group.authorizer.authorize(entry)?;
    let is_offered = also_ended || entry.streams().contains(&group.id);
    is_offered.then(|| (entry.clone(), grant))
}

/// Waits until `is_new` accepts the versions of the peer's entry and of this node's entry.
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
