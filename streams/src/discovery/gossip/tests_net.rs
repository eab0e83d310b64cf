//! Nodes and bare connections over loopback. The peer of a bare connection only uses gossip, like a Mosaik node may, or
//! violates the protocol.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use mosaik_gossip::{MessageId, Scope, Swarm, Tree};
use tokio::{sync::mpsc, time::timeout};

use super::{
    super::{config::Config, event::Event, store::Refusal},
    ALPN, Message,
    announcement::{self, Announcement, Departure},
    connection::{self, Incoming},
};
use crate::{
    EndpointAddr, Network, NetworkId, PeerId, SecretKey,
    net::{CloseReason, Endpoint, EndpointConfig, LinkConn},
    peer::{PeerEntry, PeerEntryVersion, now_ms},
};

const NET: &str = "gossip";

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limited = timeout(Duration::from_secs(30), future).await;
    limited.unwrap_or_else(|_| panic!("timed out: {what}"))
}

async fn node(config: super::super::ConfigBuilder) -> Network {
    let built = Network::builder(NET).with_discovery(config).build().await;
    built.expect("it works on loopback")
}

/// A gossip connection without a node behind it.
struct Bare {
    key: SecretKey,
    conn: LinkConn,
    say: mpsc::Sender<Bytes>,
    heard: mpsc::Receiver<Incoming>,
    _endpoint: Endpoint,
}

async fn connect(key: &SecretKey, to: &Network) -> (Endpoint, LinkConn) {
    let none = BTreeSet::new();
    let endpoint = Endpoint::bind(key.clone(), &none, EndpointConfig::default()).unwrap();
    let addr = to.local().addr();
    let conn = endpoint.connect_conn(&addr, ALPN);
    let conn = within("it connects", conn).await.unwrap();
    (endpoint, conn)
}

impl Bare {
    async fn new(to: &Network) -> Self {
        Self::with(SecretKey::generate(), NET.into(), to).await
    }

    async fn with(key: SecretKey, topic: NetworkId, to: &Network) -> Self {
        let (endpoint, conn) = connect(&key, to).await;
        let (say, outgoing) = mpsc::channel(1024);
        let (incoming, heard) = mpsc::channel(1024);
        tokio::spawn(connection::run(conn.clone(), topic, outgoing, incoming));
        Self {
            key,
            conn,
            say,
            heard,
            _endpoint: endpoint,
        }
    }

    /// One that is a neighbour of the node.
    async fn joined(to: &Network) -> Self {
        let mut bare = Self::new(to).await;
        bare.say(&Message::Swarm(Swarm::Join(None))).await;
        bare.hear("its answer", |message| {
            matches!(message, Message::Swarm(Swarm::Neighbor { .. })).then_some(())
        })
        .await;
        bare
    }

    async fn say(&self, message: &Message) {
        let sent = self.say.send(message.encode().into()).await;
        sent.expect("the connection is there");
    }

    async fn tell(&self, content: Vec<u8>) {
        self.say(&gossip(content)).await;
    }

    /// Waits for a message and ignores others.
    async fn hear<T>(&mut self, what: &str, wanted: impl Fn(Message) -> Option<T>) -> T {
        let heard = async {
            loop {
                match self.heard.recv().await {
                    Some(Incoming::Message(_, message)) => {
                        if let Some(found) = wanted(message) {
                            return found;
                        }
                    }
                    Some(Incoming::Delivered(_)) => {}
                    Some(Incoming::Ended(_)) | None => panic!("the connection ended"),
                }
            }
        };
        within(what, heard).await
    }

    /// Waits for an announcement and ignores others.
    async fn hear_of<T>(&mut self, what: &str, wanted: impl Fn(Announcement) -> Option<T>) -> T {
        self.hear(what, |message| match message {
            Message::Tree(Tree::Gossip { content, .. }) => wanted(Announcement::decode(&content)?),
            _ => None,
        })
        .await
    }

