//! The rules by which what others say enters the catalog. Pure: the time is given. No I/O.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use super::{
    catalog::{Catalog, Data},
    entry::{PeerEntry, PeerEntryVersion, SignedPeerEntry, Unverified},
    standing::{Known, Standings},
};
use crate::{PeerId, SecretKey};

/// The most peers in a catalog. Beyond, a newcomer takes the place of a peer that this node has no connection with, known
/// no better and met longest ago; when there is none, it is refused, and counted as [`Refusal::Full`].
pub const MAX_PEERS: usize = 16_384;
/// The most bytes that one entry may take on the wire: 256 KiB, room for 8,000 streams.
pub const MAX_ENTRY_LEN: usize = 256 * 1024;
/// The most bytes that all entries of a catalog may take on the wire: 64 MiB. Beyond, the largest of those that may be
/// displaced makes room for smaller ones, so that none of up to 4 KiB is kept out.
pub const MAX_CATALOG_LEN: usize = 64 * 1024 * 1024;

/// Why an entry did not enter the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is of another network.
    #[error("it is of another network")]
    ForeignNetwork,
    /// Its peer did not sign it.
    #[error("its signature is bad")]
    BadSignature,
    /// It was last renewed longer ago than the purge time.
    #[error("it is too old")]
    Stale,
    /// It is dated further ahead than clocks may differ.
    #[error("it is dated too far in the future")]
    FutureDated,
    /// The one in the catalog is as new or newer.
    #[error("it is not newer than the one known")]
    NotNewer,
    /// It is said to be this node's own.
    #[error("only the node itself changes its entry")]
    Local,
    /// Its peer has left since.
    #[error("its peer has left since")]
    Departed,
    /// There are as many peers or bytes as the catalog takes, and none that would make room.
    #[error("the catalog is full")]
    Full,
    /// It takes more bytes than an entry may.
    #[error("it is too large")]
    TooLarge,
    /// It was announced in bytes that are no announcement.
    #[error("it is malformed")]
    Malformed,
}

const REFUSALS: usize = Refusal::Malformed as usize + 1;

/// What an entry changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Merged {
    /// The peer was not known.
    Discovered(Arc<SignedPeerEntry>),
    /// The peer was known; `restarted` when this is a later life of it.
    Updated {
        entry: Arc<SignedPeerEntry>,
        restarted: bool,
    },
}

/// How a peer left.
struct Left {
    version: PeerEntryVersion,
    /// Its word has come by gossip.
    is_announced: bool,
}

/// The catalog while it changes.
pub(super) struct Store {
    data: Arc<Data>,
    /// Up to which version peers that left are known to have left.
    departed: BTreeMap<PeerId, Left>,
    /// Bytes of all signed entries on the wire.
    encoded_len: usize,
    max_time_drift: Duration,
    max_peers: usize,
    max_len: usize,
    standings: Standings,
    /// Those displaced, until someone asks.
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
            standings: Standings::default(),
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

    /// What is known at present.
    pub(super) fn catalog(&self) -> Catalog {
        Catalog(self.data.clone())
    }

    /// How many entries were refused for this reason.
    pub(super) const fn refused(&self, refusal: Refusal) -> u64 {
        self.refused[refusal as usize]
    }

    /// Counts a refusal that was found elsewhere.
    pub(super) const fn count(&mut self, refusal: Refusal) {
        self.refused[refusal as usize] += 1;
    }

    /// Who stays when it is full.
    pub(super) const fn standings(&mut self) -> &mut Standings {
        &mut self.standings
    }

    /// How a peer of the catalog came to be known.
    pub(super) fn how(&self, peer: &PeerId) -> Option<Known> {
        self.standings.how(peer)
    }

    /// A peer has proved its key on a connection.
    pub(super) fn met(&mut self, peer: &PeerId) {
        if self.data.signed.contains_key(peer) {
            self.standings.note(*peer, Known::InPerson);
        }
    }

    /// Those that had to make room since this was last asked.
    pub(super) fn take_displaced(&mut self) -> Vec<PeerId> {
        std::mem::take(&mut self.displaced)
    }

