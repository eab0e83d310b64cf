//! [`Recent`]: a bounded map from keys to values, limited by number and by bytes. Evicts the least recently used key
//! first.

use crate::saved::{load, save};
use lru::LruCache;
use mosaik_wasm_sdk::{Entry, Error, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The approximate memory in bytes of a key in addition to its own length: its position in the order, its table slot,
/// and its value.
pub const KEY_OVERHEAD: usize = 100;

/// The number of bytes that one key takes at most.
pub const KEY_BYTES_MAX: usize = crate::key::KEY_LEN_MAX + KEY_OVERHEAD;

/// The maximum number of keys and of their bytes, each key with [`KEY_OVERHEAD`]. There must be room for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The maximum number of keys.
    pub keys: usize,
    /// The maximum number of bytes.
    pub bytes: usize,
}

/// Keys and their values, in order of use.
#[derive(Debug)]
pub struct Recent<V> {
    bounds: Bounds,
    entries: LruCache<Box<[u8]>, Kept<V>>,
    bytes: usize,
    newest_ms: u64,
}

/// The value of a key, in memory and in saved state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept<V> {
    /// The time of the last use by the host's clock. Orders the keys of several instances.
    used_ms: u64,
    value: V,
}

impl<V> Recent<V> {
    /// Creates an empty map.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: LruCache::unbounded(),
            bytes: 0,
            newest_ms: 0,
        }
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the value of a key and marks it as used.
    pub fn touch(&mut self, key: &[u8], now_ms: u64) -> Option<&mut V> {
        let used_ms = self.at(now_ms);
        let kept = self.entries.get_mut(key)?;
        kept.used_ms = used_ms;
        Some(&mut kept.value)
    }

    /// Inserts or replaces the value of a key and marks it as used. Returns the number of evicted keys.
    pub fn insert(&mut self, key: impl Into<Box<[u8]>>, value: V, now_ms: u64) -> usize {
        let used_ms = self.at(now_ms);
        let key = key.into();
        self.bytes += size_of_key(&key);
        if let Some((replaced, _)) = self.entries.push(key, Kept { used_ms, value }) {
            self.bytes -= size_of_key(&replaced);
        }
        let mut gone = 0;
        // The inserted key stays, even if it exceeds the bounds.
        while (self.len() > self.bounds.keys || self.bytes > self.bounds.bytes) && self.len() > 1 {
            self.pop();
            gone += 1;
        }
        gone
    }

    /// Removes the least recently used keys while `may_go` accepts their values.
    pub fn forget_while(&mut self, may_go: impl Fn(&V) -> bool) {
        while let Some((_, oldest)) = self.entries.peek_lru()
            && may_go(&oldest.value)
        {
            self.pop();
        }
    }

    /// Iterates over the keys and their values, least recently used first.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        let oldest_first = self.entries.iter().rev();
        oldest_first.map(|(key, kept)| (&**key, &kept.value))
    }

    fn pop(&mut self) {
        if let Some((key, _)) = self.entries.pop_lru() {
            self.bytes -= size_of_key(&key);
        }
    }

    /// Returns the clock, which never goes backwards here, so that the order of keys equals the order of their times.
    fn at(&mut self, now_ms: u64) -> u64 {
        self.newest_ms = self.newest_ms.max(now_ms);
        self.newest_ms
    }
}

impl<V: Serialize + DeserializeOwned> Recent<V> {
    /// Saves one entry per key, least recently used first. `shape` is a hash of the settings that must not change
    /// between saving and restoring.
    ///
    /// # Errors
    /// Fails if a value cannot be saved.
    pub fn save(&self, shape: u64) -> Result<Vec<Entry>> {
        let mut entries = Vec::with_capacity(self.len());
        for (key, kept) in self.entries.iter().rev() {
            entries.push(Entry {
                key: Some(key.to_vec()),
                value: save(&(shape, kept))?,
            });
        }
        Ok(entries)
    }

    /// Restores saved keys, in any order and from any number of instances. Returns the number of keys that exceed the
    /// bounds and were dropped, least recently used first.
    ///
    /// # Errors
    /// Fails if a value cannot be read, an entry has no key, or the shape differs.
    pub fn restore(bounds: Bounds, shape: u64, entries: Vec<Entry>) -> Result<(Self, usize)> {
        let mut saved: Vec<(Vec<u8>, Kept<V>)> = Vec::with_capacity(entries.len());
        for Entry { key, value } in entries {
            let key = key.ok_or_else(|| Error::new("a part of the saved state has no key"))?;
            let (saved_shape, kept): (u64, _) = load(&value)?;
            ensure!(
                saved_shape == shape,
                "the saved state was made with another configuration"
            );
            saved.push((key, kept));
        }
        saved.sort_by_key(|(_, kept)| kept.used_ms);
        let (mut recent, mut gone) = (Self::new(bounds), 0);
        for (key, Kept { used_ms, value }) in saved {
            gone += recent.insert(key, value, used_ms);
        }
        Ok((recent, gone))
    }
}

