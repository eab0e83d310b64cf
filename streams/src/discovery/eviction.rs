//! The order in which peers are evicted from a full catalog: by how they are known, since when, and whether they are in
//! use. No I/O.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::PeerId;

/// The way in which a peer is known. Signing entries for peers that do not exist costs almost nothing, whereas a direct
/// contact requires a connection per peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    /// Reported by other nodes.
    Indirect,
    /// It has proven its key on a connection.
    Direct,
}

/// The eviction order of all peers with a signed entry.
///
/// A new peer displaces one that is known no better than itself, is not in use, and was seen longest ago. A flood of
/// indirectly known peers thus displaces only such peers, and cannot keep out one that connects directly.
#[derive(Debug, Default)]
pub(super) struct EvictionOrder {
    clock: u64,
    of: HashMap<PeerId, (Known, u64)>,
    indirect: BTreeMap<u64, PeerId>,
    direct: BTreeMap<u64, PeerId>,
    /// The number of connections per peer in use. These peers are never evicted.
    held: HashMap<PeerId, usize>,
    /// Configured peers. They are never evicted.
    named: HashSet<PeerId>,
}

impl EvictionOrder {
    pub(super) fn how(&self, peer: &PeerId) -> Option<Known> {
        self.of.get(peer).map(|(how, _)| *how)
    }

    /// Returns true if the peer is never evicted.
    pub(super) fn is_held(&self, peer: &PeerId) -> bool {
        self.held.contains_key(peer) || self.named.contains(peer)
    }

    /// Notes that a peer was added or seen again.
    pub(super) fn note(&mut self, peer: PeerId, how: Known) {
        let how = self.how(&peer).map_or(how, |before| before.max(how));
        self.forget(&peer);
        self.clock += 1;
        let since = self.clock;
        self.of.insert(peer, (how, since));
        self.queue(how).insert(since, peer);
    }

    pub(super) fn forget(&mut self, peer: &PeerId) {
        if let Some((how, since)) = self.of.remove(peer) {
            self.queue(how).remove(&since);
        }
    }

    pub(super) fn name(&mut self, peer: PeerId) {
        self.named.insert(peer);
    }

    pub(super) fn hold(&mut self, peer: PeerId) {
        *self.held.entry(peer).or_default() += 1;
    }

    pub(super) fn release(&mut self, peer: &PeerId) {
        if let Some(holds) = self.held.get_mut(peer) {
            *holds -= 1;
            if *holds == 0 {
                self.held.remove(peer);
            }
        }
    }

    /// Returns the peer to evict for one that is known in this way: first of the indirectly known ones, the one seen
    /// longest ago.
    pub(super) fn next_evicted(&self, how: Known) -> Option<PeerId> {
        self.up_to(how).find(|peer| !self.is_held(peer)).copied()
    }

    /// Returns the peers that may be evicted for one that is known in this way.
    pub(super) fn displaceable(&self, how: Known) -> impl Iterator<Item = &PeerId> {
        self.up_to(how).filter(|peer| !self.is_held(peer))
    }

    fn up_to(&self, how: Known) -> impl Iterator<Item = &PeerId> {
        let met = (how == Known::Direct).then_some(&self.direct);
        let met = met.into_iter().flat_map(BTreeMap::values);
        self.indirect.values().chain(met)
    }

    fn queue(&mut self, how: Known) -> &mut BTreeMap<u64, PeerId> {
        match how {
            Known::Indirect => &mut self.indirect,
            Known::Direct => &mut self.direct,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn peer(seed: u8) -> PeerId {
        PeerId::unchecked([seed; 32])
    }

    #[test]
    fn indirectly_known_peers_are_evicted_first_then_the_oldest_and_never_one_in_use() {
        let mut all = EvictionOrder::default();
        all.note(peer(1), Known::Direct);
        all.note(peer(2), Known::Indirect);
        all.note(peer(3), Known::Direct);
        all.note(peer(4), Known::Indirect);
        let line = |all: &EvictionOrder, how| all.displaceable(how).copied().collect::<Vec<_>>();
        assert_eq!(line(&all, Known::Indirect), [peer(2), peer(4)]);
        assert_eq!(
            line(&all, Known::Direct),
            [peer(2), peer(4), peer(1), peer(3)]
        );
        // Once known directly, a peer never counts as indirect again.
        all.note(peer(2), Known::Direct);
        all.note(peer(1), Known::Indirect);
        assert_eq!(
            line(&all, Known::Direct),
            [peer(4), peer(3), peer(2), peer(1)]
        );
        all.hold(peer(4));
        all.hold(peer(4));
        all.name(peer(3));
        assert_eq!(all.next_evicted(Known::Indirect), None);
        assert_eq!(all.next_evicted(Known::Direct), Some(peer(2)));
        all.release(&peer(4));
        assert!(all.is_held(&peer(4)));
        all.release(&peer(4));
        assert_eq!(all.next_evicted(Known::Indirect), Some(peer(4)));
        all.forget(&peer(4));
        assert_eq!(
            (all.how(&peer(4)), line(&all, Known::Indirect)),
            (None, vec![])
        );
    }
}
