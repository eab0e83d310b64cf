//! Compares the bytes of gossip with those of iroh-gossip 0.97 and Mosaik 0.3.13.

use std::net::SocketAddr;

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::{
    announcement::{self, Addresses, Announcement, Departure},
    wire::{
        IHAVES_PER_MESSAGE, IHave, MAX_CONTENT_LEN, MAX_MESSAGE_LEN, Message, MessageId, PeerData,
        PeerInfo, Priority, Reach, Swarm, Tree,
    },
};
use crate::{
    EndpointAddr, PeerId, SecretKey,
    peer::{PeerEntry, now_ms},
};

fn peer(n: u8) -> PeerId {
    SecretKey::from_bytes([n; 32]).public()
}

/// The addresses of these tests' peers: `127.0.0.1:4432 + n`.
fn data(n: u16) -> PeerData {
    Addresses::encode([SocketAddr::from(([127, 0, 0, 1], 4432 + n))])
}

fn info(n: u8) -> PeerInfo {
    let (id, data) = (peer(n), Some(data(n.into())));
    PeerInfo { id, data }
}

/// The second of each pair was written with iroh-gossip's types.
#[test]
fn messages_are_those_of_iroh_gossip() {
    const TWO: &str = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394";
    const THREE: &str = "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1";
    const FOUR: &str = "ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c";
    let fives = MessageId([5; 32]);
    let five = "05".repeat(32);
    let cases = [
        (
            Message::Swarm(Swarm::Join(Some(data(2)))),
            "000001090001007f000001d222".to_owned(),
        ),
        (
            Message::Swarm(Swarm::ForwardJoin {
                peer: info(3),
                ttl: 6,
            }),
            format!("0001{THREE}01090001007f000001d32206"),
        ),
        (
            Message::Swarm(Swarm::Shuffle {
                origin: peer(2),
                nodes: vec![info(3), info(4), info(2)],
                ttl: 6,
            }),
            format!(
                "0002{TWO}03{THREE}01090001007f000001d322{FOUR}01090001007f000001d422\
                 {TWO}01090001007f000001d22206"
            ),
        ),
        (
            Message::Swarm(Swarm::ShuffleReply {
                nodes: vec![info(4)],
            }),
            format!("000301{FOUR}01090001007f000001d422"),
        ),
        (
            Message::Swarm(Swarm::Neighbor {
                priority: Priority::High,
                data: Some(data(1)),
            }),
            "00040001090001007f000001d122".to_owned(),
        ),
        (
            Message::Swarm(Swarm::Disconnect {
                alive: false,
                respond: false,
            }),
            "00050000".to_owned(),
        ),
        (
            Message::Tree(Tree::Gossip {
                id: MessageId::of(b"hello"),
                content: bytes::Bytes::from_static(b"hello"),
                scope: Reach::Swarm(0),
            }),
            "0100ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f0568656c6c6f0000"
                .to_owned(),
        ),
        (Message::Tree(Tree::Prune), "0101".to_owned()),
        (
            Message::Tree(Tree::Graft {
                id: Some(fives),
                round: 7,
            }),
            format!("010201{five}07"),
        ),
        (
            Message::Tree(Tree::IHave(vec![IHave {
                id: fives,
                round: 257,
            }])),
            format!("010301{five}8102"),
        ),
    ];
    for (message, golden) in cases {
        assert_eq!(HEXLOWER.encode(&message.encode()), golden, "{message:?}");
        let golden = HEXLOWER.decode(golden.as_bytes()).unwrap();
        assert_eq!(Message::decode(&golden), Some(message));
    }
}

#[test]
fn the_largest_messages_fit() {
    let content = bytes::Bytes::from(vec![0; MAX_CONTENT_LEN]);
    let id = MessageId::of(&content);
    let scope = Reach::Swarm(u16::MAX);
    let gossip = Message::Tree(Tree::Gossip { id, content, scope });
    assert_eq!(gossip.encode().len(), MAX_MESSAGE_LEN);
    let ihave = IHave {
        id,
        round: u16::MAX,
    };
    let ids = Message::Tree(Tree::IHave(vec![ihave; IHAVES_PER_MESSAGE]));
    assert!(ids.encode().len() <= MAX_MESSAGE_LEN);
}

#[test]
fn addresses_come_back_without_those_that_lead_nowhere() {
    let addrs: Vec<SocketAddr> = ["10.0.0.1:1", "0.0.0.0:2", "[::1]:3", "10.0.0.1:0"]
        .map(|addr| addr.parse().unwrap())
        .into();
    let usable = [addrs[0], addrs[2]];
    assert_eq!(Addresses::decode(&Addresses::encode(addrs)), usable);
    assert_eq!(
        Addresses::decode(&PeerData(b"\xff\xff\xff".as_slice().into())),
        []
    );
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
        Addresses::decode(&PeerData(bytes.into()));
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
