//! The nodes seen on the local network, with limits on their number and on the rate of dials. No I/O, no clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{EndpointAddr, PeerId};

/// The maximum number of remembered peers.
pub(super) const PEERS_MAX: usize = 256;
/// The time after which a peer that was not seen is forgotten.
const FORGET_AFTER: Duration = Duration::from_mins(2);
/// The minimum time before a peer is dialled again: if its addresses have changed, and if it is not in the catalog.
const REDIAL_CHANGED: Duration = Duration::from_secs(10);
const REDIAL: Duration = Duration::from_mins(5);
/// The maximum number of dials in a burst, and the time per further one.
const DIALS_MAX: u32 = 32;
const DIAL_EVERY: Duration = Duration::from_secs(2);
/// The minimum interval between answers.
const ANSWER_EVERY: Duration = Duration::from_secs(1);

struct Seen {
    addrs: BTreeSet<SocketAddr>,
    at: Instant,
    dialled_at: Option<Instant>,
}

pub(super) struct Table {
    me: PeerId,
    peers: BTreeMap<PeerId, Seen>,
    dials: u32,
    dials_since: Instant,
    answered_at: Option<Instant>,
}

impl Table {
    pub(super) fn new(me: PeerId, now: Instant) -> Self {
        Self {
            me,
            peers: BTreeMap::new(),
            dials: DIALS_MAX,
            dials_since: now,
            answered_at: None,
        }
    }

    /// Returns the last seen addresses of a peer.
    #[cfg(test)]
    pub(super) fn get(&self, peer: &PeerId) -> Option<&BTreeSet<SocketAddr>> {
        self.peers.get(peer).map(|seen| &seen.addrs)
    }

    /// Returns all remembered peers.
    pub(super) fn all(&self) -> BTreeMap<PeerId, BTreeSet<SocketAddr>> {
        let seen = self.peers.iter();
        seen.map(|(peer, seen)| (*peer, seen.addrs.clone()))
            .collect()
    }

    /// Notes that a peer was seen. Returns true if it is to be dialled now. `is_known` says whether it is in the
    /// catalog.
    pub(super) fn saw(&mut self, peer: &EndpointAddr, is_known: bool, now: Instant) -> bool {
        if peer.id == self.me {
            return false;
        }
        self.forget(now);
        if !self.peers.contains_key(&peer.id) && self.peers.len() >= PEERS_MAX {
            return false;
        }
        let seen = self.peers.entry(peer.id).or_insert_with(|| Seen {
            addrs: BTreeSet::new(),
            at: now,
            dialled_at: None,
        });
        seen.at = now;
        let has_changed = seen.addrs != peer.addrs;
        if has_changed {
            seen.addrs.clone_from(&peer.addrs);
        }
        let is_due = match seen.dialled_at {
            None => true,
            Some(at) if has_changed => now.duration_since(at) >= REDIAL_CHANGED,
            Some(at) => now.duration_since(at) >= REDIAL,
        };
        if is_known || !is_due {
            return false;
        }
        let earned = now.duration_since(self.dials_since).as_secs() / DIAL_EVERY.as_secs();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(DIALS_MAX);
            self.dials = self.dials.saturating_add(earned).min(DIALS_MAX);
            self.dials_since = now;
        }
        if self.dials == 0 {
            return false;
        }
        self.dials -= 1;
        seen.dialled_at = Some(now);
        true
    }

    /// Returns true if a query is to be answered now.
    pub(super) fn answers(&mut self, now: Instant) -> bool {
        let is_due = self
            .answered_at
            .is_none_or(|at| now.duration_since(at) >= ANSWER_EVERY);
        if is_due {
            self.answered_at = Some(now);
        }
        is_due
    }

    fn forget(&mut self, now: Instant) {
        self.peers
            .retain(|_, seen| now.duration_since(seen.at) < FORGET_AFTER);
    }
}
