//! A node as observed by a plain Mosaik peer: handwritten frames over loopback.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use tokio::time::timeout;

use super::{ping, sync, wire::Snapshot, *};
use crate::{
    EndpointAddr, Network, PeerId, SecretKey,
    net::{CloseReason, Endpoint, EndpointConfig, Link, LinkError},
};

const LIMIT: Duration = Duration::from_secs(20);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.expect("it ends within 20 s")
}

/// A peer that consists of a key and a socket.
struct Stranger {
    key: SecretKey,
    endpoint: Endpoint,
}

impl Stranger {
    fn new() -> Self {
        let key = SecretKey::generate();
        let listen = BTreeSet::from([SocketAddr::from(([127, 0, 0, 1], 0))]);
        let endpoint = Endpoint::bind(key.clone(), &listen, EndpointConfig::default()).unwrap();
        Self { key, endpoint }
    }

    fn id(&self) -> PeerId {
        self.key.public()
    }

    fn entry(&self, network: &str) -> SignedPeerEntry {
        let addr = EndpointAddr {
            id: self.id(),
            addrs: self.endpoint.local_addrs(),
        };
        PeerEntry::new(network, addr).sign(&self.key).unwrap()
    }

    async fn dial(&self, node: &Network, alpn: &'static [u8]) -> Link {
        within(self.endpoint.connect(&node.local().addr(), alpn))
            .await
            .unwrap()
    }

    /// Sends a frame and closes like Mosaik.
    async fn say(&self, node: &Network, frame: &[u8]) -> Result<Snapshot, CloseReason> {
        let mut link = self.dial(node, sync::ALPN).await;
        within(link.tx.send_frame(frame)).await.unwrap();
        match within(link.rx.recv_frame()).await {
            Ok(answer) => {
                link.conn.close(CloseReason::Success);
                Ok(Snapshot::decode(&answer.unwrap()).unwrap())
            }
            Err(LinkError::Closed(reason)) => Err(reason),
            Err(other) => panic!("{other}"),
        }
    }
}

fn snapshot(entries: &[SignedPeerEntry]) -> Vec<u8> {
    postcard::to_stdvec(entries).unwrap()
}

#[tokio::test]
async fn a_plain_peer_syncs_and_is_then_known() {
    let node = Network::new("net").await.unwrap();
    let (first, second) = (Stranger::new(), Stranger::new());
    let answer = within(first.say(&node, &snapshot(&[first.entry("net")])))
        .await
        .unwrap();
    assert_eq!(
        answer
            .of(&node.local().id())
            .unwrap()
            .clone()
            .verify()
            .unwrap(),
        node.discovery().me()
    );
    let answer = within(second.say(&node, &snapshot(&[second.entry("net")])))
        .await
        .unwrap();
    assert_eq!(answer.entries.len(), 3);
    assert!(answer.of(&first.id()).is_some());
    let catalog = node.discovery().catalog();
    assert!(
        catalog.get_signed(&first.id()).is_some() && catalog.get_signed(&second.id()).is_some()
    );
}

#[tokio::test]
async fn a_sync_does_not_renew_the_local_entry() {
    let node = Network::new("net").await.unwrap();
    let before = node.discovery().me().update_version();
    let peer = Stranger::new();
    within(peer.say(&node, &snapshot(&[peer.entry("net")])))
        .await
        .unwrap();
    assert_eq!(node.discovery().me().update_version(), before);
}

#[tokio::test]
async fn another_network_is_told_nothing_but_that() {
    let node = Network::new("net").await.unwrap();
    let foreigner = Stranger::new();
    let refused = within(foreigner.say(&node, &snapshot(&[foreigner.entry("other")]))).await;
    assert_eq!(refused.unwrap_err(), CloseReason::DifferentNetwork);
    assert_eq!(node.discovery().catalog().peers_count(), 0);
}

#[tokio::test]
async fn a_dialler_must_show_its_own_entry_and_sign_it() {
    let node = Network::new("net").await.unwrap();
    let (peer, other) = (Stranger::new(), Stranger::new());
    for entries in [vec![], vec![other.entry("net")]] {
        let refused = within(peer.say(&node, &snapshot(&entries))).await;
        assert_eq!(refused.unwrap_err(), CloseReason::UnknownPeer);
    }
    let mut forged = snapshot(&[peer.entry("net")]);
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(
        within(peer.say(&node, &forged)).await.unwrap_err(),
        CloseReason::UnknownPeer
    );
    assert_eq!(node.discovery().refused(Refusal::BadSignature), 1);
    let many: Vec<SignedPeerEntry> = (0..20).map(|_| Stranger::new().entry("net")).collect();
    let mut forged = snapshot(&[&[peer.entry("net")][..], &many].concat());
    // All entries have the same length and end with their signature.
    let one = (forged.len() - 1) / 21;
    for n in 0..20 {
        let index = forged.len() - 1 - n * one;
        forged[index] ^= 1;
    }
    assert_eq!(
        within(peer.say(&node, &forged)).await.unwrap_err(),
        CloseReason::ProtocolViolation
    );
}

