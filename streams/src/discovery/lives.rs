//! Distinguishes two running nodes with the same key from one node that has restarted. No I/O.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

use super::store::MAX_PEERS;

/// The maximum number of remembered runs per peer. The oldest is forgotten first.
const LIVES_MAX: usize = 4;
/// The time after a new run was first seen in which messages of an earlier run may still arrive.
const OVERLAP_MAX: Duration = Duration::from_secs(2);

/// One run of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    /// The start time in its entry, in milliseconds. Two processes may start in the same one.
    pub(super) started_ms: i64,
    /// The id of its process; `None` for plain Mosaik.
    pub(super) process: Option<[u8; 16]>,
}

/// The runs of peers seen on direct connections, the current one last. At most [`MAX_PEERS`] peers.
#[derive(Debug)]
pub(super) struct Lives<K, L>(HashMap<K, Vec<(L, Instant)>>);

impl<K, L> Default for Lives<K, L> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, L: PartialEq> Lives<K, L> {
    /// Notes a contact with one run of a peer. Returns true if another run had replaced it before, which means that two
    /// processes share the key.
    pub(super) fn meet(&mut self, peer: K, life: L, at: Instant) -> bool {
        if self.0.len() >= MAX_PEERS && !self.0.contains_key(&peer) {
            return false;
        }
        let lives = self.0.entry(peer).or_default();
        let known = lives.iter().position(|(known, _)| *known == life);
        let Some(known) = known else {
            if lives.len() == LIVES_MAX {
                lives.remove(0);
            }
            lives.push((life, at));
            return false;
        };
        let is_current = known + 1 == lives.len();
        let is_late =
            |(_, since): &(L, Instant)| at.saturating_duration_since(*since) < OVERLAP_MAX;
        if is_current || lives.last().is_some_and(is_late) {
            return false;
        }
        lives.remove(known);
        lives.push((life, at));
        true
    }

    pub(super) fn forget(&mut self, peer: &K) {
        self.0.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_one_node_and_a_life_that_returns_is_two() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut lives = Lives::default();
        let mut meet = |life, at: u32| lives.meet("peer", life, start + second * at);
        assert!(!meet(1, 0) && !meet(1, 9));
        assert!(!meet(2, 10), "a restart");
        assert!(!meet(1, 11), "sent before the restart");
        assert!(!meet(2, 12));
        assert!(meet(1, 13), "the first life still runs");
        assert!(!meet(1, 20), "alone again");
        assert!(meet(2, 21));
        for life in 3..20 {
            assert!(!meet(life, 20 + life));
        }
        assert!(!meet(2, 99), "forgotten by then");
        lives.forget(&"peer");
        assert!(lives.0.is_empty());
    }

    #[test]
    fn two_processes_that_start_in_the_same_millisecond_are_two_lives() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let life = |process| Life {
            started_ms: 1_800_000_000_000,
            process: Some([process; 16]),
        };
        let mut lives = Lives::default();
        let mut meet = |process, at: u32| lives.meet("peer", life(process), start + second * at);
        assert!(!meet(1, 0) && !meet(2, 10));
        assert!(meet(1, 20), "the first process still runs");
    }
}
