//! The rules by which received entries are merged into the catalog. Time is a parameter. No I/O.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

mod departures;
mod refusal;

use departures::Tombstone;
use refusal::REFUSALS;
pub use refusal::Refusal;

use super::{
    catalog::{Catalog, Data},
    eviction::{EvictionOrder, Known},
};
use crate::{
    PeerId, SecretKey,
    peer::{PeerEntry, SignedPeerEntry, Unverified},
};

/// The maximum number of peers in a catalog. At the limit, a new peer takes the place of another: one without a
/// connection to this node, whose entry is no better confirmed than the new one, and which was seen longest ago. If
/// there is none, the new entry is refused and counted as [`Refusal::Full`].
pub const MAX_PEERS: usize = 16_384;
/// The maximum length of one entry on the wire: 256 KiB, room for 8,000 streams.
pub const MAX_ENTRY_LEN: usize = 256 * 1024;
/// The maximum total length of the entries of a catalog on the wire: 64 MiB. At the limit, the largest entry that may
/// be displaced makes room for smaller ones, so that entries of up to 4 KiB are always accepted.
pub const MAX_CATALOG_LEN: usize = 64 * 1024 * 1024;

/// The change made by an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Merged {
    /// The peer was not known.
    Discovered(Arc<SignedPeerEntry>),
    /// The peer was known; `restarted` if it has restarted since.
    Updated {
        entry: Arc<SignedPeerEntry>,
        restarted: bool,
    },
}

/// The mutable catalog.
pub(super) struct Store {
    data: Arc<Data>,
    /// The tombstones of departed peers, each with the last version that is refused.
    departed: BTreeMap<PeerId, Tombstone>,
    /// The total length of all signed entries on the wire.
    encoded_len: usize,
    max_time_drift: Duration,
    max_peers: usize,
    max_len: usize,
    eviction: EvictionOrder,
    /// Displaced peers that were not reported yet.
    displaced: Vec<PeerId>,
    displaced_count: u64,
    refused: [u64; REFUSALS],
}

impl Store {
    pub(super) fn new(
        local: SignedPeerEntry,
        purge_after: Duration,
        max_time_drift: Duration,
    ) -> Self {
        let (signed, unsigned) = (BTreeMap::new(), BTreeMap::new());
        Self {
            data: Arc::new(Data {
                local: Arc::new(local),
                signed,
                unsigned,
                purge_after,
            }),
            departed: BTreeMap::new(),
            encoded_len: 0,
            max_time_drift,
            max_peers: MAX_PEERS,
            max_len: MAX_CATALOG_LEN,
            eviction: EvictionOrder::default(),
            displaced: Vec::new(),
            displaced_count: 0,
            refused: [0; REFUSALS],
        }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) const fn with_max(mut self, max_peers: usize, max_len: usize) -> Self {
        (self.max_peers, self.max_len) = (max_peers, max_len);
        self
    }

    /// Returns a snapshot of the catalog.
    pub(super) fn catalog(&self) -> Catalog {
        Catalog(self.data.clone())
    }

    /// Returns the number of entries refused for this reason.
    pub(super) const fn refused(&self, refusal: Refusal) -> u64 {
        self.refused[refusal as usize]
    }

    /// Counts a refusal detected by another module.
    pub(super) const fn count(&mut self, refusal: Refusal) {
        self.refused[refusal as usize] += 1;
    }

    /// Returns the eviction order.
    pub(super) const fn eviction(&mut self) -> &mut EvictionOrder {
        &mut self.eviction
    }

    /// Returns the way in which a peer of the catalog is known.
    pub(super) fn how(&self, peer: &PeerId) -> Option<Known> {
        self.eviction.how(peer)
    }

    /// Notes that a peer has proven its key on a connection.
    pub(super) fn met(&mut self, peer: &PeerId) {
        if self.data.signed.contains_key(peer) {
            self.eviction.note(*peer, Known::Direct);
        }
    }

    /// Returns the peers displaced since the last call.
    pub(super) fn take_displaced(&mut self) -> Vec<PeerId> {
        std::mem::take(&mut self.displaced)
    }

    /// Returns the number of displaced peers since the start.
    pub(super) const fn displaced(&self) -> u64 {
        self.displaced_count
    }