#[tokio::test]
async fn what_is_no_snapshot_is_a_violation() {
    let node = Network::new("net").await.unwrap();
    let peer = Stranger::new();
    assert_eq!(
        within(peer.say(&node, b"\x05abc")).await.unwrap_err(),
        CloseReason::ProtocolViolation
    );
    let mut link = peer.dial(&node, sync::ALPN).await;
    let lie = bytes::Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
    within(link.tx.send_wire(&mut [lie])).await.unwrap();
    assert_eq!(
        within(link.conn.closed()).await,
        CloseReason::ProtocolViolation
    );
}

#[tokio::test]
async fn a_peer_that_stops_half_way_is_dropped_and_holds_up_nobody() {
    let node = Network::new("net").await.unwrap();
    let (silent, other) = (Stranger::new(), Stranger::new());
    let mut link = silent.dial(&node, sync::ALPN).await;
    within(
        link.tx
            .send_wire(&mut [bytes::Bytes::from_static(&[0, 0, 1, 0, 1])]),
    )
    .await
    .unwrap();
    let quick = timeout(
        Duration::from_secs(5),
        other.say(&node, &snapshot(&[other.entry("net")])),
    )
    .await;
    assert!(quick.expect("others are served meanwhile").is_ok());
    assert!(!link.conn.is_closed());
    assert_eq!(within(link.conn.closed()).await, CloseReason::Cancelled);
}

#[tokio::test]
async fn a_ping_is_answered_to_known_peers_with_a_newer_entry() {
    let node = Network::new("net").await.unwrap();
    let peer = Stranger::new();
    let mut link = peer.dial(&node, ping::ALPN).await;
    within(link.tx.send_frame(&[])).await.unwrap();
    assert_eq!(within(link.conn.closed()).await, CloseReason::UnknownPeer);
    within(peer.say(&node, &snapshot(&[peer.entry("net")])))
        .await
        .unwrap();
    let mut last = node.discovery().me().update_version();
    for _ in 0..2 {
        let mut link = peer.dial(&node, ping::ALPN).await;
        within(link.tx.send_frame(&[])).await.unwrap();
        let answer = within(link.rx.recv_frame()).await.unwrap().unwrap();
        let entry: SignedPeerEntry = postcard::from_bytes(&answer).unwrap();
        assert_eq!(*entry.id(), node.local().id());
        assert!(entry.update_version() > last, "a ping renews the entry");
        last = entry.update_version();
    }
}

/// Gives this answer whenever the node dials, and reports the received frames.
fn answer_every(listener: &Stranger, answer: Vec<u8>) -> tokio::sync::mpsc::Receiver<Snapshot> {
    let (tx, heard) = tokio::sync::mpsc::channel(16);
    let handler = move |mut link: Link| {
        let (tx, answer) = (tx.clone(), answer.clone());
        Box::pin(async move {
            if let Ok(Some(frame)) = link.rx.recv_frame().await {
                link.tx.send_frame(&answer).await.unwrap_or(());
                tx.send(Snapshot::decode(&frame).unwrap())
                    .await
                    .unwrap_or(());
                link.conn.closed().await;
            }
        }) as futures::future::BoxFuture<'static, ()>
    };
    listener
        .endpoint
        .register(sync::ALPN, std::sync::Arc::new(handler))
        .unwrap();
    heard
}

#[tokio::test]
async fn a_dialler_says_no_more_than_its_own_entry_until_the_network_is_proved() {
    let node = Network::new("net").await.unwrap();
    let third = Stranger::new();
    within(third.say(&node, &snapshot(&[third.entry("net")])))
        .await
        .unwrap();

    let foreigner = Stranger::new();
    let mut heard = answer_every(&foreigner, snapshot(&[foreigner.entry("other")]));
    let addr = EndpointAddr {
        id: foreigner.id(),
        addrs: foreigner.endpoint.local_addrs(),
    };
    let refused = within(node.discovery().sync_with(&addr)).await.unwrap_err();
    assert!(matches!(refused, SyncError::DifferentNetwork), "{refused}");
    let said = within(heard.recv()).await.unwrap();
    assert_eq!(
        (said.entries.len(), said.of(&node.local().id()).is_some()),
        (1, true)
    );

    let member = Stranger::new();
    let mut heard = answer_every(&member, snapshot(&[member.entry("net")]));
    let addr = EndpointAddr {
        id: member.id(),
        addrs: member.endpoint.local_addrs(),
    };
    within(node.discovery().sync_with(&addr)).await.unwrap();
    assert_eq!(within(heard.recv()).await.unwrap().entries.len(), 1);
    // Its own entry may be sent again at any time.
    let rest = loop {
        let said = within(heard.recv()).await.unwrap();
        if said.entries.len() > 1 {
            break said;
        }
    };
    assert_eq!(
        (rest.entries.len(), rest.of(&third.id()).is_some()),
        (2, true)
    );
}
