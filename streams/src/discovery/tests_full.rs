//! Eviction and admission in a full catalog.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::{
    eviction::Known::{Direct, Indirect},
    store::Store,
    *,
};
use crate::{Digest, EndpointAddr, PeerId, SecretKey};

/// The time of all entries; the value is arbitrary.
const NOW: i64 = 1_800_000_000_000;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32])
}

fn id(seed: u8) -> PeerId {
    static ALL: LazyLock<Vec<PeerId>> =
        LazyLock::new(|| (0..=u8::MAX).map(|seed| key(seed).public()).collect());
    ALL[usize::from(seed)]
}

fn entry_with_tags(seed: u8, change: i64, tags: u32) -> SignedPeerEntry {
    let mut entry = PeerEntry::new("net", EndpointAddr::from(id(seed)));
    entry.version = PeerEntryVersion {
        started_ms: NOW,
        updated_ms: NOW + change,
    };
    entry.tags = (0..tags)
        .map(|tag| Digest::hash(tag.to_le_bytes()))
        .collect();
    entry.sign(&key(seed)).unwrap()
}

fn entry(seed: u8) -> SignedPeerEntry {
    entry_with_tags(seed, 0, 0)
}

fn store(max_peers: usize, max_len: usize) -> Store {
    let config = Config::default();
    Store::new(entry(0), config.purge_after, config.max_time_drift).with_max(max_peers, max_len)
}

fn peers(store: &Store) -> Vec<u8> {
    let catalog = store.catalog();
    (1..=u8::MAX)
        .filter(|seed| catalog.0.signed.contains_key(&id(*seed)))
        .collect()
}

#[test]
fn indirect_peers_displace_indirect_ones_and_direct_peers_displace_either() {
    let mut store = store(3, usize::MAX);
    for (seed, how) in [(1, Direct), (2, Indirect), (3, Indirect)] {
        store.merge(entry(seed), how, NOW).unwrap();
    }
    store.merge(entry(4), Indirect, NOW).unwrap();
    assert_eq!(
        (peers(&store), store.take_displaced()),
        (vec![1, 3, 4], vec![id(2)])
    );
    store.merge(entry(5), Direct, NOW).unwrap();
    store.merge(entry(6), Direct, NOW).unwrap();
    assert_eq!(peers(&store), [1, 5, 6]);
    // Any number of entries of peers that may not exist does not displace directly known peers.
    assert_eq!(store.merge(entry(7), Indirect, NOW), Err(Refusal::Full));
    // Of these, the peer seen longest ago is evicted first.
    store.met(&id(1));
    store.merge(entry(7), Direct, NOW).unwrap();
    assert_eq!(peers(&store), [1, 6, 7]);
    assert_eq!((store.displaced(), store.refused(Refusal::Full)), (4, 1));
    // Updates need no room.
    store
        .merge(entry_with_tags(6, 1, 0), Indirect, NOW)
        .unwrap();
    assert_eq!((peers(&store), store.displaced()), (vec![1, 6, 7], 4));
}

#[test]
fn who_is_in_use_or_named_stays_and_comes_in() {
    let mut store = store(2, usize::MAX);
    store.merge(entry(1), Indirect, NOW).unwrap();
    store.merge(entry(2), Direct, NOW).unwrap();
    store.eviction().hold(id(1));
    for seed in 3..100 {
        store.merge(entry(seed), Direct, NOW).unwrap();
    }
    assert_eq!(peers(&store), [1, 99]);
    // A configured peer is admitted even if known only indirectly.
    store.eviction().name(id(100));
    store.merge(entry(100), Indirect, NOW).unwrap();
    assert_eq!(peers(&store), [1, 100]);
    assert_eq!(store.merge(entry(101), Direct, NOW), Err(Refusal::Full));
    store.eviction().release(&id(1));
    store.merge(entry(101), Direct, NOW).unwrap();
    assert_eq!(peers(&store), [100, 101]);
}

#[test]
fn for_want_of_bytes_the_largest_make_room_and_small_ones_always_come_in() {
    let small = entry(1).encoded_len();
    let large = entry_with_tags(2, 0, 40).encoded_len();
    let mut store = store(100, 2 * large + 2 * small);
    store.merge(entry(1), Direct, NOW).unwrap();
    for seed in 2..4 {
        store
            .merge(entry_with_tags(seed, 0, 40), Direct, NOW)
            .unwrap();
    }
    store.merge(entry(4), Indirect, NOW).unwrap();
    let refused = store.merge(entry_with_tags(5, 0, 41), Direct, NOW);
    assert_eq!(refused, Err(Refusal::Full), "the largest of all");
    let refused = store.merge(entry_with_tags(5, 0, 30), Indirect, NOW);
    assert_eq!(refused, Err(Refusal::Full), "known less well");
    store.merge(entry_with_tags(5, 0, 39), Direct, NOW).unwrap();
    assert_eq!((peers(&store).len(), store.take_displaced().len()), (4, 1));
    // An entry that grows needs room like a new one.
    let refused = store.merge(entry_with_tags(4, 1, 60), Direct, NOW);
    assert_eq!(refused, Err(Refusal::Full));
    for seed in 10..16 {
        store.merge(entry(seed), Direct, NOW).unwrap();
    }
    assert!(peers(&store).ends_with(&[10, 11, 12, 13, 14, 15]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn bounds_hold_and_nobody_in_use_goes_whatever_comes(
        steps in prop::collection::vec((1u8..40, 0i64..4, 0u32..30, 0u8..5), 1..200),
    ) {
        const MAX_PEERS: usize = 12;
        const MAX_LEN: usize = 6000;
        let mut store = store(MAX_PEERS, MAX_LEN);
        let mut held = std::collections::BTreeSet::new();
        for (seed, change, tags, what) in steps {
            let how = if what == 0 { Indirect } else { Direct };
            match what {
                0..3 => {
                    let _ = store.merge(entry_with_tags(seed, change, tags), how, NOW);
                }
                3 if store.catalog().0.signed.contains_key(&id(seed)) && held.insert(seed) => {
                    store.eviction().hold(id(seed));
                }
                _ if held.remove(&seed) => store.eviction().release(&id(seed)),
                _ => {}
            }
            let there = peers(&store);
            prop_assert!(there.len() <= MAX_PEERS);
            prop_assert!(held.iter().all(|seed| there.contains(seed)));
            let catalog = store.catalog();
            let len: usize = catalog.0.signed.values().map(|entry| entry.encoded_len()).sum();
            prop_assert!(len <= MAX_LEN);
            for seed in there {
                prop_assert!(store.how(&id(seed)).is_some());
            }
        }
    }
}
