//! Who stays when the catalog is full: how each peer came to be known, since when, and whether it is in use. No I/O.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::PeerId;

/// How a peer came to be known. Signing entries for peers that are not there costs next to nothing; the other takes a
/// connection for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    /// Others told of it.
    ByHearsay,
    /// It has proved its key on a connection.
    InPerson,
}

/// The standing of all peers that signed an entry.
///
/// A newcomer takes the place of one that is known no better than itself, is not in use, and was met or heard of longest
/// ago. So a flood of strangers displaces strangers, and keeps no one out who comes in person.
#[derive(Debug, Default)]
pub(super) struct Standings {
    clock: u64,
    of: HashMap<PeerId, (Known, u64)>,
    hearsay: BTreeMap<u64, PeerId>,
    in_person: BTreeMap<u64, PeerId>,
    /// By how many connections. They stay in any case.
    held: HashMap<PeerId, usize>,
    /// Those that the user named. They stay in any case.
    named: HashSet<PeerId>,
}

impl Standings {
    pub(super) fn how(&self, peer: &PeerId) -> Option<Known> {
        self.of.get(peer).map(|(how, _)| *how)
    }

    /// Whether it stays in any case.
    pub(super) fn is_held(&self, peer: &PeerId) -> bool {
        self.held.contains_key(peer) || self.named.contains(peer)
    }

    /// A peer came in, or was met again.
    pub(super) fn note(&mut self, peer: PeerId, how: Known) {
        let how = self.how(&peer).map_or(how, |before| before.max(how));
        self.forget(&peer);
        self.clock += 1;
        let since = self.clock;
        self.of.insert(peer, (how, since));
        self.line(how).insert(since, peer);
    }

    pub(super) fn forget(&mut self, peer: &PeerId) {
        if let Some((how, since)) = self.of.remove(peer) {
            self.line(how).remove(&since);
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

    /// Who makes room for a peer that is known like this: first of those that are known least, whoever was met longest ago.
    pub(super) fn last_in_line(&self, how: Known) -> Option<PeerId> {
        self.up_to(how).find(|peer| !self.is_held(peer)).copied()
    }

    /// Those that may have to make room for a peer that is known like this.
    pub(super) fn displaceable(&self, how: Known) -> impl Iterator<Item = &PeerId> {
        self.up_to(how).filter(|peer| !self.is_held(peer))
    }

    fn up_to(&self, how: Known) -> impl Iterator<Item = &PeerId> {
        let met = (how == Known::InPerson).then_some(&self.in_person);
        let met = met.into_iter().flat_map(BTreeMap::values);
        self.hearsay.values().chain(met)
    }

    fn line(&mut self, how: Known) -> &mut BTreeMap<u64, PeerId> {
        match how {
            Known::ByHearsay => &mut self.hearsay,
            Known::InPerson => &mut self.in_person,
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
    fn the_line_goes_from_hearsay_to_those_met_longest_ago_and_leaves_out_who_is_in_use() {
        let mut all = Standings::default();
        all.note(peer(1), Known::InPerson);
        all.note(peer(2), Known::ByHearsay);
        all.note(peer(3), Known::InPerson);
        all.note(peer(4), Known::ByHearsay);
        let line = |all: &Standings, how| all.displaceable(how).copied().collect::<Vec<_>>();
        assert_eq!(line(&all, Known::ByHearsay), [peer(2), peer(4)]);
        assert_eq!(
            line(&all, Known::InPerson),
            [peer(2), peer(4), peer(1), peer(3)]
        );
        // Met in person, it is not hearsay any more, and never again.
        all.note(peer(2), Known::InPerson);
        all.note(peer(1), Known::ByHearsay);
        assert_eq!(
            line(&all, Known::InPerson),
            [peer(4), peer(3), peer(2), peer(1)]
        );
        all.hold(peer(4));
        all.hold(peer(4));
        all.name(peer(3));
        assert_eq!(all.last_in_line(Known::ByHearsay), None);
        assert_eq!(all.last_in_line(Known::InPerson), Some(peer(2)));
        all.release(&peer(4));
        assert!(all.is_held(&peer(4)));
        all.release(&peer(4));
        assert_eq!(all.last_in_line(Known::ByHearsay), Some(peer(4)));
        all.forget(&peer(4));
        assert_eq!(
            (all.how(&peer(4)), line(&all, Known::ByHearsay)),
            (None, vec![])
        );
    }
}