    async fn ended(&self) -> CloseReason {
        within("the connection ends", self.conn.closed()).await
    }
}

fn gossip(content: Vec<u8>) -> Message {
    let (id, scope) = (MessageId::of(&content), Scope::Swarm(0));
    let content = content.into();
    Message::Tree(Tree::Gossip { id, content, scope })
}

fn entry_of(key: &SecretKey, started_ms: i64, updated_ms: i64) -> PeerEntry {
    let mut entry = PeerEntry::new(NET, EndpointAddr::from(key.public()));
    entry.version = PeerEntryVersion {
        started_ms,
        updated_ms,
    };
    entry
}

fn signed(entry: PeerEntry, key: &SecretKey) -> Vec<u8> {
    announcement::of_entry(&entry.sign(key).unwrap())
}

fn tags_of(peer: PeerId) -> impl Fn(Announcement) -> Option<usize> {
    move |announcement| match announcement {
        Announcement::Entry(entry) if *entry.entry.id() == peer => Some(entry.entry.tags.len()),
        _ => None,
    }
}

async fn knows(node: &Network, peer: PeerId, is_known: bool) {
    let mut catalog = node.discovery().catalog_watch();
    let seen = catalog.wait_for(|catalog| catalog.get(&peer).is_some() == is_known);
    within("the catalog is as expected", seen)
        .await
        .expect("the node is there");
}

#[tokio::test]
async fn a_neighbour_hears_of_changes_and_of_the_end() {
    let node = node(Config::builder()).await;
    let id = node.local().id();
    let mut bare = Bare::joined(&node).await;
    let offered = |message| match message {
        Message::Tree(Tree::IHave(ids)) => Some(ids[0]),
        _ => None,
    };
    let offered = bare.hear("an offer", offered).await;
    let (offered, round) = (Some(offered.id), offered.round);
    bare.say(&Message::Tree(Tree::Graft { id: offered, round }))
        .await;
    assert_eq!(bare.hear_of("the entry", tags_of(id)).await, 0);

    node.discovery().add_tags("one");
    // The entry as it was may be announced again before.
    let tags = tags_of(id);
    let changed = |announcement| tags(announcement).filter(|tags| *tags == 1);
    bare.hear_of("the change", changed).await;

    let version = node.discovery().me().update_version();
    let stopped = tokio::spawn(node.shutdown());
    let departure = |announcement| match announcement {
        Announcement::Departure(departure) => Some(departure),
        Announcement::Entry(_) => None,
    };
    let departure = bare.hear_of("the end", departure).await;
    assert_eq!((departure.peer, departure.version), (id, version));
    assert!(
        departure
            .verify()
            .is_some_and(|at| (now_ms() - at).abs() < 10_000)
    );
    let gone = |message| {
        matches!(
            message,
            Message::Swarm(Swarm::Disconnect { alive: false, .. })
        )
        .then_some(())
    };
    bare.hear("the good-bye", gone).await;
    within("it shuts down", stopped).await.unwrap();
}

