//! What a node knows of the others, as of one moment. No I/O.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::entry::{PeerEntry, SignedPeerEntry, now_ms};
use crate::{NetworkId, PeerId};

/// What a node knew of its network at one moment. A clone is cheap and stays as it is.
///
/// Entries that were not renewed for the purge time are hidden, even before they are removed.
#[derive(Clone)]
pub struct Catalog(pub(super) Arc<Data>);

#[derive(Clone)]
pub(super) struct Data {
    pub(super) local: Arc<SignedPeerEntry>,
    /// Of others, by what they signed.
    pub(super) signed: BTreeMap<PeerId, Arc<SignedPeerEntry>>,
    /// Of others, by what this node was told by its user.
    pub(super) unsigned: BTreeMap<PeerId, Arc<PeerEntry>>,
    pub(super) purge_after: Duration,
}

impl Data {
    /// Whether an entry renewed at `updated_ms` is too old at `now`.
    pub(super) fn is_stale(&self, updated_ms: i64, now: i64) -> bool {
        let purge_after = i64::try_from(self.purge_after.as_millis()).unwrap_or(i64::MAX);
        now.saturating_sub(updated_ms) > purge_after
    }
}

impl Catalog {
    /// This node.
    pub fn local_id(&self) -> PeerId {
        *self.0.local.id()
    }

    /// The network whose nodes these are.
    pub fn network_id(&self) -> NetworkId {
        *self.0.local.network_id()
    }

    /// A peer's entry, the local one included; what it signed goes before what this node was told.
    pub fn get(&self, id: &PeerId) -> Option<&PeerEntry> {
        if id == self.0.local.id() {
            return Some(&self.0.local);
        }
        self.get_signed(id)
            .map(|signed| &**signed)
            .or_else(|| self.0.unsigned.get(id).map(AsRef::as_ref))
    }

    /// What a peer signed, if it is known and not stale.
    pub fn get_signed(&self, id: &PeerId) -> Option<&SignedPeerEntry> {
        let signed = self.0.signed.get(id)?;
        (!self.0.is_stale(signed.version.updated_ms, now_ms())).then_some(signed)
    }

    /// This node's own entry.
    pub fn local(&self) -> &SignedPeerEntry {
        &self.0.local
    }

    /// The entries of all other peers, by id within each kind: first those that are signed.
    pub fn peers(&self) -> impl DoubleEndedIterator<Item = &PeerEntry> {
        let unsigned = self
            .unsigned_peers()
            .filter(|entry| self.get_signed(entry.id()).is_none());
        self.signed_peers().map(|signed| &**signed).chain(unsigned)
    }

    /// How many other peers there are.
    pub fn peers_count(&self) -> usize {
        self.peers().count()
    }

    /// What other peers have signed, by id.
    pub fn signed_peers(&self) -> impl DoubleEndedIterator<Item = &SignedPeerEntry> {
        let now = now_ms();
        let fresh =
            move |signed: &&Arc<SignedPeerEntry>| !self.0.is_stale(signed.version.updated_ms, now);
        self.0.signed.values().filter(fresh).map(AsRef::as_ref)
    }

    /// What this node was told of other peers, by id. It does not become stale.
    pub fn unsigned_peers(&self) -> impl DoubleEndedIterator<Item = &PeerEntry> {
        self.0.unsigned.values().map(AsRef::as_ref)
    }

    /// The entries of all peers, the local one first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &PeerEntry> {
        std::iter::once(&**self.0.local).chain(self.peers())
    }

    /// What all peers have signed, the local one first.
    pub fn iter_signed(&self) -> impl DoubleEndedIterator<Item = &SignedPeerEntry> {
        std::iter::once(&*self.0.local).chain(self.signed_peers())
    }

    /// How many other peers there are whose entry is signed.
    pub fn signed_peers_count(&self) -> usize {
        self.signed_peers().count()
    }
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
