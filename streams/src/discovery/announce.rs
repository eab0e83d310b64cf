//! Announces changes of the local entry, renews it, and removes peers that no longer renew theirs.
//!
//! A change is sent twice: by gossip, which is fast, and directly to some peers, with retries. Renewals are sent by
//! gossip only, as long as there is a gossip neighbour.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use super::{
    jobs::{Kind, jittered},
    shared::Shared,
    sync,
};
use crate::{PeerId, peer::now_ms};

/// Changes within this time are announced together.
const COALESCE: Duration = Duration::from_millis(5);
/// The maximum number of peers to which a change is sent directly if gossip carries it too. Covers a small network
/// completely; in a large one, if each node notified all others, the cost would grow with the square of their number.
const TOLD_DIRECTLY: usize = 64;
/// The minimum interval between checks for stale entries.
const PURGE_PAUSE_MIN: Duration = Duration::from_secs(1);

/// Runs until the node shuts down.
pub(super) async fn run(shared: Arc<Shared>) {
    let next = || {
        Instant::now()
            + jittered(
                shared.config.announce_interval,
                shared.config.announce_jitter,
            )
    };
    let mut renew_at = next();
    loop {
        tokio::select! {
            // Triggered when the local entry has changed.
            () = shared.local_changed.notified() => {
                sleep(COALESCE).await;
                let is_told = tell(&shared);
                push(&shared, is_told);
            }
            // Triggered when the local entry is due for renewal.
            () = sleep_until(renew_at) => {
                shared.update_local(true, |_| ());
                renew_at = next();
                if !tell(&shared) {
                    push(&shared, false);
                }
            }
        }
    }
}

/// Announces the local entry by gossip. Returns false if that reaches no node.
fn tell(shared: &Shared) -> bool {
    if shared.exchanges.are_over() {
        // The end of the streams need not be announced: the departure message follows.
        return false;
    }
    let gossip = shared.gossip.get();
    gossip.is_some_and(|gossip| gossip.announce(shared.catalog().local()))
}

/// Sends the local entry to peers directly.
fn push(shared: &Arc<Shared>, is_told: bool) {
    let catalog = shared.catalog();
    let peers = catalog.signed_peers().map(|peer| *peer.id()).collect();
    for peer in some_of(peers, is_told) {
        sync::request(shared, peer, Kind::Push);
    }
}

/// Returns all peers, or a different subset each time if gossip reaches them too.
pub(super) fn some_of(mut peers: Vec<PeerId>, is_told: bool) -> Vec<PeerId> {
    if is_told && peers.len() > TOLD_DIRECTLY {
        let mut bytes = [0; 4];
        // Without random bytes, the subset is the same each time.
        let _ = getrandom::fill(&mut bytes);
        let first = u32::from_le_bytes(bytes) as usize % peers.len();
        peers.rotate_left(first);
        peers.truncate(TOLD_DIRECTLY);
    }
    peers
}

/// Requests the entries of peers whose renewal is overdue, and asks these peers to become gossip neighbours, since their
/// gossip does not reach this node.
fn ask_overdue(shared: &Arc<Shared>) {
    let config = &shared.config;
    let longest = config
        .announce_interval
        .mul_f64(1.0 + config.announce_jitter);
    let overdue = longest.max(config.purge_after / 2).as_millis();
    let since = now_ms().saturating_sub(i64::try_from(overdue).unwrap_or(i64::MAX));
    for peer in shared.catalog().signed_peers() {
        if peer.version.updated_ms < since {
            sync::request(shared, *peer.id(), Kind::Push);
            if let Some(gossip) = shared.gossip.get() {
                gossip.join(*peer.id());
            }
        }
    }
}

/// Removes entries as they become stale, until the node shuts down.
pub(super) async fn purge(shared: Arc<Shared>) {
    let purge_after = shared.config.purge_after;
    // Entries that arrive in the meantime may be older than the oldest present one, so the pause is limited.
    let longest = (purge_after / 4).max(PURGE_PAUSE_MIN);
    let mut asked = Instant::now();
    loop {
        let pause = shared.store().oldest().map_or(longest, |oldest| {
            let age =
                Duration::from_millis(u64::try_from(now_ms().saturating_sub(oldest)).unwrap_or(0));
            purge_after.saturating_sub(age)
        });
        sleep(pause.clamp(PURGE_PAUSE_MIN, longest)).await;
        if asked.elapsed() >= longest {
            asked = Instant::now();
            ask_overdue(&shared);
        }
        let stale = {
            let mut store = shared.store();
            let stale = store.purge(now_ms());
            if !stale.is_empty() {
                shared.publish(&store);
            }
            stale
        };
        for peer in stale {
            shared.emit_departed(peer);
        }
    }
}