#[tokio::test]
async fn what_is_told_is_taken_and_passed_on() {
    let node = node(Config::builder()).await;
    let (teller, mut listener) = (Bare::joined(&node).await, Bare::joined(&node).await);
    let (key, peer) = (teller.key.clone(), teller.key.public());
    let now = now_ms();
    teller.tell(signed(entry_of(&key, now, now), &key)).await;
    knows(&node, peer, true).await;
    assert_eq!(listener.hear_of("the entry", tags_of(peer)).await, 0);
    let tagged = entry_of(&key, now, now + 1).add_tag("new");
    teller.tell(signed(tagged, &key)).await;
    assert_eq!(listener.hear_of("the change", tags_of(peer)).await, 1);

    // A departure of another run does not concern this one.
    let refused = |refusal| node.discovery().refused(refusal);
    let earlier = PeerEntryVersion {
        started_ms: now - 9,
        updated_ms: now + 1,
    };
    teller
        .tell(Departure::new(&key, earlier, now).encode())
        .await;
    let mut events = node.discovery().events();
    let version = PeerEntryVersion {
        started_ms: now,
        updated_ms: now + 1,
    };
    teller
        .tell(Departure::new(&key, version, now).encode())
        .await;
    let departed = within("it departs", events.recv()).await.unwrap();
    assert_eq!(departed, Event::PeerDeparted(peer));
    assert_eq!(refused(Refusal::NotNewer), 1);
    let gone = |announcement| match announcement {
        Announcement::Departure(departure) => Some(departure.version),
        Announcement::Entry(_) => None,
    };
    assert_eq!(listener.hear_of("the departure", gone).await, version);

    // Another encoding of the same departure, of which a forwarding node could create many, is not forwarded.
    teller
        .tell(Departure::new(&key, version, now + 1).encode())
        .await;

    // Its earlier entry does not bring it back; one of a later run does.
    let replayed = entry_of(&key, now, now + 1).add_tag("replayed");
    teller.tell(signed(replayed, &key)).await;
    teller
        .tell(signed(entry_of(&key, now + 5, now + 5), &key))
        .await;
    knows(&node, peer, true).await;
    assert_eq!(refused(Refusal::Departed), 2);
    assert_eq!(listener.hear_of("the later life", tags_of(peer)).await, 0);
}

#[tokio::test]
async fn what_breaks_the_rules_is_counted_and_goes_no_further() {
    let node = node(Config::builder()).await;
    let (liar, mut listener) = (Bare::joined(&node).await, Bare::joined(&node).await);
    let (key, other) = (liar.key.clone(), SecretKey::generate());
    let now = now_ms();
    let good = signed(entry_of(&key, now, now), &key);
    let mut forged = signed(entry_of(&other, now, now), &other);
    *forged.last_mut().unwrap() ^= 1;
    let foreign = PeerEntry::new("elsewhere", EndpointAddr::from(key.public()));
    let local = node.discovery().me().into_unsigned().renewed();
    let cases = [
        (Refusal::BadSignature, forged),
        (Refusal::ForeignNetwork, signed(foreign, &key)),
        (
            Refusal::Stale,
            signed(entry_of(&key, 0, now - 301_000), &key),
        ),
        (
            Refusal::FutureDated,
            signed(entry_of(&key, now, now + 60_000), &key),
        ),
        (Refusal::Local, signed(local, node.local().secret_key())),
        (Refusal::Malformed, b"hello".to_vec()),
        (Refusal::Malformed, [good.as_slice(), b"more"].concat()),
    ];
    for (_, content) in &cases {
        liar.tell(content.clone()).await;
    }
    liar.tell(good).await;
    knows(&node, key.public(), true).await;
    for refusal in cases.iter().map(|(refusal, _)| *refusal) {
        let expected = cases.iter().filter(|(other, _)| *other == refusal).count() as u64;
        assert_eq!(node.discovery().refused(refusal), expected, "{refusal:?}");
    }

    let version = PeerEntryVersion {
        started_ms: now,
        updated_ms: now,
    };
    let mut forged = Departure::new(&key, version, now).encode();
    *forged.last_mut().unwrap() ^= 1;
    liar.tell(forged).await;
    liar.tell(Departure::new(&key, version, now - 60_000).encode())
        .await;
    liar.tell(Departure::new(&key, version, now + 60_000).encode())
        .await;
    // About an unknown peer: signing with many keys does not fill any table.
    liar.tell(Departure::new(&other, version, now).encode())
        .await;
    liar.tell(signed(entry_of(&key, now, now + 2).add_tag("last"), &key))
        .await;

    // The listener receives the two valid ones, and nothing else before the last.
    let (own, told) = (node.local().id(), tags_of(key.public()));
    let by_others = |message| {
        let Message::Tree(Tree::Gossip { content, .. }) = message else {
            return None;
        };
        match Announcement::decode(&content) {
            Some(Announcement::Entry(entry)) if *entry.entry.id() == own => None,
            announcement => Some(announcement.and_then(&told)),
        }
    };
    for tags in [0, 1] {
        assert_eq!(listener.hear("an entry", by_others).await, Some(tags));
    }
    for (refusal, expected) in [
        (Refusal::BadSignature, 2),
        (Refusal::Stale, 2),
        (Refusal::FutureDated, 2),
        (Refusal::NotNewer, 0),
    ] {
        assert_eq!(node.discovery().refused(refusal), expected, "{refusal:?}");
    }
}

