//! [`Side`]: the waiting records of one side, by key and by time.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The time of a record in ms, and its number in the order of arrival.
pub(crate) type At = (i64, u64);

/// A key, as JSON.
pub(crate) type Key = Rc<[u8]>;

/// A waiting record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub(crate) datum: Box<[u8]>,
    /// True if it has found a match.
    pub(crate) matched: bool,
    /// The time of arrival by the host's clock.
    pub(crate) arrived_ms: u64,
}

/// The records of one side.
#[derive(Debug, Default)]
pub(crate) struct Side {
    by_key: BTreeMap<(Key, At), Held>,
    /// All records, oldest first.
    order: BTreeSet<(At, Key)>,
    bytes: usize,
    /// A lower bound of the arrival times by the host's clock.
    arrived_since_ms: u64,
}

impl Side {
    /// Returns the number of records.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns the bytes of the records.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn insert(&mut self, key: &Key, at: At, held: Held) {
        if self.order.is_empty() {
            self.arrived_since_ms = held.arrived_ms;
        }
        self.arrived_since_ms = self.arrived_since_ms.min(held.arrived_ms);
        self.bytes += held.datum.len();
        self.order.insert((at, Rc::clone(key)));
        self.by_key.insert((Rc::clone(key), at), held);
    }

    pub(crate) fn remove(&mut self, key: &Key, at: At) -> Option<Held> {
        let removed = self.by_key.remove(&(Rc::clone(key), at))?;
        self.order.remove(&(at, Rc::clone(key)));
        self.bytes -= removed.datum.len();
        Some(removed)
    }

    /// Returns the first record of a key from `from` on that is not newer than `to_ms`.
    pub(crate) fn next(&mut self, key: &Key, from: At, to_ms: i64) -> Option<(At, &mut Held)> {
        let mut range = self.by_key.range_mut((Rc::clone(key), from)..);
        let ((found, at), held) = range.next()?;
        (found == key && at.0 <= to_ms).then_some((*at, held))
    }

    pub(crate) fn get_mut(&mut self, key: &Key, at: At) -> Option<&mut Held> {
        self.by_key.get_mut(&(Rc::clone(key), at))
    }

    /// Returns the oldest record.
    pub(crate) fn oldest(&self) -> Option<(At, Key)> {
        self.order.first().cloned()
    }

    /// Iterates over all records, by key and then oldest first.
    pub(crate) fn by_key(&self) -> impl Iterator<Item = (&Key, &At, &Held)> {
        self.by_key.iter().map(|((key, at), held)| (key, at, held))
    }

    /// Returns the records that arrived at or before this time by the host's clock, oldest first. Scans all records
    /// only if there may be one.
    pub(crate) fn arrived_by(&mut self, clock_ms: u64) -> Vec<(At, Key)> {
        if self.order.is_empty() || self.arrived_since_ms > clock_ms {
            return Vec::new();
        }
        let mut since = u64::MAX;
        let mut found = Vec::new();
        for (at, key) in &self.order {
            let Some(held) = self.by_key.get(&(Rc::clone(key), *at)) else {
                continue;
            };
            if held.arrived_ms <= clock_ms {
                found.push((*at, Rc::clone(key)));
            } else {
                since = since.min(held.arrived_ms);
            }
        }
        self.arrived_since_ms = since;
        found
    }
}
