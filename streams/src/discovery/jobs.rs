//! Pending exchanges with peers: at most one task per peer, with retries and backoff.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Semaphore;

use super::store::MAX_PEERS;
use crate::PeerId;

/// The maximum number of concurrent dials to peers that were connected before.
const AT_A_TIME: usize = 128;
/// The maximum number of concurrent dials to peers known only indirectly. Any node can announce peers that do not
/// exist, and dialling those takes long. Dials to other peers do not wait for them.
const STRANGERS_AT_A_TIME: usize = 64;
/// The maximum number of peers with a running or waiting task. Further unknown peers are contacted with the next
/// announcement.
const WAITING_MAX: usize = MAX_PEERS;

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

    /// Combines an exchange with a pending one for the same peer. Returns true if the peer needs a task.
    pub(super) fn add(&self, peer: PeerId, kind: Kind, is_met: bool) -> bool {
        let mut wanted = self.lock();
        let is_crowded = wanted.len() >= WAITING_MAX;
        match wanted.entry(peer) {
            Entry::Occupied(mut entry) => {
                let wanted = entry.get_mut();
                *wanted = (*wanted).max(Some(kind));
                false
            }
            Entry::Vacant(_) if is_crowded && !is_met => false,
            Entry::Vacant(entry) => {
                entry.insert(Some(kind));
                true
            }
        }
    }

    /// Returns the permits for dials: `is_met` selects those for peers that were connected before.
    pub(super) const fn permits(&self, is_met: bool) -> &Semaphore {
        if is_met {
            &self.permits
        } else {
            &self.strangers
        }
    }

    /// Returns the next exchange; `None` ends the peer's task.
    pub(super) fn next(&self, peer: &PeerId) -> Option<Kind> {
        let mut wanted = self.lock();
        let next = wanted.get_mut(peer).and_then(Option::take);
        if next.is_none() {
            wanted.remove(peer);
        }
        next
    }

    /// Combines `kind` with an exchange requested in the meantime.
    pub(super) fn join(&self, peer: &PeerId, kind: Kind) -> Kind {
        let more = self.lock().get_mut(peer).and_then(Option::take);
        more.map_or(kind, |more| more.max(kind))
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