    fn check(&self, entry: &PeerEntry, how: Known, now: i64) -> Result<(), Refusal> {
        let version = entry.version;
        if entry.network != self.data.local.network {
            return Err(Refusal::ForeignNetwork);
        }
        if entry.id() == self.data.local.id() {
            return Err(Refusal::Local);
        }
        if self.data.is_stale(version.updated_ms, now) {
            return Err(Refusal::Stale);
        }
        let drift = i64::try_from(self.max_time_drift.as_millis()).unwrap_or(i64::MAX);
        if version.updated_ms.max(version.started_ms) > now.saturating_add(drift) {
            return Err(Refusal::FutureDated);
        }
        if self
            .departed
            .get(entry.id())
            .is_some_and(|left| version <= left.version)
        {
            return Err(Refusal::Departed);
        }
        match self.data.signed.get(entry.id()) {
            Some(known) if version <= known.version => Err(Refusal::NotNewer),
            None if self.is_crowded() => {
                let room = self.eviction.next_evicted(self.standing(entry.id(), how));
                room.map(drop).ok_or(Refusal::Full)
            }
            _ => Ok(()),
        }
    }

    /// Returns the reason for which an entry sent by its own peer was not merged.
    pub(super) fn why_not(&self, entry: Unverified, now: i64) -> Refusal {
        if let Err(refusal) = self.check(&entry.entry, Known::Direct, now) {
            return refusal;
        }
        match entry.verify() {
            Err(_) => Refusal::BadSignature,
            Ok(entry) if entry.encoded_len() > MAX_ENTRY_LEN => Refusal::TooLarge,
            Ok(_) => Refusal::Full,
        }
    }

    fn is_crowded(&self) -> bool {
        self.data.signed.len() >= self.max_peers
    }

    /// A peer that is never evicted is treated as known directly.
    fn standing(&self, peer: &PeerId, how: Known) -> Known {
        if self.eviction.is_held(peer) {
            Known::Direct
        } else {
            how
        }
    }

    /// Checks whether an entry would be merged if its signature is valid. Counts a refusal.
    pub(super) fn wants(&mut self, entry: &PeerEntry, how: Known, now: i64) -> Result<(), Refusal> {
        self.check(entry, how, now)
            .inspect_err(|refusal| self.count(*refusal))
    }

    /// Merges an entry by the rules.
    pub(super) fn merge(
        &mut self,
        entry: SignedPeerEntry,
        how: Known,
        now: i64,
    ) -> Result<Merged, Refusal> {
        self.try_merge(entry, how, now)
            .inspect_err(|refusal| self.count(*refusal))
    }

    fn try_merge(
        &mut self,
        entry: SignedPeerEntry,
        how: Known,
        now: i64,
    ) -> Result<Merged, Refusal> {
        self.check(&entry, how, now)?;
        if entry.encoded_len() > MAX_ENTRY_LEN {
            return Err(Refusal::TooLarge);
        }
        let how = self.standing(entry.id(), how);
        self.make_room(&entry, how)?;
        let known = self.data.signed.get(entry.id());
        let encoded_len =
            self.encoded_len - known.map_or(0, |known| known.encoded_len()) + entry.encoded_len();
        if known.is_none() || how == Known::Direct {
            self.eviction.note(*entry.id(), how);
        }
        self.encoded_len = encoded_len;
        self.departed.remove(entry.id());
        let entry = Arc::new(entry);
        let data = Arc::make_mut(&mut self.data);
        data.unsigned.remove(entry.id());
        Ok(match data.signed.entry(*entry.id()) {
            Entry::Vacant(slot) => {
                slot.insert(entry.clone());
                Merged::Discovered(entry)
            }
            Entry::Occupied(mut slot) => {
                let restarted = slot.get().version.started_ms != entry.version.started_ms;
                slot.insert(entry.clone());
                Merged::Updated { entry, restarted }
            }
        })
    }

