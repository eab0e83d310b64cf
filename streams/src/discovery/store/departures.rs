//! Departures of peers.

use super::{Refusal, Store};
use crate::{PeerId, peer::PeerEntryVersion};

/// Marks a departed peer, so that older entries do not bring it back.
pub(super) struct Tombstone {
    pub(super) version: PeerEntryVersion,
    /// Its departure was received by gossip.
    is_announced: bool,
}

impl Store {
    /// Processes a peer's departure. `signed` returns the time of the signature if it is valid. Returns true if the
    /// peer was known. Counts refusals, except for departures of peers that are neither known nor departed.
    ///
    /// Accepts one departure per peer, because the same departure can be encoded in many ways.
    pub(in crate::discovery) fn take_departure(
        &mut self,
        id: &PeerId,
        version: PeerEntryVersion,
        signed: impl FnOnce() -> Option<i64>,
        now: i64,
    ) -> Result<bool, Refusal> {
        let known = self.data.signed.get(id).map(|entry| entry.version);
        let left = self.departed.get(id);
        let Some(last) = known.or_else(|| left.map(|left| left.version)) else {
            return Err(Refusal::NotNewer);
        };
        let drift = i64::try_from(self.max_time_drift.as_millis()).unwrap_or(i64::MAX);
        let latest = now.saturating_add(drift);
        let checked = if known.is_none() && left.is_some_and(|left| left.is_announced) {
            Err(Refusal::Departed)
        } else if last.started_ms > version.started_ms {
            // The end of an earlier run does not concern a later one.
            Err(Refusal::NotNewer)
        } else if version.updated_ms.max(version.started_ms) > latest {
            Err(Refusal::FutureDated)
        } else {
            match signed() {
                None => Err(Refusal::BadSignature),
                Some(at) if at > latest => Err(Refusal::FutureDated),
                Some(at) if at < now.saturating_sub(drift) => Err(Refusal::Stale),
                Some(_) => Ok(()),
            }
        };
        checked.inspect_err(|refusal| self.count(*refusal))?;
        self.depart(id, version);
        if let Some(left) = self.departed.get_mut(id) {
            left.is_announced = true;
        }
        Ok(known.is_some())
    }

    /// Removes a peer that departs, and refuses its entries up to `version` from now on.
    pub(in crate::discovery) fn depart(&mut self, id: &PeerId, version: PeerEntryVersion) -> bool {
        let Some(known) = self.data.signed.get(id) else {
            return false;
        };
        let left = known.version.max(version);
        // If there is no room for a tombstone, the peer is only removed; a replayed entry would add it again until it
        // is stale.
        if self.departed.len() < self.max_peers {
            let tombstone = Tombstone {
                version: left,
                is_announced: false,
            };
            self.departed.insert(*id, tombstone);
        }
        self.remove_signed(id)
    }
}
