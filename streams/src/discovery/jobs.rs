//! What is to be said to which peer: one task a peer, which tries again with a back-off.

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

/// How many peers are dialled at a time that were met before.
const AT_A_TIME: usize = 128;
/// How many are dialled at a time that others told of. Anyone may tell of peers that are not there, and so of whom it
/// takes long to find out: those that were met do not wait for them.
const STRANGERS_AT_A_TIME: usize = 64;
/// After so many failures a peer is left alone until something new is to be said.
const ATTEMPTS_MAX: u32 = 6;
/// Peers that are being spoken to or wait for it; what is to be said to more strangers than these is said with the next
/// announcement.
const WAITING_MAX: usize = MAX_PEERS;
const FIRST_DELAY: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// What is to be said to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The local entry.
    Push,
    /// All that is known, for all that the peer knows.
    Full,
}

/// The peers that are being spoken to, with what else is to be said then. At most one task a peer.
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

    /// What is to be said now, or the end of the peer's task.
    fn next(&self, peer: &PeerId) -> Option<Kind> {
        let mut wanted = self.lock();
        let next = wanted.get_mut(peer).and_then(Option::take);
        if next.is_none() {
            wanted.remove(peer);
        }
        next
    }

    /// What has come up since, together with `kind`.
    fn join(&self, peer: &PeerId, kind: Kind) -> Kind {
        let more = self.lock().get_mut(peer).and_then(Option::take);
        more.map_or(kind, |more| more.max(kind))
    }
}

/// Says it soon, together with what else is to be said to the peer.
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

/// Exchanges all with the peers that are new or have restarted.
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
            let lane = if shared.is_met(peer) {
                &shared.jobs.permits
            } else {
                &shared.jobs.strangers
            };
            let Ok(_permit) = lane.acquire().await else {
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

/// A duration that differs from `base` by up to `jitter` of it, either way.
pub(super) fn jittered(base: Duration, jitter: f64) -> Duration {
    let mut bytes = [0; 4];
    // Without randomness all wait equally long, which is only less polite.
    let _ = getrandom::fill(&mut bytes);
    let unit = f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX);
    base.mul_f64(1.0 + jitter * (2.0 * unit - 1.0))
}