    /// How many peers had to make room for others.
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
                let room = self.standings.last_in_line(self.standing(entry.id(), how));
                room.map(drop).ok_or(Refusal::Full)
            }
            _ => Ok(()),
        }
    }

    /// Why an entry that its peer sent did not enter the catalog.
    pub(super) fn why_not(&self, entry: Unverified, now: i64) -> Refusal {
        if let Err(refusal) = self.check(&entry.entry, Known::InPerson, now) {
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

    /// Whoever stays in any case comes in as if it had come in person.
    fn standing(&self, peer: &PeerId, how: Known) -> Known {
        if self.standings.is_held(peer) {
            Known::InPerson
        } else {
            how
        }
    }

    /// Whether an entry would be taken if its signature is good; one that would not is counted.
    pub(super) fn wants(&mut self, entry: &PeerEntry, how: Known, now: i64) -> Result<(), Refusal> {
        self.check(entry, how, now)
            .inspect_err(|refusal| self.count(*refusal))
    }

    /// Takes an entry, by the rules.
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
        if known.is_none() || how == Known::InPerson {
            self.standings.note(*entry.id(), how);
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

    /// Displaces whoever must make room for this entry.
    fn make_room(&mut self, entry: &SignedPeerEntry, how: Known) -> Result<(), Refusal> {
        let known = self.data.signed.get(entry.id());
        let grows_by = entry
            .encoded_len()
            .saturating_sub(known.map_or(0, |known| known.encoded_len()));
        let largest = if self.encoded_len + grows_by <= self.max_len {
            None
        } else {
            let len = |peer: &PeerId| self.data.signed.get(peer).map_or(0, |e| e.encoded_len());
            let others = self.standings.displaceable(how);
            let largest = others
                .filter(|peer| *peer != entry.id())
                .max_by_key(|peer| len(peer));
            // One larger than the newcomer is enough, and only such a one is in the way.
            let largest = largest.filter(|peer| len(peer) > entry.encoded_len());
            Some(*largest.ok_or(Refusal::Full)?)
        };
        let oldest = if known.is_none() && largest.is_none() && self.is_crowded() {
            Some(self.standings.last_in_line(how).ok_or(Refusal::Full)?)
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

    /// Takes a peer's word that it leaves: `signed` says when it was given, if the peer gave it. True when the peer was
    /// known. What is refused is counted, but for what is said of peers that are not known and have not left.
    ///
    /// One word of a departure is taken and no more, since it can be written in many ways.
    pub(super) fn take_departure(
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
            // A later life of the peer has nothing to do with the end of an earlier one.
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

    /// Forgets a peer that says itself that it leaves, and every entry of it up to `version`.
    pub(super) fn depart(&mut self, id: &PeerId, version: PeerEntryVersion) -> bool {
        let Some(known) = self.data.signed.get(id) else {
            return false;
        };
        let left = known.version.max(version);
        // Without room for it the peer is only forgotten; a replay would bring it back until it is stale.
        if self.departed.len() < self.max_peers {
            let left = Left {
                version: left,
                is_announced: false,
            };
            self.departed.insert(*id, left);
        }
        self.remove_signed(id)
    }

    fn remove_signed(&mut self, id: &PeerId) -> bool {
        let removed = Arc::make_mut(&mut self.data).signed.remove(id);
        self.standings.forget(id);
        self.encoded_len -= removed.as_ref().map_or(0, |entry| entry.encoded_len());
        removed.is_some()
    }

    /// Forgets what was not renewed for the purge time, and says whose it was.
    pub(super) fn purge(&mut self, now: i64) -> Vec<PeerId> {
        let data = &self.data;
        // What left so long ago would be refused as stale.
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

    /// When the next entry was last renewed that will become stale, in milliseconds since 1970.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.data
            .signed
            .values()
            .map(|entry| entry.version.updated_ms)
            .min()
    }

    /// Takes what the user says of a peer. Refused for another network's entry, for the node's own, and for that of a
    /// peer whose own word is known.
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

    /// Forgets a peer, until it is heard of again.
    pub(super) fn remove(&mut self, id: &PeerId) -> bool {
        let unsigned = Arc::make_mut(&mut self.data).unsigned.remove(id).is_some();
        self.remove_signed(id) || unsigned
    }

    /// Forgets all that the user said of peers.
    pub(super) fn clear_unsigned(&mut self) -> Vec<PeerId> {
        let unsigned = std::mem::take(&mut Arc::make_mut(&mut self.data).unsigned);
        unsigned
            .into_keys()
            .filter(|id| !self.data.signed.contains_key(id))
            .collect()
    }

    /// Changes the local entry; a change renews and signs it. False when it stays as it is.
    ///
    /// `renew` counts as a change by itself.
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
