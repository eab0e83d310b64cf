//! Maintains the subscription to one remote producer: connects, receives, and reconnects after transient failures.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    group::{Feed, Group, Live, Phase, Remembered, Tracked},
    outcome::Outcome,
    subscription::subscribe,
};
use crate::{
    PeerId,
    channel::{authorization::Grant, backoff::Waits},
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
    let mut keeper = Keeper::new(group, peer, remembered.feed.clone());
    while let Some((entry, grant)) = keeper.offer() {
        let seen = keeper.versions(&entry);
        let outcome = keeper.subscribe(&entry, grant, remembered).await;
        let retry = match keeper.next_step(outcome, &entry, seen).await {
            Step::Again => continue,
            Step::Retry => true,
            Step::Rest => false,
        };
        keeper.synced = None;
        keeper.is_owed =
            retry && remembered.memory.is_known() && entry.streams().contains(&group.id);
        match keeper.waits.next().filter(|_| retry) {
            Some(wait) => keeper.wait(wait, seen).await,
            None => keeper.rest(seen).await,
        }
    }
}

/// The versions of the peer's entry and of this node's entry.
type Versions = (PeerEntryVersion, PeerEntryVersion);

/// What to do after a subscription has ended.
enum Step {
    /// Subscribe again at once, if the peer still meets the requirements.
    Again,
    /// Subscribe again after a wait.
    Retry,
    /// Subscribe again when an entry changes.
    Rest,
}

/// Keeps the subscription to one producer.
struct Keeper<'a> {
    group: &'a Group,
    peer: PeerId,
    feed: Arc<Feed>,
    catalog: watch::Receiver<Catalog>,
    waits: Waits,
    tracked: Tracked<'a>,
    /// Counts the producer as connected or connecting, except while resting.
    live: Option<Live<'a>>,
    /// The version of this node's entry that was synced to the peer after it refused an earlier one.
    synced: Option<PeerEntryVersion>,
    /// True once a refusal was logged. Reset whenever the peer accepts this node.
    is_refusal_logged: bool,
    /// True if the subscription was interrupted. The peer is then asked once more even if it no longer offers the
    /// stream, to learn how the stream ended.
    is_owed: bool,
}

impl<'a> Keeper<'a> {
    fn new(group: &'a Group, peer: PeerId, feed: Arc<Feed>) -> Self {
        Self {
            group,
            peer,
            feed,
            catalog: group.env.discovery.catalog_watch(),
            waits: group.backoff().waits(),
            live: Some(group.enter()),
            tracked: group.attempts.track(peer),
            synced: None,
            is_refusal_logged: false,
            is_owed: false,
        }
    }

    /// Returns the peer's entry and grant if the peer is to be asked for the stream.
    fn offer(&mut self) -> Option<(PeerEntry, Grant)> {
        let also_ended = std::mem::take(&mut self.is_owed);
        offer(self.group, &self.catalog, &self.peer, also_ended)
    }

    fn own_version(&self) -> PeerEntryVersion {
        self.catalog.borrow().local().update_version()
    }

    fn versions(&self, entry: &PeerEntry) -> Versions {
        (entry.update_version(), self.own_version())
    }

    /// Subscribes, and returns how the subscription ended.
    async fn subscribe(
        &mut self,
        entry: &PeerEntry,
        grant: Grant,
        remembered: &mut Remembered<'_>,
    ) -> Outcome {
        let (group, peer) = (self.group, self.peer);
        self.live.get_or_insert_with(|| group.enter());
        self.waits.adopt(&group.backoff());
        self.tracked.set(Phase::Connecting);
        let (waits, catalog) = (&mut self.waits, &self.catalog);
        let outcome = subscribe(group, entry, grant, waits, remembered, catalog).await;
        tracing::debug!(%peer, stream = %group.id, ?outcome, "subscription over");
        if let Some(reason) = outcome.close_reason() {
            self.tracked.closed(reason);
        }
        self.is_refusal_logged &= !self.tracked.was_connected();
        if matches!(
            outcome,
            Outcome::Closed(CloseReason::TimedOut | CloseReason::Lost)
        ) {
            group.env.discovery.suspect(peer);
        }
        outcome
    }

    async fn next_step(&mut self, outcome: Outcome, entry: &PeerEntry, seen: Versions) -> Step {
        match outcome {
            Outcome::Restarted => Step::Again,
            Outcome::Denied => {
                self.feed.abandon();
                Step::Again
            }
            Outcome::Closed(reason @ (CloseReason::UnknownPeer | CloseReason::NotAllowed)) => {
                if self.sync_own_entry(entry, seen).await {
                    return Step::Again;
                }
                if reason == CloseReason::UnknownPeer {
                    return Step::Retry;
                }
                self.log_refusal();
                Step::Rest
            }
            Outcome::Closed(CloseReason::EndOfStream) => {
                self.group.mark_ended();
                Step::Rest
            }
            Outcome::Rejected => {
                self.feed.abandon();
                Step::Rest
            }
            Outcome::Closed(
                CloseReason::GracefulShutdown
                | CloseReason::StreamNotFound
                | CloseReason::DifferentNetwork
                | CloseReason::FormatMismatch,
            ) => Step::Rest,
            Outcome::Closed(_) => Step::Retry,
        }
    }

    /// Syncs with a peer that refused this node. The peer decides by the entry that it knows of this node, and a sync
    /// makes that the latest one. Returns false if that was done for this version, or fails.
    async fn sync_own_entry(&mut self, entry: &PeerEntry, seen: Versions) -> bool {
        let own = self.own_version();
        if self.synced == Some(seen.1) {
            return false;
        }
        let sync = self.group.env.discovery.sync_with(entry.address().clone());
        let is_synced = matches!(timeout(SYNC_TIMEOUT, sync).await, Ok(Ok(())));
        if is_synced {
            self.synced = Some(own);
        }
        is_synced
    }

    fn log_refusal(&mut self) {
        if !std::mem::replace(&mut self.is_refusal_logged, true) {
            tracing::warn!(
                peer = self.group.env.discovery.describe(&self.peer),
                stream = self.group.label(),
                "refused: this node lacks the tags or tickets that the stream requires of consumers"
            );
        }
    }

    /// Waits before the next attempt. Ends early when the peer's entry changes: it may have restarted or moved.
    async fn wait(&mut self, wait: Duration, seen: Versions) {
        let at = Instant::now() + wait;
        self.tracked.set(Phase::Retrying { at });
        tokio::select! {
            // Triggered when the wait is over.
            () = sleep_until(at) => {}
            // Triggered when the peer's entry changes.
            () = news(&mut self.catalog, &self.peer, |version, _| version != Some(seen.0)) => {}
        }
    }

    /// Waits until the peer's or this node's entry changes.
    async fn rest(&mut self, seen: Versions) {
        self.tracked.set(Phase::Resting);
        // Records received before the end are queued before it.
        self.feed.drained().await;
        self.live = None;
        news(&mut self.catalog, &self.peer, |version, own| {
            version != Some(seen.0) || own != seen.1
        })
        .await;
        self.waits.reset();
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
