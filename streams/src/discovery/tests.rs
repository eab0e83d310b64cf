//! The catalog's rules one by one, and handwritten bytes of the protocols.

use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    eviction::Known::Direct,
    store::{Merged, Store},
    wire::{self, Purpose, Snapshot},
    *,
};
use crate::{
    Digest, EndpointAddr, SecretKey, Signature,
    peer::{CustomAddress, PeerEntryVersion, Ticket, Transport, Unverified, now_ms},
};

const NOW: i64 = 1_800_000_000_000;
const PURGE: Duration = Duration::from_mins(5);
const DRIFT: Duration = Duration::from_secs(50);

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32])
}

fn entry(seed: u8, started_ms: i64, updated_ms: i64) -> SignedPeerEntry {
    let addr = EndpointAddr::new(key(seed).public(), [SocketAddr::from(([127, 0, 0, 1], 9))]);
    let mut entry = PeerEntry::new("net", addr);
    entry.version = PeerEntryVersion {
        started_ms,
        updated_ms,
    };
    entry.sign(&key(seed)).unwrap()
}

fn store() -> Store {
    Store::new(entry(0, NOW, NOW), PURGE, DRIFT)
}

fn forged(of: SignedPeerEntry) -> Unverified {
    let mut bytes = postcard::to_stdvec(&of).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    postcard::from_bytes(&bytes).unwrap()
}

mod rules {
    use super::*;

    #[test]
    fn a_new_peer_is_discovered_a_newer_entry_updates_and_a_later_life_is_told() {
        let mut store = store();
        let first = entry(1, NOW, NOW);
        assert!(
            matches!(store.merge(first.clone(), Direct, NOW), Ok(Merged::Discovered(e)) if *e == first)
        );
        let renewed = store.merge(entry(1, NOW, NOW + 1), Direct, NOW).unwrap();
        assert!(matches!(
            renewed,
            Merged::Updated {
                restarted: false,
                ..
            }
        ));
        let restarted = store
            .merge(entry(1, NOW + 2, NOW + 2), Direct, NOW)
            .unwrap();
        assert!(matches!(
            restarted,
            Merged::Updated {
                restarted: true,
                ..
            }
        ));
    }

    #[test]
    fn a_lower_or_equal_version_changes_nothing() {
        let mut store = store();
        store.merge(entry(1, NOW, NOW + 5), Direct, NOW).unwrap();
        for (started, updated) in [(NOW, NOW + 5), (NOW, NOW + 4), (NOW - 1, NOW + 9)] {
            assert_eq!(
                store.merge(entry(1, started, updated), Direct, NOW),
                Err(Refusal::NotNewer)
            );
        }
        assert_eq!(store.refused(Refusal::NotNewer), 3);
    }

    #[test]
    fn another_networks_entry_is_refused() {
        let mut store = store();
        let foreign = PeerEntry::new("other", key(1).public().into())
            .sign(&key(1))
            .unwrap();
        let now = foreign.update_version().updated_ms;
        assert_eq!(
            store.merge(foreign.clone(), Direct, now),
            Err(Refusal::ForeignNetwork)
        );
        assert_eq!(
            store.insert_unsigned(foreign.into_unsigned()),
            Err(Refusal::ForeignNetwork)
        );
    }

    #[test]
    fn an_entry_with_a_bad_signature_cannot_be_held() {
        let forged = forged(entry(1, NOW, NOW));
        assert_eq!(store().wants(&forged.entry, Direct, NOW), Ok(()));
        assert_eq!(forged.verify(), Err(InvalidSignature(key(1).public())));
        let good = entry(1, NOW, NOW);
        assert_eq!(Unverified::from(good.clone()).verify(), Ok(good.clone()));
        let mut bytes = postcard::to_stdvec(&good).unwrap();
        assert_eq!(
            postcard::from_bytes::<SignedPeerEntry>(&bytes),
            Ok(good.clone())
        );
        bytes[10] ^= 1;
        assert!(postcard::from_bytes::<SignedPeerEntry>(&bytes).is_err());
        assert_eq!(
            good.into_unsigned().sign(&key(2)),
            Err(InvalidSignature(key(1).public()))
        );
    }

