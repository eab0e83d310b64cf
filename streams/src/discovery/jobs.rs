//! Pending exchanges with peers: at most one task per peer, with retries and backoff.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Semaphore;
use tracing::debug;

use super::{
    shared::Shared,
    store::{MAX_PEERS, Merged},
    sync::{self, SyncError},
};
use crate::{EndpointAddr, PeerId};

/// The maximum number of concurrent dials to peers that were connected before.
const AT_A_TIME: usize = 128;
/// The maximum number of concurrent dials to peers known only indirectly. Any node can announce peers that do not
/// exist, and dialling those takes long. Dials to other peers do not wait for them.
const STRANGERS_AT_A_TIME: usize = 64;
/// The number of failures after which a peer is not contacted until there is something new to send.
const ATTEMPTS_MAX: u32 = 6;
/// The maximum number of peers with a running or waiting task. Further unknown peers are contacted with the next
/// announcement.
const WAITING_MAX: usize = MAX_PEERS;
const FIRST_DELAY: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// The kind of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Send the local entry.
    Push,
    /// Exchange all entries.
    Full,
}

/// The peers with a task, and the exchange requested in the meantime. At most one task per peer.
pub(super) struct Jobs {
    wanted: Mutex<HashMap<PeerId, Option<Kind>>>,
    permits: Semaphore,
    strangers: Semaphore,
}

impl Jobs {
    pub(super) fn new() -> Self {
        Self {
            wanted: Mutex::default(),
            permits: Semaphore::new(AT_A_TIME),
            strangers: Semaphore::new(STRANGERS_AT_A_TIME),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Option<Kind>>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the next exchange; `None` ends the peer's task.
    fn next(&self, peer: &PeerId) -> Option<Kind> {
        let mut wanted = self.lock();
        let next = wanted.get_mut(peer).and_then(Option::take);
        if next.is_none() {
            wanted.remove(peer);
        }
        next
    }

    /// Combines `kind` with an exchange requested in the meantime.
    fn join(&self, peer: &PeerId, kind: Kind) -> Kind {
        let more = self.lock().get_mut(peer).and_then(Option::take);
        more.map_or(kind, |more| more.max(kind))
    }
}

/// Requests an exchange, combined with a pending one for the same peer.
pub(super) fn request(shared: &Arc<Shared>, peer: PeerId, kind: Kind) {
    if shared.endpoint().is_none() {
        return;
    }
    let is_met = shared.is_met(&peer);
    let mut wanted = shared.jobs.lock();
    let is_crowded = wanted.len() >= WAITING_MAX;
    match wanted.entry(peer) {
        Entry::Occupied(mut entry) => {
            let wanted = entry.get_mut();
            *wanted = (*wanted).max(Some(kind));
            return;
        }
        Entry::Vacant(_) if is_crowded && !is_met => return,
        Entry::Vacant(entry) => entry.insert(Some(kind)),
    };
    drop(wanted);
    let job = run(shared.clone(), peer);
    shared.spawn(job);
}

/// Requests full exchanges with the peers that are new or have restarted.
pub(super) fn greet(shared: &Arc<Shared>, merged: &[Merged]) {
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
            let permits = if shared.is_met(peer) {
                &shared.jobs.permits
            } else {
                &shared.jobs.strangers
            };
            let Ok(_permit) = permits.acquire().await else {
                return;
            };
            let Some(addr) = shared.known_address(EndpointAddr::from(peer)) else {
                return;
            };
            kind = shared.jobs.join(peer, kind);
            sync::with(shared, &addr, kind).await
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

/// Returns a duration that differs from `base` by up to the fraction `jitter`, in either direction.
pub(super) fn jittered(base: Duration, jitter: f64) -> Duration {
    let mut bytes = [0; 4];
    // Without random bytes all waits are equally long, which only affects load.
    let _ = getrandom::fill(&mut bytes);
    let unit = f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX);
    base.mul_f64(1.0 + jitter * (2.0 * unit - 1.0))
}