#[tokio::test]
async fn who_does_not_keep_to_the_protocol_is_cut_off() {
    let node = node(Config::builder()).await;
    let other = Bare::with(SecretKey::generate(), "elsewhere".into(), &node).await;
    other.say(&Message::Swarm(Swarm::Join(None))).await;
    assert_eq!(other.ended().await, CloseReason::DifferentNetwork);

    let junk = Bare::joined(&node).await;
    junk.say.send(Bytes::from_static(&[9; 40])).await.unwrap();
    assert_eq!(junk.ended().await, CloseReason::ProtocolViolation);

    let large = Bare::joined(&node).await;
    large.say.send(Bytes::from(vec![0; 4097])).await.unwrap();
    assert_eq!(large.ended().await, CloseReason::ProtocolViolation);

    let key = SecretKey::generate();
    let mut many = Vec::new();
    for _ in 0..4 {
        many.push(Bare::with(key.clone(), NET.into(), &node).await);
    }
    assert_eq!(many[3].ended().await, CloseReason::NoCapacity);
    // A peer that sends nothing, or is not a neighbour, may not stay connected.
    assert_eq!(many[0].ended().await, CloseReason::Success);

    // None of it had any effect.
    Bare::joined(&node).await;
}

#[tokio::test]
async fn a_flood_is_held_back_and_others_are_heard() {
    let node = node(Config::builder()).await;
    let flooder = Bare::joined(&node).await;
    let flooding = tokio::spawn(async move {
        for n in 0u32.. {
            let message = gossip(n.to_le_bytes().to_vec()).encode();
            if flooder.say.send(message.into()).await.is_err() {
                return;
            }
        }
    });
    let malformed = || node.discovery().refused(Refusal::Malformed);
    let arrived = async {
        while malformed() < 1000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the flood arrives", arrived).await;
    let (before, since) = (malformed(), std::time::Instant::now());
    for _ in 0..3 {
        let teller = Bare::joined(&node).await;
        let now = now_ms();
        teller
            .tell(signed(entry_of(&teller.key, now, now), &teller.key))
            .await;
        knows(&node, teller.key.public(), true).await;
    }
    // 256 per second in addition to a burst.
    let most = 1100 + 256 * (since.elapsed().as_secs() + 1);
    assert!(
        malformed() <= most.max(before),
        "{} came through",
        malformed()
    );
    flooding.abort();
}

#[tokio::test]
async fn nodes_gossip_with_each_other() {
    let first = node(Config::builder()).await;
    let bootstrap = || Config::builder().with_bootstrap(first.local().addr());
    let (second, third) = (node(bootstrap()).await, node(bootstrap()).await);
    for node in [&first, &second, &third] {
        let joined = async {
            while node.discovery().gossip_neighbours() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("it has a neighbour", joined).await;
    }
    // A peer that only the first node knows receives from the third through it.
    let mut bare = Bare::joined(&first).await;
    third.discovery().add_tags("told");
    let id = third.local().id();
    let told = move |announcement| tags_of(id)(announcement).filter(|tags| *tags == 1);
    bare.hear_of("the change", told).await;
    let mut events = first.discovery().events();
    third.shutdown().await;
    let departed = async {
        while !matches!(events.recv().await, Ok(Event::PeerDeparted(peer)) if peer == id) {}
    };
    within("the departure is known", departed).await;
    knows(&second, id, false).await;
}
