//! [`Catalog`]: a snapshot of the known nodes. No I/O.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    NetworkId, PeerId,
    peer::{PeerEntry, SignedPeerEntry, now_ms},
};

/// A snapshot of the known nodes of a network. Cheap to clone.
///
/// Entries that were not renewed within the purge time are hidden, even before they are removed.
#[derive(Clone)]
pub struct Catalog(pub(super) Arc<Data>);

#[derive(Clone)]
pub(super) struct Data {
    pub(super) local: Arc<SignedPeerEntry>,
    /// Signed entries of other nodes.
    pub(super) signed: BTreeMap<PeerId, Arc<SignedPeerEntry>>,
    /// Entries of other nodes that the application inserted.
    pub(super) unsigned: BTreeMap<PeerId, Arc<PeerEntry>>,
    pub(super) purge_after: Duration,
}

impl Data {
    /// Returns true if an entry renewed at `updated_ms` is too old at `now`.
    pub(super) fn is_stale(&self, updated_ms: i64, now: i64) -> bool {
        let purge_after = i64::try_from(self.purge_after.as_millis()).unwrap_or(i64::MAX);
        now.saturating_sub(updated_ms) > purge_after
    }
}

impl Catalog {
    /// Returns the id of this node.
    pub fn local_id(&self) -> PeerId {
        *self.0.local.id()
    }

    /// Returns the id of the network.
    pub fn network_id(&self) -> NetworkId {
        *self.0.local.network_id()
    }

    /// Returns a peer's entry, including the local one. Prefers a signed entry to an inserted one.
    pub fn get(&self, id: &PeerId) -> Option<&PeerEntry> {
        if id == self.0.local.id() {
            return Some(&self.0.local);
        }
        self.get_signed(id)
            .map(|signed| &**signed)
            .or_else(|| self.0.unsigned.get(id).map(AsRef::as_ref))
    }

    /// Returns a peer's signed entry, if it is known and not stale.
    pub fn get_signed(&self, id: &PeerId) -> Option<&SignedPeerEntry> {
        let signed = self.0.signed.get(id)?;
        (!self.0.is_stale(signed.version.updated_ms, now_ms())).then_some(signed)
    }

    /// Returns this node's own entry.
    pub fn local(&self) -> &SignedPeerEntry {
        &self.0.local
    }

    /// Returns the entries of all other peers: the signed ones, then the unsigned ones, each sorted by id.
    pub fn peers(&self) -> impl DoubleEndedIterator<Item = &PeerEntry> {
        let unsigned = self
            .unsigned_peers()
            .filter(|entry| self.get_signed(entry.id()).is_none());
        self.signed_peers().map(|signed| &**signed).chain(unsigned)
    }

    /// Returns the number of other peers.
    pub fn peers_count(&self) -> usize {
        self.peers().count()
    }

    /// Returns the signed entries of other peers, sorted by id.
    pub fn signed_peers(&self) -> impl DoubleEndedIterator<Item = &SignedPeerEntry> {
        let now = now_ms();
        let fresh =
            move |signed: &&Arc<SignedPeerEntry>| !self.0.is_stale(signed.version.updated_ms, now);
        self.0.signed.values().filter(fresh).map(AsRef::as_ref)
    }

    /// Returns the inserted entries of other peers, sorted by id. They do not become stale.
    pub fn unsigned_peers(&self) -> impl DoubleEndedIterator<Item = &PeerEntry> {
        self.0.unsigned.values().map(AsRef::as_ref)
    }

    /// Returns the entries of all peers, the local one first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &PeerEntry> {
        std::iter::once(&**self.0.local).chain(self.peers())
    }

    /// Returns the signed entries of all peers, the local one first.
    pub fn iter_signed(&self) -> impl DoubleEndedIterator<Item = &SignedPeerEntry> {
        std::iter::once(&*self.0.local).chain(self.signed_peers())
    }

    /// Returns the number of other peers with a signed entry.
    pub fn signed_peers_count(&self) -> usize {
        self.signed_peers().count()
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
