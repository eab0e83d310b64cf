//! Compares the bytes of gossip with those of iroh-gossip 0.97.

use std::net::SocketAddr;

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use crate::{
    Addresses, IHave, MAX_CONTENT_LEN, MAX_MESSAGE_LEN, Message, MessageId, PeerData, PeerInfo,
    Priority, Scope, Swarm, Tree, wire::IHAVES_PER_MESSAGE,
};

type Peer = [u8; 32];

const TWO: &str = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394";
const THREE: &str = "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1";
const FOUR: &str = "ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c";

fn peer(id: &str) -> Peer {
    let id = HEXLOWER.decode(id.as_bytes()).unwrap();
    id.try_into().unwrap()
}

/// The addresses of these tests' peers: `127.0.0.1:4432 + n`.
fn data(n: u16) -> PeerData {
    Addresses::encode([SocketAddr::from(([127, 0, 0, 1], 4432 + n))])
}

fn info(n: u16) -> PeerInfo<Peer> {
    let id = [TWO, THREE, FOUR][usize::from(n) - 2];
    let (id, data) = (peer(id), Some(data(n)));
    PeerInfo { id, data }
}

/// The second of each pair was written with iroh-gossip's types.
#[test]
fn messages_are_those_of_iroh_gossip() {
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
                origin: peer(TWO),
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
                scope: Scope::Swarm(0),
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
    let scope = Scope::Swarm(u16::MAX);
    let gossip = Message::<Peer>::Tree(Tree::Gossip { id, content, scope });
    assert_eq!(gossip.encode().len(), MAX_MESSAGE_LEN);
    let ihave = IHave {
        id,
        round: u16::MAX,
    };
    let ids = Message::<Peer>::Tree(Tree::IHave(vec![ihave; IHAVES_PER_MESSAGE]));
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

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::<Peer>::decode(&bytes);
        Addresses::decode(&PeerData(bytes.into()));
    }
}
