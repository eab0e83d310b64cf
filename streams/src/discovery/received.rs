//! Entries and departures received from peers: verifies them, merges them into the catalog, and emits the changes.

use super::{
    event::Event,
    eviction::Known,
    shared::Shared,
    store::{Merged, Refusal},
};
use crate::{
    PeerId,
    peer::{PeerEntry, PeerEntryVersion, SignedPeerEntry, Unverified, now_ms},
};

/// The number of entries merged before the task yields.
const BATCH: usize = 64;
/// The number of invalid signatures at which a snapshot is rejected as malicious.
const BAD_SIGNATURES_MAX: usize = 16;

impl Shared {
    /// Checks a received entry, and verifies its signature only if it is otherwise acceptable. Counts refusals.
    pub(super) fn verify(&self, entry: Unverified, how: Known) -> Result<SignedPeerEntry, Refusal> {
        self.store().wants(&entry.entry, how, now_ms())?;
        // Without the lock, which would otherwise be held for each signature.
        entry.verify().map_err(|_| {
            self.store().count(Refusal::BadSignature);
            Refusal::BadSignature
        })
    }

    /// Merges entries received from a peer, and returns the changes; `None` if too many signatures are invalid.
    pub(super) async fn merge(
        &self,
        entries: Vec<Unverified>,
        from: &PeerId,
    ) -> Option<Vec<Merged>> {
        let (mut merged, mut bad) = (Vec::new(), 0);
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let mut batch = Vec::new();
            for entry in entries.by_ref().take(BATCH) {
                let how = if entry.entry.id() == from {
                    Known::Direct
                } else {
                    Known::Indirect
                };
                match self.verify(entry, how) {
                    Ok(entry) => batch.push((entry, how)),
                    Err(Refusal::BadSignature) => bad += 1,
                    Err(_) => {}
                }
            }
            merged.extend(self.merge_verified(batch));
            if bad >= BAD_SIGNATURES_MAX {
                return None;
            }
            tokio::task::yield_now().await;
        }
        // Also if the entry was known from others.
        self.store().met(from);
        Some(merged)
    }

    pub(super) fn merge_verified(&self, entries: Vec<(SignedPeerEntry, Known)>) -> Vec<Merged> {
        let (merged, displaced) = {
            let mut store = self.store();
            let now = now_ms();
            let merged: Vec<_> = entries
                .into_iter()
                .filter_map(|(entry, how)| store.merge(entry, how, now).ok())
                .collect();
            if !merged.is_empty() {
                self.publish(&store);
            }
            let mut displaced = store.take_displaced();
            // A displaced peer may have been added again in the meantime.
            displaced.retain(|peer| store.how(peer).is_none());
            (merged, displaced)
        };
        for change in &merged {
            self.emit(match change {
                Merged::Discovered(entry) => Event::PeerDiscovered(PeerEntry::clone(entry)),
                Merged::Updated { entry, .. } => Event::PeerUpdated(PeerEntry::clone(entry)),
            });
        }
        for peer in displaced {
            self.forget(&peer);
            self.emit(Event::PeerDeparted(peer));
        }
        merged
    }

    /// Removes a peer that has left, unless a later version of its entry is known.
    pub(super) fn depart(&self, peer: &PeerId, version: PeerEntryVersion) {
        let departed = {
            let mut store = self.store();
            let departed = store.depart(peer, version);
            if departed {
                self.publish(&store);
            }
            departed
        };
        if departed {
            self.emit_departed(*peer);
        }
    }

    /// Drops the state about a peer that was removed from the catalog, and emits the event.
    pub(super) fn emit_departed(&self, peer: PeerId) {
        self.forget(&peer);
        self.emit(Event::PeerDeparted(peer));
    }
}
