//! The remote consumers that a producer refuses because they declare another record format.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{PeerId, channel::format::Format};

/// The maximum number of remembered consumers. Further ones are not reported.
const MISMATCHES_MAX: usize = 64;

/// The formats declared by refused nodes. A node is removed when one of its consumers is admitted.
#[derive(Debug, Default)]
pub(crate) struct Mismatches(Mutex<BTreeMap<PeerId, Format>>);

impl Mismatches {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerId, Format>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a node. Returns true if its format is new.
    pub(crate) fn note(&self, peer: PeerId, theirs: Format) -> bool {
        let mut known = self.lock();
        let has_room = known.len() < MISMATCHES_MAX || known.contains_key(&peer);
        has_room && known.insert(peer, theirs) != Some(theirs)
    }

    pub(crate) fn forget(&self, peer: &PeerId) {
        self.lock().remove(peer);
    }

    pub(super) fn list(&self) -> Vec<(PeerId, Format)> {
        let known = self.lock();
        known
            .iter()
            .map(|(peer, format)| (*peer, *format))
            .collect()
    }
}
