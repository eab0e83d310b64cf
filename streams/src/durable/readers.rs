//! [`Readers`]: the consumers on other nodes that read a durable stream, remembered over restarts.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::time::{from_millis, millis};
use crate::{PeerId, UniqueId};

/// The name of the file in the folder of the log.
pub(super) const FILE: &str = "readers.json";
/// The maximum number of remembered readers. At the limit, the one that was connected longest ago is forgotten.
const READERS_MAX: usize = 1024;

/// Identifies a reader: its node and the name of its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReaderId {
    pub(crate) peer: PeerId,
    pub(crate) subscription: UniqueId,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Every record before this position is taken.
    pub(super) confirmed: u64,
    /// When it was connected last.
    pub(super) seen: SystemTime,
    /// The number of its connections.
    pub(super) connections: usize,
}

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    known: Mutex<BTreeMap<ReaderId, Known>>,
    is_changed: AtomicBool,
}

/// A reader as stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    peer: String,
    subscription: String,
    confirmed: u64,
    /// Milliseconds since 1970.
    seen: u64,
}

impl Readers {
    /// Reads the readers of an earlier process. A file that cannot be read counts as empty: readers then begin as new
    /// ones.
    pub(super) fn load(path: PathBuf) -> Self {
        let stored = fs::read(&path).ok();
        let stored = stored.and_then(|bytes| serde_json::from_slice::<Vec<Stored>>(&bytes).ok());
        let known = stored.unwrap_or_default().into_iter().filter_map(|stored| {
            let id = ReaderId {
                peer: stored.peer.parse().ok()?,
                subscription: UniqueId::from(stored.subscription.as_str()),
            };
            let known = Known {
                confirmed: stored.confirmed,
                seen: from_millis(stored.seen)?,
                connections: 0,
            };
            Some((id, known))
        });
        Self {
            path,
            known: Mutex::new(known.collect()),
            is_changed: AtomicBool::new(false),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<ReaderId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the position that a reader confirmed last.
    pub(super) fn confirmed(&self, id: &ReaderId) -> Option<u64> {
        self.known().get(id).map(|known| known.confirmed)
    }

    /// Notes that a reader has connected at a position.
    pub(super) fn connect(&self, id: ReaderId, position: u64) {
        let mut known = self.known();
        let reader = known.entry(id).or_insert(Known {
            confirmed: position,
            seen: SystemTime::now(),
            connections: 0,
        });
        reader.confirmed = position;
        reader.connections += 1;
        reader.seen = SystemTime::now();
        if known.len() > READERS_MAX {
            let away = known.iter().filter(|(_, reader)| reader.connections == 0);
            let oldest = away
                .min_by_key(|(_, reader)| reader.seen)
                .map(|(id, _)| *id);
            oldest.and_then(|id| known.remove(&id));
        }
        self.is_changed.store(true, Ordering::Release);
    }

    /// Notes that a reader has taken every record before a position.
    pub(super) fn confirm(&self, id: &ReaderId, position: u64) {
        if let Some(reader) = self.known().get_mut(id) {
            reader.confirmed = position;
            reader.seen = SystemTime::now();
            self.is_changed.store(true, Ordering::Release);
        }
    }

    /// Notes that a connection of a reader is over.
    pub(super) fn disconnect(&self, id: &ReaderId) {
        if let Some(reader) = self.known().get_mut(id) {
            reader.connections = reader.connections.saturating_sub(1);
            reader.seen = SystemTime::now();
            self.is_changed.store(true, Ordering::Release);
        }
    }

    /// Forgets the readers that were not connected for this time.
    pub(super) fn expire(&self, age: Duration) {
        let now = SystemTime::now();
        let is_old = |reader: &Known| {
            now.duration_since(reader.seen)
                .is_ok_and(|since| since > age)
        };
        let mut known = self.known();
        let before = known.len();
        known.retain(|_, reader| reader.connections > 0 || !is_old(reader));
        if known.len() < before {
            self.is_changed.store(true, Ordering::Release);
        }
    }

    pub(super) fn list(&self) -> Vec<(ReaderId, Known)> {
        self.known()
            .iter()
            .map(|(id, known)| (*id, *known))
            .collect()
    }

    /// Writes the readers, if they have changed. They need no sync: an earlier position only repeats records.
    pub(super) fn store(&self) -> io::Result<()> {
        if !self.is_changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let stored = self.list().into_iter().map(|(id, known)| Stored {
            peer: id.peer.to_string(),
            subscription: format!("{:?}", id.subscription),
            confirmed: known.confirmed,
            seen: millis(known.seen),
        });
        let bytes = serde_json::to_vec(&stored.collect::<Vec<_>>())?;
        let temporary = self.path.with_extension("tmp");
        fs::write(&temporary, bytes)?;
        fs::rename(&temporary, &self.path)
    }
}
