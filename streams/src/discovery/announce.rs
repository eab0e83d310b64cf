//! Tells all peers of changes of the local entry, renews it, and forgets peers that no longer renew theirs.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use super::{
    entry::now_ms,
    handle::Event,
    jobs::{self, Kind, jittered},
    shared::Shared,
};

/// Changes that come within this time are told together.
const COALESCE: Duration = Duration::from_millis(5);
/// The shortest time between two looks for stale entries.
const PURGE_PAUSE_MIN: Duration = Duration::from_secs(1);

/// Runs until the node ends.
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
            () = shared.local_changed.notified() => sleep(COALESCE).await,
            // Triggered when others should hear that this node is still there.
            () = sleep_until(renew_at) => {
                shared.update_local(true, |_| ());
                renew_at = next();
            }
        }
        let catalog = shared.catalog();
        for peer in catalog.signed_peers() {
            jobs::request(&shared, *peer.id(), Kind::Push);
        }
    }
}

/// Removes entries as they become stale, until the node ends.
pub(super) async fn purge(shared: Arc<Shared>) {
    let purge_after = shared.config.purge_after;
    // What comes in meanwhile may be older than all that is there, so it is looked at again before it could matter.
    let longest = (purge_after / 4).max(PURGE_PAUSE_MIN);
    loop {
        let pause = shared.store().oldest().map_or(longest, |oldest| {
            let age =
                Duration::from_millis(u64::try_from(now_ms().saturating_sub(oldest)).unwrap_or(0));
            purge_after.saturating_sub(age)
        });
        sleep(pause.clamp(PURGE_PAUSE_MIN, longest)).await;
        let stale = {
            let mut store = shared.store();
            let stale = store.purge(now_ms());
            if !stale.is_empty() {
                shared.publish(&store);
            }
            stale
        };
        for peer in stale {
            shared.forget(&peer);
            shared.emit(Event::PeerDeparted(peer));
        }
    }
}
