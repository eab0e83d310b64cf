//! Packets of the local network, and two nodes on a separate network: this machine's loopback.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::{
    packet::{self, Heard, PACKET_MAX},
    socket::Sockets,
    table::{PEERS_MAX, Table},
};
use crate::{EndpointAddr, Network, PeerId, SecretKey};

fn peer(n: u16) -> PeerId {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&n.to_be_bytes());
    SecretKey::from_bytes(seed).public()
}

fn at(id: PeerId, addrs: &[&str]) -> EndpointAddr {
    let addrs = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
    EndpointAddr { id, addrs }
}

#[test]
fn what_one_says_another_hears() {
    assert_eq!(packet::read(&packet::query()), Some(Heard::Query));
    let me = at(
        peer(1),
        &["10.0.0.1:4433", "10.0.0.2:4433", "[fd00::1]:4434"],
    );
    let response = packet::response(&me);
    assert_eq!(packet::read(&response), Some(Heard::Peers(vec![me])));
    // A packet fits into one datagram with any number of addresses.
    let addrs: Vec<String> = (1..99)
        .map(|n| format!("[fd00::{n}]:{}", 40_000 + n))
        .collect();
    let addrs: Vec<&str> = addrs.iter().map(String::as_str).collect();
    let response = packet::response(&at(peer(1), &addrs));
    assert!(response.len() <= PACKET_MAX, "{} bytes", response.len());
    assert!(
        matches!(packet::read(&response), Some(Heard::Peers(peers)) if peers[0].addrs.len() == 8)
    );
}

/// As sent by swarm-discovery 0.5, which iroh 0.97 uses.
#[test]
fn packets_are_those_of_iroh() {
    let query = "000000000001000000000000075f69726f687631045f756470056c6f63616c00000c0001";
    assert_eq!(HEXLOWER.encode(&packet::query()), query);
    let response = "00008400000000010000000134726b656f68786c756268797a6c376b73336d77747a6f73356f6c66676f636e37\
        64776b62656737746f736561646e61706e356f61075f69726f687631045f756470056c6f63616c0000210001\
        00000000004700000000119339726b656f68786c756268797a6c376b73336d77747a6f73356f6c66676f636e37\
        64776b62656737746f736561646e61706e356f612d34343939056c6f63616c00c065000100010000000000047f\
        000001";
    let response = HEXLOWER.decode(response.as_bytes()).unwrap();
    let id = SecretKey::from_bytes([1; 32]).public();
    let expected = at(id, &["127.0.0.1:4499"]);
    assert_eq!(packet::read(&response), Some(Heard::Peers(vec![expected])));
}

#[test]
fn other_packets_say_nothing() {
    let response = packet::response(&at(peer(1), &["10.0.0.1:4433"]));
    let of_another_service = HEXLOWER
        .encode(&response)
        .replace(&HEXLOWER.encode(b"_irohv1"), &HEXLOWER.encode(b"_irohv2"));
    let of_another_service = HEXLOWER.decode(of_another_service.as_bytes()).unwrap();
    assert_eq!(packet::read(&of_another_service), None);
    let nowhere = at(peer(1), &["0.0.0.0:1", "224.0.0.1:1", "10.0.0.1:0"]);
    assert_eq!(packet::read(&packet::response(&nowhere)), None);
    for len in 0..response.len() {
        assert_eq!(packet::read(&response[..len]), None, "{len} bytes");
    }
    // Announces more records than it can contain.
    let mut many = response;
    many[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
    assert_eq!(packet::read(&many), None);
    assert_eq!(packet::read(&vec![0; PACKET_MAX + 1]), None);
}

#[test]
fn the_table_is_bounded_and_dials_are_rare() {
    let start = Instant::now();
    let mut table = Table::new(peer(0), start);
    assert!(
        !table.saw(&at(peer(0), &["10.0.0.1:1"]), false, start),
        "itself"
    );
    let dialled = (1..=500)
        .filter(|n| table.saw(&at(peer(*n), &["10.0.0.1:1"]), false, start))
        .count();
    assert_eq!((dialled, table.all().len()), (32, PEERS_MAX));
    let later = start + Duration::from_secs(5);
    let again =
        |table: &mut Table, n, addr, is_known, now| table.saw(&at(peer(n), &[addr]), is_known, now);
    assert!(
        !again(&mut table, 1, "10.0.0.1:1", false, later),
        "it was, just now"
    );
    assert!(
        !again(&mut table, 1, "10.0.0.1:2", false, later),
        "nor when it moves too soon"
    );
    assert_eq!(
        table.get(&peer(1)),
        Some(&BTreeSet::from(["10.0.0.1:2".parse().unwrap()]))
    );
    let later = start + Duration::from_secs(11);
    assert!(again(&mut table, 1, "10.0.0.1:3", false, later));
    assert!(
        !again(&mut table, 40, "10.0.0.1:3", true, later),
        "the catalog has it"
    );
    // Peers that are not seen again make room.
    let later = later + Duration::from_mins(2);
    assert!(again(&mut table, 999, "10.0.0.1:3", false, later));
    assert_eq!(table.all().len(), 1);
    assert!(table.answers(later) && !table.answers(later));
}

proptest! {
    #[test]
    fn no_packet_makes_the_reader_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        at_byte in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        packet::read(&bytes);
        let mut changed = packet::response(&at(peer(1), &["10.0.0.1:4433", "[fd00::1]:4433"]));
        let at_byte = at_byte.index(changed.len());
        changed[at_byte] = value;
        if let Some(Heard::Peers(peers)) = packet::read(&changed) {
            prop_assert!(peers.len() <= 16);
            prop_assert!(peers.iter().all(|peer| (1..=8).contains(&peer.addrs.len())));
        }
    }
}

/// Returns true if this machine supports multicast, which containers often do not.
async fn multicast_works() -> bool {
    let interface = [Ipv4Addr::LOCALHOST];
    let (Ok(one), Ok(other)) = (Sockets::open(&interface), Sockets::open(&interface)) else {
        return false;
    };
    let heard = async {
        one.send(&packet::query()).await?;
        other.receive().await
    };
    let heard = tokio::time::timeout(Duration::from_secs(2), heard).await;
    matches!(heard, Ok(Ok(_)))
}

#[tokio::test]
async fn nodes_of_one_local_network_find_each_other() {
    if !multicast_works().await {
        return;
    }
    let node = || Network::builder("lan").with_mdns_discovery(true).build();
    let (one, two) = (node().await.unwrap(), node().await.unwrap());
    for (node, other) in [(&one, &two), (&two, &one)] {
        let other = other.local().id();
        let mut catalog = node.discovery().catalog_watch();
        let known = catalog.wait_for(|catalog| catalog.get(&other).is_some());
        let known = tokio::time::timeout(Duration::from_secs(30), known).await;
        assert!(known.is_ok(), "it is found within 30 s");
    }
}
