//! Runs the pending exchanges: at most one task per peer, with retries and backoff.

use std::{sync::Arc, time::Duration};

use tracing::debug;

use super::{
    super::{
        jobs::{Kind, jittered},
        shared::Shared,
        store::Merged,
    },
    SyncError, with,
};
use crate::{EndpointAddr, PeerId};

/// The number of failures after which a peer is not contacted until there is something new to send.
const ATTEMPTS_MAX: u32 = 6;
const FIRST_DELAY: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// Requests an exchange, combined with a pending one for the same peer.
pub(in crate::discovery) fn request(shared: &Arc<Shared>, peer: PeerId, kind: Kind) {
    if shared.endpoint().is_none() {
        return;
    }
    let is_met = shared.is_met(&peer);
    if shared.jobs.add(peer, kind, is_met) {
        shared.spawn(run(shared.clone(), peer));
    }
}

/// Requests full exchanges with the peers that are new or have restarted.
pub(in crate::discovery) fn greet(shared: &Arc<Shared>, merged: &[Merged]) {
    for change in merged {
        if let Merged::Discovered(entry)
        | Merged::Updated {
            entry,
            restarted: true,
        } = change
        {
            request(shared, *entry.id(), Kind::Full);
        }
    }
}

async fn run(shared: Arc<Shared>, peer: PeerId) {
    while let Some(kind) = shared.jobs.next(&peer) {
        say(&shared, &peer, kind).await;
    }
}

async fn say(shared: &Arc<Shared>, peer: &PeerId, mut kind: Kind) {
    let mut delay = FIRST_DELAY;
    for attempt in 1..=ATTEMPTS_MAX {
        let result = {
            let permits = shared.jobs.permits(shared.is_met(peer));
            let Ok(_permit) = permits.acquire().await else {
                return;
            };
            let Some(addr) = shared.known_address(EndpointAddr::from(peer)) else {
                return;
            };
            kind = shared.jobs.join(peer, kind);
            with(shared, &addr, kind).await
        };
        match result {
            Ok(()) => return,
            Err(error @ SyncError::DifferentNetwork) => {
                debug!(%peer, "sync refused: {error}");
                return;
            }
            Err(error) => debug!(%peer, attempt, "sync failed: {error}"),
        }
        tokio::time::sleep(jittered(delay, 0.5)).await;
        delay = (delay * 2).min(DELAY_MAX);
    }
}