    #[test]
    fn what_is_too_old_is_refused_and_later_forgotten() {
        let mut store = store();
        let oldest = NOW - 300_000;
        assert_eq!(
            store.merge(entry(1, 0, oldest - 1), Direct, NOW),
            Err(Refusal::Stale)
        );
        assert_eq!(
            store.merge(entry(1, i64::MIN, i64::MIN), Direct, NOW),
            Err(Refusal::Stale)
        );
        assert!(store.merge(entry(1, 0, oldest), Direct, NOW).is_ok());
        assert_eq!(store.oldest(), Some(oldest));
        assert_eq!(store.purge(NOW), []);
        assert_eq!(store.purge(NOW + 1), [key(1).public()]);
        assert_eq!(store.oldest(), None);
    }

    #[test]
    fn what_is_dated_too_far_ahead_is_refused() {
        let mut store = store();
        for (started, updated) in [(NOW, NOW + 50_001), (i64::MAX, NOW), (i64::MAX, i64::MAX)] {
            assert_eq!(
                store.merge(entry(1, started, updated), Direct, NOW),
                Err(Refusal::FutureDated)
            );
        }
        assert!(
            store
                .merge(entry(1, NOW, NOW + 50_000), Direct, NOW)
                .is_ok()
        );
    }

    #[test]
    fn the_local_entry_is_never_overwritten() {
        let mut store = store();
        let before = store.catalog().local().clone();
        assert_eq!(
            store.merge(entry(0, NOW + 1, NOW + 1), Direct, NOW),
            Err(Refusal::Local)
        );
        assert_eq!(
            store.insert_unsigned(before.clone().into()),
            Err(Refusal::Local)
        );
        assert_eq!(*store.catalog().local(), before);
        assert!(!store.update_local(&key(0), false, |_| ()));
        assert!(store.update_local(&key(0), false, |entry| _ = entry.tags.insert("t".into())));
        assert!(store.catalog().local().update_version() > before.update_version());
    }

    #[test]
    fn a_replay_does_not_bring_back_who_has_left() {
        let mut store = store();
        let known = entry(1, NOW, NOW + 2);
        assert!(
            !store.depart(known.id(), known.update_version()),
            "nobody leaves who is not known"
        );
        store.merge(known.clone(), Direct, NOW).unwrap();
        assert!(store.depart(
            known.id(),
            PeerEntryVersion {
                started_ms: NOW,
                updated_ms: NOW + 7
            }
        ));
        assert_eq!(store.merge(known, Direct, NOW), Err(Refusal::Departed));
        assert_eq!(
            store.merge(entry(1, NOW, NOW + 7), Direct, NOW),
            Err(Refusal::Departed)
        );
        assert!(store.merge(entry(1, NOW + 8, NOW + 8), Direct, NOW).is_ok());
    }

    #[test]
    fn a_huge_entry_is_refused() {
        let mut huge = entry(1, NOW, NOW).into_unsigned();
        huge.tags = (0..=MAX_ENTRY_LEN as u32 / 32)
            .map(|n| Digest::hash(n.to_le_bytes()))
            .collect();
        assert_eq!(
            store().merge(huge.sign(&key(1)).unwrap(), Direct, NOW),
            Err(Refusal::TooLarge)
        );
    }

    #[test]
    fn reads_hide_what_is_stale_and_what_is_signed_replaces_what_was_told() {
        let now = now_ms();
        let mut store = Store::new(entry(0, now, now), PURGE, DRIFT);
        // Stale now, although it was not when it arrived.
        store
            .merge(
                entry(1, now - 400_000, now - 400_000),
                Direct,
                now - 400_000,
            )
            .unwrap();
        store.insert_unsigned(entry(2, 5, 5).into()).unwrap();
        assert_eq!(store.catalog().unsigned_peers().count(), 1);
        store.merge(entry(2, now, now), Direct, now).unwrap();
        assert_eq!(store.catalog().unsigned_peers().count(), 0);
        assert_eq!(
            store.insert_unsigned(entry(2, 5, 5).into()),
            Err(Refusal::NotNewer)
        );
        store.insert_unsigned(entry(3, 6, 6).into()).unwrap();
        let catalog = store.catalog();
        let ids: Vec<_> = catalog.peers().map(|entry| *entry.id()).collect();
        assert_eq!(ids, [key(2).public(), key(3).public()]);
        assert_eq!((catalog.peers_count(), catalog.iter().count()), (2, 3));
        assert!(catalog.get(&key(1).public()).is_none());
        assert_eq!(
            catalog
                .get(&key(2).public())
                .unwrap()
                .update_version()
                .updated_ms,
            now
        );
        assert_eq!(catalog.get(&key(0).public()).unwrap(), &**catalog.local());
        assert_eq!(store.clear_unsigned(), [key(3).public()]);
        assert_eq!(catalog.peers_count(), 2, "a catalog in hand stays as it is");
        assert_eq!(store.catalog().peers_count(), 1);
    }
}