    /// Displaces the peers that must make room for this entry.
    fn make_room(&mut self, entry: &SignedPeerEntry, how: Known) -> Result<(), Refusal> {
        let known = self.data.signed.get(entry.id());
        let grows_by = entry
            .encoded_len()
            .saturating_sub(known.map_or(0, |known| known.encoded_len()));
        let largest = if self.encoded_len + grows_by <= self.max_len {
            None
        } else {
            let len = |peer: &PeerId| self.data.signed.get(peer).map_or(0, |e| e.encoded_len());
            let others = self.eviction.displaceable(how);
            let largest = others
                .filter(|peer| *peer != entry.id())
                .max_by_key(|peer| len(peer));
            // Displacing one larger than the new entry is sufficient, and only such a one may be displaced.
            let largest = largest.filter(|peer| len(peer) > entry.encoded_len());
            Some(*largest.ok_or(Refusal::Full)?)
        };
        let oldest = if known.is_none() && largest.is_none() && self.is_crowded() {
            Some(self.eviction.next_evicted(how).ok_or(Refusal::Full)?)
        } else {
            None
        };
        for peer in largest.into_iter().chain(oldest) {
            self.remove_signed(&peer);
            self.displaced.push(peer);
            self.displaced_count += 1;
        }
        Ok(())
    }

    fn remove_signed(&mut self, id: &PeerId) -> bool {
        let removed = Arc::make_mut(&mut self.data).signed.remove(id);
        self.eviction.forget(id);
        self.encoded_len -= removed.as_ref().map_or(0, |entry| entry.encoded_len());
        removed.is_some()
    }

    /// Removes entries that were not renewed within the purge time, and returns their peers.
    pub(super) fn purge(&mut self, now: i64) -> Vec<PeerId> {
        let data = &self.data;
        // Entries this old would be refused as stale.
        self.departed
            .retain(|_, left| !data.is_stale(left.version.updated_ms, now));
        let stale = |entry: &&Arc<SignedPeerEntry>| data.is_stale(entry.version.updated_ms, now);
        let stale: Vec<PeerId> = data
            .signed
            .values()
            .filter(stale)
            .map(|entry| *entry.id())
            .collect();
        for id in &stale {
            self.remove_signed(id);
        }
        stale
    }

    /// Returns the renewal time of the entry that becomes stale next, in milliseconds since 1970.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.data
            .signed
            .values()
            .map(|entry| entry.version.updated_ms)
            .min()
    }

    /// Inserts an entry on behalf of the application. Refused for another network's entry, for the node's own, and for
    /// that of a peer whose signed entry is known.
    pub(super) fn insert_unsigned(&mut self, entry: PeerEntry) -> Result<bool, Refusal> {
        let refusal = if entry.network != self.data.local.network {
            Some(Refusal::ForeignNetwork)
        } else if entry.id() == self.data.local.id() {
            Some(Refusal::Local)
        } else if self.data.signed.contains_key(entry.id()) {
            Some(Refusal::NotNewer)
        } else if self.data.unsigned.len() >= self.max_peers {
            Some(Refusal::Full)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.count(refusal);
            return Err(refusal);
        }
        let unsigned = &mut Arc::make_mut(&mut self.data).unsigned;
        Ok(unsigned.insert(*entry.id(), Arc::new(entry)).is_none())
    }

    /// Removes a peer, until its entry is received again.
    pub(super) fn remove(&mut self, id: &PeerId) -> bool {
        let unsigned = Arc::make_mut(&mut self.data).unsigned.remove(id).is_some();
        self.remove_signed(id) || unsigned
    }

    /// Removes all inserted entries.
    pub(super) fn clear_unsigned(&mut self) -> Vec<PeerId> {
        let unsigned = std::mem::take(&mut Arc::make_mut(&mut self.data).unsigned);
        unsigned
            .into_keys()
            .filter(|id| !self.data.signed.contains_key(id))
            .collect()
    }

    /// Changes the local entry; a change renews and signs it. Returns false if nothing changed.
    ///
    /// `renew` counts as a change.
    pub(super) fn update_local(
        &mut self,
        key: &SecretKey,
        renew: bool,
        change: impl FnOnce(&mut PeerEntry),
    ) -> bool {
        let old: &PeerEntry = &self.data.local;
        let mut entry = old.clone();
        change(&mut entry);
        if entry == *old && !renew {
            return false;
        }
        let signed = entry
            .renewed()
            .sign(key)
            .expect("the local entry is of the node's own key");
        Arc::make_mut(&mut self.data).local = Arc::new(signed);
        true
    }
}
