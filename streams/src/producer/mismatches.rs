//! The consumers on other nodes that a producer refuses because they take its records for something else.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{PeerId, streams::Format};

/// Consumers that are remembered; of more, nothing is said.
const MISMATCHES_MAX: usize = 64;

/// What nodes take the records for, each until one of its consumers is admitted.
#[derive(Debug, Default)]
pub(crate) struct Mismatches(Mutex<BTreeMap<PeerId, Format>>);

impl Mismatches {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerId, Format>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a node. True when that is news.
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