mod bytes {
    use super::*;

    /// Mosaik's layout, byte by byte.
    fn golden(with_functions: bool) -> (PeerEntry, Vec<u8>) {
        let id = key(7).public();
        let (v4, v6) = (
            SocketAddr::from(([10, 1, 2, 3], 443)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, 80)),
        );
        let ticket = Ticket::new(Digest::from_bytes([5; 32]), b"data".to_vec());
        let mut inline = [0; 30];
        inline[0] = 9;
        let entry = PeerEntry {
            protocol: semver::Version::new(0, if with_functions { 4 } else { 3 }, 13),
            network: Digest::from_bytes([1; 32]),
            version: PeerEntryVersion {
                started_ms: 1000,
                updated_ms: -1,
            },
            address: EndpointAddr::new(id, [v4, v6]),
            transports: vec![
                Transport::Relay("https://r./".into()),
                Transport::Ip(v4),
                Transport::Ip(v6),
                Transport::Custom(300, CustomAddress::Inline(1, inline)),
                Transport::Custom(1, CustomAddress::Heap(vec![8, 8])),
            ],
            tags: [Digest::from_bytes([3; 32]), Digest::from_bytes([2; 32])].into(),
            streams: std::sync::Arc::new([Digest::from_bytes([4; 32])].into()),
            groups: [].into(),
            functions: with_functions.then(|| [Digest::from_bytes([6; 32])].into()),
            tickets: [(ticket.id(), ticket.clone())].into(),
        };
        let mut bytes = Vec::new();
        bytes.extend(if with_functions {
            b"\x060.4.13"
        } else {
            b"\x060.3.13"
        });
        bytes.extend([1; 32]);
        bytes.extend([0xd0, 0x0f, 0x01]); // zig-zag: 1000 is 2000, -1 is 1
        bytes.extend(id.as_bytes());
        bytes.push(5);
        bytes.extend(b"\x00\x0bhttps://r./");
        bytes.extend([1, 0, 10, 1, 2, 3, 0xbb, 0x03]);
        bytes.extend([1, 1]);
        bytes.extend(Ipv6Addr::LOCALHOST.octets());
        bytes.push(80);
        bytes.extend([2, 0xac, 0x02, 0, 1]);
        bytes.extend(inline);
        bytes.extend([2, 1, 1, 2, 8, 8]);
        bytes.push(2);
        bytes.extend([2; 32]);
        bytes.extend([3; 32]);
        bytes.push(1);
        bytes.extend([4; 32]);
        bytes.push(0);
        if with_functions {
            bytes.push(1);
            bytes.extend([6; 32]);
        }
        bytes.push(1);
        bytes.extend(blake3::hash(&[&[5; 32][..], b"data"].concat()).as_bytes());
        bytes.extend([5; 32]);
        bytes.extend(b"\x04data");
        (entry, bytes)
    }

    #[test]
    fn entries_have_mosaiks_layouts() {
        for with_functions in [false, true] {
            let (entry, bytes) = golden(with_functions);
            assert_eq!(postcard::to_stdvec(&entry).unwrap(), bytes);
            let (read, rest) = postcard::take_from_bytes::<PeerEntry>(&bytes).unwrap();
            assert_eq!((&read, rest.len()), (&entry, 0));
            assert_eq!(read.address().addrs.len(), 2);
        }
    }

    #[test]
    fn the_order_of_transports_is_kept_so_that_signatures_hold() {
        let (mut entry, _) = golden(false);
        entry.transports.reverse();
        let signed = entry.sign(&key(7)).unwrap();
        let bytes = postcard::to_stdvec(&signed).unwrap();
        let read: SignedPeerEntry = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(postcard::to_stdvec(&read).unwrap(), bytes);
    }

    #[test]
    fn a_snapshot_is_a_count_entries_with_signatures_and_what_we_add() {
        let (entry, entry_bytes) = golden(false);
        let signature: Signature = key(7).sign(blake3::hash(&entry_bytes).as_bytes());
        let signed = entry.sign(&key(7)).unwrap();
        let expected = [&[1][..], &entry_bytes, signature.as_bytes()].concat();
        for (say, tail) in [
            (Purpose::Hello, &b"MSX1\0\0\0\x06\0\x07\0\0\0\0"[..]),
            (Purpose::Push, &b"MSX1\0\0\0\x07\0\x07\0\0\0\x01\x01"[..]),
            (
                Purpose::Departure,
                &b"MSX1\0\0\0\x0d\0\x06\0\0\0\0\0\x07\0\0\0\x01\x01"[..],
            ),
        ] {
            let frame = wire::encode([&signed], say, wire::About::default(), 1 << 20);
            assert_eq!(frame, [&expected, tail].concat());
            let read = Snapshot::decode(&frame).unwrap();
            assert_eq!(read.entries[0].clone().verify(), Ok(signed.clone()));
            assert_eq!(
                (read.is_push(), read.is_departure()),
                (say != Purpose::Hello, say == Purpose::Departure)
            );
            assert!(read.is_ours() && read.of(signed.id()).is_some());
        }
        let about = wire::About {
            process: Some([5; 16]),
            ..wire::About::default()
        };
        let frame = wire::encode([&signed], Purpose::Hello, about, 1 << 20);
        let tail = b"MSX1\0\0\0\x1c\0\x07\0\0\0\0\0\x0e\0\0\0\x10";
        assert_eq!(frame, [&expected, &tail[..], &[5; 16]].concat());
        assert_eq!(Snapshot::decode(&frame).unwrap().process(), Some([5; 16]));
        let plain = Snapshot::decode(&expected).unwrap();
        assert_eq!(plain.process(), None);
        assert!(!plain.is_ours() && !plain.is_push() && plain.entries.len() == 1);
    }

    #[test]
    fn what_the_networks_nodes_cannot_read_is_not_sent_on_and_no_more_than_fits() {
        let now = now_ms();
        let mut store = Store::new(entry(0, now, now), PURGE, DRIFT);
        for seed in 1..5 {
            store.merge(entry(seed, now, now), Direct, now).unwrap();
        }
        let mut newer = entry(9, now, now).into_unsigned();
        newer.set_generation(Generation::V0_4);
        store
            .merge(newer.sign(&key(9)).unwrap(), Direct, now)
            .unwrap();
        let catalog = store.catalog();
        assert_eq!(catalog.peers_count(), 5);
        let all = Snapshot::decode(&wire::encode(
            wire::all(&catalog),
            Purpose::Hello,
            wire::About::default(),
            1 << 20,
        ))
        .unwrap();
        assert_eq!(all.entries.len(), 5);
        assert_eq!(all.entries[0].entry.id(), catalog.local().id());
        store.update_local(&key(0), false, |local| {
            local.set_generation(Generation::V0_4);
        });
        let catalog = store.catalog();
        let ids: Vec<_> = wire::all(&catalog).map(|entry| *entry.id()).collect();
        assert_eq!(ids, [key(0).public(), key(9).public()]);
        let room = 70 * 1024;
        let some = wire::encode(
            std::iter::repeat_n(catalog.local(), 1000),
            Purpose::Hello,
            wire::About::default(),
            room,
        );
        assert!(some.len() <= room && Snapshot::decode(&some).unwrap().entries.len() > 2);
    }

    proptest! {
        #[test]
        fn a_damaged_snapshot_is_read_without_a_panic_and_never_verifies_as_another(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
            with_functions in any::<bool>(),
        ) {
            let signed = golden(with_functions).0.sign(&key(7)).unwrap();
            let mut bytes = wire::encode([&signed], Purpose::Push, wire::About::default(), 1 << 20);
            for (index, byte) in damage {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            for frame in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
                if let Ok(read) = Snapshot::decode(frame) {
                    for entry in read.entries {
                        if let Ok(read) = entry.verify() {
                            prop_assert_eq!(&read, &signed);
                        }
                    }
                }
            }
        }
    }
}