fn size_of_key(key: &[u8]) -> usize {
    key.len() + KEY_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bounds(keys: usize, bytes: usize) -> Bounds {
        Bounds { keys, bytes }
    }

    fn list(recent: &Recent<u32>) -> Vec<(Vec<u8>, u32)> {
        recent
            .iter()
            .map(|(key, value)| (key.to_vec(), *value))
            .collect()
    }

    #[test]
    fn a_key_larger_than_all_bounds_is_held_alone() {
        let mut recent = Recent::new(bounds(10, 300));
        assert_eq!(recent.insert(*b"a", 1, 0), 0);
        assert_eq!(recent.insert(*b"b", 2, 0), 0);
        assert_eq!(recent.insert(vec![0; 1000], 3, 0), 2);
        assert_eq!(recent.len(), 1);
        assert_eq!(recent.insert(*b"a", 4, 0), 1);
        assert_eq!(list(&recent), [(b"a".to_vec(), 4)]);
    }

    #[test]
    fn keys_of_several_instances_are_put_in_one_order() {
        let (mut one, mut two) = (Recent::new(bounds(9, 9999)), Recent::new(bounds(9, 9999)));
        one.insert(*b"a", 1, 10);
        two.insert(*b"b", 2, 15);
        one.insert(*b"c", 3, 20);
        // The clock has gone backwards.
        two.insert(*b"d", 4, 12);
        let entries = [one.save(7).unwrap(), two.save(7).unwrap()].concat();
        let (all, gone) = Recent::<u32>::restore(bounds(3, 9999), 7, entries).unwrap();
        assert_eq!(gone, 1);
        let keys: Vec<&[u8]> = all.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"b", b"d", b"c"]);

        let others = one.save(8).unwrap();
        let error = Recent::<u32>::restore(bounds(3, 9999), 7, others).unwrap_err();
        assert!(error.reason().contains("another configuration"));
        let keyless = Entry {
            key: None,
            value: Vec::new(),
        };
        assert!(Recent::<u32>::restore(bounds(3, 9999), 7, vec![keyless]).is_err());
        let broken = Entry {
            key: Some(Vec::new()),
            value: vec![255; 3],
        };
        let error = Recent::<u32>::restore(bounds(3, 9999), 7, vec![broken]).unwrap_err();
        assert!(error.reason().starts_with("failed to read the saved state"));
    }

    proptest! {
        #[test]
        fn as_a_list_that_is_searched(
            uses in prop::collection::vec((0u8..12, any::<bool>(), 0u64..3), 0..80),
            keys_max in 1usize..8, bytes_max in 100usize..700, at in 0usize..80,
        ) {
            let bounds = bounds(keys_max, bytes_max);
            let mut recent = Recent::<u32>::new(bounds);
            // Oldest first.
            let mut model: Vec<(Vec<u8>, u32)> = Vec::new();
            let mut now_ms = 0;
            for (index, (key, insert, passed_ms)) in uses.into_iter().enumerate() {
                now_ms += passed_ms;
                // The length depends on the key.
                let key = vec![key; usize::from(key) * 5];
                let known = model.iter().position(|(known, _)| *known == key);
                let value = index as u32;
                if insert {
                    if let Some(place) = known {
                        model.remove(place);
                    }
                    model.push((key.clone(), value));
                    let before = model.len();
                    while model.len() > 1 && (model.len() > keys_max || model.iter().map(|(key, _)| key.len() + KEY_OVERHEAD).sum::<usize>() > bytes_max) {
                        model.remove(0);
                    }
                    prop_assert_eq!(recent.insert(key, value, now_ms), before - model.len());
                } else {
                    let found = known.map(|place| model.remove(place));
                    prop_assert_eq!(recent.touch(&key, now_ms).copied(), found.as_ref().map(|(_, value)| *value));
                    model.extend(found);
                }
                prop_assert_eq!(list(&recent), model.clone());
                if index == at {
                    let (taken_up, gone) = Recent::restore(bounds, 7, recent.save(7).unwrap()).unwrap();
                    prop_assert_eq!(gone, 0);
                    recent = taken_up;
                }
            }
        }
    }
}
