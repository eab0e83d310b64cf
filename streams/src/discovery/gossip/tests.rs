//! Compares the bytes of announcements with those of Mosaik 0.3.13.

use proptest::prelude::*;

use super::announcement::{self, Announcement, Departure};
use crate::{
    EndpointAddr, PeerId, SecretKey,
    peer::{PeerEntry, now_ms},
};

fn peer(n: u8) -> PeerId {
    SecretKey::from_bytes([n; 32]).public()
}

fn entry(key: &SecretKey) -> Vec<u8> {
    let entry = PeerEntry::new("net", EndpointAddr::from(key.public()));
    announcement::of_entry(&entry.sign(key).unwrap())
}

#[test]
fn announcements_have_one_form_only() {
    let key = SecretKey::generate();
    let entry = entry(&key);
    assert!(matches!(
        Announcement::decode(&entry),
        Some(Announcement::Entry(_))
    ));
    let version = PeerEntry::new("net", EndpointAddr::from(key.public())).update_version();
    let departure = Departure::new(&key, version, now_ms()).encode();
    assert!(matches!(
        Announcement::decode(&departure),
        Some(Announcement::Departure(_))
    ));
    for announcement in [entry, departure] {
        let longer = [announcement.as_slice(), b"\0"].concat();
        assert!(Announcement::decode(&longer).is_none());
        let tag_in_two_bytes = [&[announcement[0] | 0x80, 0], &announcement[1..]].concat();
        assert!(Announcement::decode(&tag_in_two_bytes).is_none());
        let shorter = &announcement[..announcement.len() - 1];
        assert!(Announcement::decode(shorter).is_none());
    }
}

/// As written by Mosaik's types and chrono: a timestamp in nanoseconds, of which the milliseconds are signed.
#[test]
fn departures_are_those_of_mosaik() {
    let key = SecretKey::from_bytes([1; 32]);
    let mut wire = vec![1];
    wire.extend(key.public().as_bytes());
    // Zig-zag varints of 1,764,083,200,000 and 1,764,083,280,000.
    wire.extend(postcard::to_stdvec(&(1_764_083_200_000i64, 1_764_083_280_000i64)).unwrap());
    let time = "2025-11-25T15:08:09.123456789Z";
    wire.push(time.len() as u8);
    wire.extend(time.as_bytes());
    let mut signed = key.public().as_bytes().to_vec();
    for number in [1_764_083_200_000i64, 1_764_083_280_000, 1_764_083_289_123] {
        signed.extend(number.to_be_bytes());
    }
    wire.extend(key.sign(blake3::hash(&signed).as_bytes()).as_bytes());

    let Some(Announcement::Departure(departure)) = Announcement::decode(&wire) else {
        panic!("it is a departure");
    };
    assert_eq!(departure.verify(), Some(1_764_083_289_123));
    let ours = Departure::new(&key, departure.version, 1_764_083_289_123);
    assert_eq!(ours.verify(), Some(1_764_083_289_123));
    let text = b"\x182025-11-25T15:08:09.123Z";
    assert!(ours.encode().windows(text.len()).any(|it| it == text));

    let mut forged = ours;
    forged.peer = peer(2);
    assert_eq!(forged.verify(), None);
}

proptest! {
    #[test]
    fn nothing_that_comes_makes_announcements_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Some(Announcement::Departure(departure)) = Announcement::decode(&bytes) {
            departure.verify();
        }
    }

    /// Altered bytes are not an announcement, are not signed, or encode the same departure.
    #[test]
    fn no_change_goes_unnoticed(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let key = SecretKey::from_bytes([1; 32]);
        let version = PeerEntry::new("net", EndpointAddr::from(key.public())).update_version();
        let now = now_ms();
        for mut bytes in [entry(&key), Departure::new(&key, version, now).encode()] {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let believed = match Announcement::decode(&bytes) {
                Some(Announcement::Entry(entry)) => entry.verify().is_ok(),
                Some(Announcement::Departure(departure)) => {
                    departure.verify().is_some_and(|at| (at, departure.version) != (now, version))
                }
                None => false,
            };
            prop_assert!(!believed);
        }
    }
}
