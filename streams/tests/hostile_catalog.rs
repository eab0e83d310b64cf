//! Malicious entries, and more entries than a catalog holds: refusals are counted, and peers that are in use or connect
//! directly are kept.

use std::time::{Duration, Instant};

use crate::attack::{
    ALPNS, Attacker, Entry, PING, STREAMS, SYNC, code,
    entry::{Transport, now_ms, sign},
    frame, snapshot,
};
use crate::common::*;
use mosaik_streams::{
    EndpointAddr, Network, SecretKey, StreamId,
    discovery::{self, MAX_PEERS, Refusal},
};

/// Correct nodes join in a few milliseconds, on a busy machine within a second or two. One that is held up by others waits
/// for the time limit of their handshakes, which is 10 s.
const JOIN_MAX: Duration = Duration::from_secs(5);

/// Returns the node's answer to a snapshot, if any.
async fn tell(who: &Attacker, node: &Network, entries: &[Vec<u8>]) -> Result<Vec<u8>, Option<u64>> {
    let mut line = who.say(node, SYNC, &frame(&snapshot(entries))).await;
    match within("an answer", line.answer()).await {
        Some(answer) => {
            line.conn.close(200u32.into(), b"Success");
            Ok(answer)
        }
        None => Err(code(&line.conn).await),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_that_cannot_be_is_refused_for_its_reason() {
    let node = first().await;
    let member = Attacker::new();
    let own = member.entry("test").signed(&member.key);
    let victim = Attacker::new();
    let genuine = victim.entry("test").dated(now_ms(), now_ms());
    tell(&member, &node, &[own.clone(), genuine.signed(&victim.key)])
        .await
        .unwrap();
    let known = node.discovery().catalog().get(&victim.id()).cloned();
    assert!(known.is_some());

    let now = now_ms();
    let newer = || victim.entry("test").dated(now + 10, now + 10);
    let mut forged = newer().signed(&victim.key);
    *forged.last_mut().unwrap() ^= 1;
    let mut changed = postcard::to_stdvec(&newer().with_stream("stolen")).unwrap();
    changed.extend_from_slice(&newer().signed(&victim.key)[changed.len() - 32..][..64]);
    let local = Entry::new("test", &node.local().addr()).dated(now + 10, now + 10);
    let dated = |started, updated| newer().dated(started, updated).signed(&victim.key);
    let minute = 60_000;
    let cases: [(&str, Vec<u8>, Refusal); 13] = [
        (
            "a signature with a wrong bit",
            forged,
            Refusal::BadSignature,
        ),
        (
            "signed by another",
            newer().signed(&member.key),
            Refusal::BadSignature,
        ),
        (
            "the signature of another entry",
            changed,
            Refusal::BadSignature,
        ),
        ("a replay", genuine.signed(&victim.key), Refusal::NotNewer),
        (
            "an earlier life",
            dated(now - minute, now + 20),
            Refusal::NotNewer,
        ),
        (
            "a foreign network",
            victim.entry("other").signed(&victim.key),
            Refusal::ForeignNetwork,
        ),
        (
            "two minutes ahead",
            dated(now, now + 2 * minute),
            Refusal::FutureDated,
        ),
        (
            "a life two minutes ahead",
            dated(now + 2 * minute, now),
            Refusal::FutureDated,
        ),
        (
            "the end of time",
            dated(i64::MAX, i64::MAX),
            Refusal::FutureDated,
        ),
        (
            "a life at the end of time",
            dated(i64::MAX, now),
            Refusal::FutureDated,
        ),
        (
            "the beginning of time",
            dated(i64::MIN, i64::MIN),
            Refusal::Stale,
        ),
        (
            "six minutes old",
            dated(now, now - 6 * minute),
            Refusal::Stale,
        ),
        (
            "the node's own",
            sign(postcard::to_stdvec(&local).unwrap(), &member.key),
            Refusal::Local,
        ),
    ];
    for (what, entry, reason) in cases {
        let before = node.discovery().refused(reason);
        tell(&member, &node, &[entry])
            .await
            .unwrap_or_else(|code| panic!("{what}: {code:?}"));
        assert_eq!(node.discovery().refused(reason), before + 1, "{what}");
        assert_eq!(
            node.discovery().catalog().get(&victim.id()).cloned(),
            known,
            "{what}"
        );
    }
    assert_eq!(node.discovery().catalog().peers_count(), 2);
    // A peer whose own entry is invalid gets no answer.
    for (started, updated) in [(i64::MAX, i64::MAX), (i64::MIN, i64::MIN), (i64::MIN, now)] {
        let stranger = Attacker::new();
        let entry = stranger
            .entry("test")
            .dated(started, updated)
            .signed(&stranger.key);
        let told = tell(&stranger, &node, &[entry]).await;
        let is_fine = (started, updated) == (i64::MIN, now);
        assert_eq!(told.is_ok(), is_fine, "{started} {updated}: {told:?}");
    }
    let uptimes = node.discovery().catalog();
    assert!(
        uptimes
            .peers()
            .all(|peer| peer.uptime() >= Duration::ZERO && peer.started_at() <= peer.updated_at())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_is_not_brought_back_by_a_replay() {
    let node = first().await;
    let (leaver, gossip) = (Attacker::new(), Attacker::new());
    let own = leaver.entry("test").signed(&leaver.key);
    tell(&leaver, &node, std::slice::from_ref(&own))
        .await
        .unwrap();
    // As sent by this implementation: the push and departure fields after the snapshot.
    let departure = [
        &snapshot(std::slice::from_ref(&own))[..],
        b"MSX1\0\0\0\x0d\0\x06\0\0\0\0\0\x07\0\0\0\x01\x01",
    ]
    .concat();
    let mut line = leaver.say(&node, SYNC, &frame(&departure)).await;
    assert!(within("an answer", line.answer()).await.is_some());
    let catalog = || node.discovery().catalog();
    assert!(catalog().get(&leaver.id()).is_none());
    let entries = [gossip.entry("test").signed(&gossip.key), own.clone()];
    tell(&gossip, &node, &entries).await.unwrap();
    assert!(catalog().get(&leaver.id()).is_none() && catalog().get(&gossip.id()).is_some());
    assert_eq!(node.discovery().refused(Refusal::Departed), 1);
    // A peer cannot announce the departure of another.
    let forged = [
        &snapshot(&[
            gossip.entry("test").signed(&gossip.key),
            node_entry(&gossip),
        ])[..],
        b"MSX1\0\0\0\x0d\0\x06\0\0\0\0\0\x07\0\0\0\x01\x01",
    ]
    .concat();
    let other = Attacker::new();
    tell(&other, &node, &[other.entry("test").signed(&other.key)])
        .await
        .unwrap();
    let mut line = other.say(&node, SYNC, &frame(&forged)).await;
    assert!(within("an answer", line.answer()).await.is_some());
    assert!(catalog().get(&gossip.id()).is_some() && catalog().get(&other.id()).is_some());
}

fn node_entry(of: &Attacker) -> Vec<u8> {
    of.entry("test").with_stream("x").signed(&of.key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_strangers_lock_nobody_out() {
    const ROUNDS: usize = 20;
    const EACH: usize = 5000;
    // The field with which this implementation requests only the receiver's own entry.
    const PUSH: &[u8] = b"MSX1\0\0\0\x07\0\x07\0\0\0\x01\x01";
    // No entry expires before the flood is over, however long that takes.
    let config = discovery::Config::builder().with_purge_after(Duration::from_hours(24));
    let node = Network::builder("test").with_discovery(config).build();
    let node = node.await.unwrap();
    let producer = producer(&node).build().unwrap();
    // One in use, and one known directly but not in use.
    let active = first().await;
    // Once only: it does not retry.
    let met = active.discovery().sync_with(node.local().addr());
    within("they meet", met).await.unwrap();
    let mut consumer = active.streams().consumer_frames(STREAM).build().unwrap();
    within("it is let in", consumer.when().subscribed()).await;
    let idle = joined(&node).await;
    let knows = |of: &Network, peer| of.discovery().catalog().get(&peer).is_some();
    until("it is known", || knows(&node, idle.local().id())).await;

    // Their address discards everything sent to it, so dialling it takes until the timeout.
    let swallows = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let addr = swallows.local_addr().unwrap();
    let signing = Instant::now();
    let template = Entry::new("test", &EndpointAddr::from(SecretKey::generate().public()));
    let strangers: Vec<Vec<u8>> = (0..ROUNDS * EACH)
        .map(|_| {
            let key = SecretKey::generate();
            let mut entry = template.clone();
            (entry.id, entry.transports) = (key.public(), vec![Transport::Ip(addr)]);
            entry.signed(&key)
        })
        .collect();
    // A new node verifies every signature of the catalog, which depends on the current load of this machine.
    let pace = signing.elapsed();
    let join_max = JOIN_MAX + pace / 2;
    println!("{} entries signed in {pace:.1?}", strangers.len());
    let (started, mut joins) = (Instant::now(), Vec::new());
    for (round, part) in strangers.chunks(EACH).enumerate() {
        let flooder = Attacker::new();
        let mut all = vec![flooder.entry("test").signed(&flooder.key)];
        all.extend_from_slice(part);
        let join = async {
            // Each merges the whole catalog, which costs more than the behaviour under test.
            if round % 10 == 0 {
                joins.push(honest_join(&node, &producer).await);
            }
        };
        let flood = async {
            let said = frame(&[&snapshot(&all)[..], PUSH].concat());
            // A busy machine may not have time for it at once.
            while flooder
                .say(&node, SYNC, &said)
                .await
                .answer()
                .await
                .is_none()
            {}
        };
        let within_limit = tokio::time::timeout(Duration::from_mins(2), flood);
        let (told, ()) = tokio::join!(within_limit, join);
        assert!(told.is_ok());
        let count = node.discovery().catalog().peers_count();
        assert!(count <= MAX_PEERS, "{count}");
    }
    let took = started.elapsed();
    joins.push(honest_join(&node, &producer).await);
    println!(
        "{} strangers taken in within {took:.1?}: {} in the catalog, {} displaced, {} refused; honest joins took {joins:.0?}",
        strangers.len(),
        node.discovery().catalog().peers_count(),
        node.discovery().displaced(),
        node.discovery().refused(Refusal::Full)
    );
    assert!(node.discovery().displaced() as usize > ROUNDS * EACH - MAX_PEERS);
    assert!(joins.iter().all(|took| *took < join_max), "{joins:?}");
    assert!(knows(&node, active.local().id()) && knows(&node, idle.local().id()));
    // The active peer is served, and receives changes before all unknown peers.
    send_numbers(&producer, 0..500).await;
    let mut seen = within(
        "what was sent",
        some_numbers(&mut consumer, 500 + joins.len()),
    )
    .await;
    seen.drain(..joins.len());
    assert_all(&seen, 0..500);
    let changed = Instant::now();
    node.discovery().add_tags("changed");
    until("the active one hears of it", || {
        let catalog = active.discovery().catalog();
        catalog
            .get(&node.local().id())
            .is_some_and(|peer| peer.tags().len() == 1)
    })
    .await;
    println!("a change was known after {:?}", changed.elapsed());
    assert!(changed.elapsed() < join_max);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_network_learns_nothing() {
    let node = first().await;
    node.discovery().add_tags("secret");
    let _producer = producer(&node).build().unwrap();
    let member = Attacker::new();
    member.join(&node, &member.entry("test")).await;

    let foreigner = Attacker::new();
    let own = snapshot(&[foreigner.entry("other").signed(&foreigner.key)]);
    let ids = |network: &str| {
        [network, STREAM]
            .map(|text| *StreamId::from(text).as_bytes())
            .concat()
    };
    let said = [
        (SYNC, own.clone(), 101),
        (SYNC, snapshot(&[]), 401),
        (
            SYNC,
            snapshot(&[member.entry("test").signed(&member.key)]),
            401,
        ),
        (PING, vec![], 401),
        (STREAMS, ids("other"), 401),
        (STREAMS, ids("test"), 401),
    ];
    for (alpn, payload, expected) in said {
        let mut line = foreigner.say(&node, alpn, &frame(&payload)).await;
        let heard = within("the end", line.everything()).await;
        assert_eq!((heard.len(), code(&line.conn).await), (0, Some(expected)));
    }
    for alpn in ALPNS {
        let mut line = foreigner.say(&node, alpn, &[]).await;
        line.tx.finish().unwrap();
        assert!(within("the end", line.everything()).await.is_empty());
    }

    // Nor when the node dials it: it receives only the entry of the dialling node.
    let (tx, mut heard) = tokio::sync::mpsc::unbounded_channel();
    foreigner.serve(move |mut line| {
        let (tx, own) = (tx.clone(), own.clone());
        async move {
            let said = line.answer().await;
            // Fails if there is no receiver any more.
            let _ = (tx.send(said), line.tx.write_all(&frame(&own)).await);
            line.conn.closed().await;
        }
    });
    let refused = within("a sync", node.discovery().sync_with(foreigner.addr())).await;
    assert!(refused.is_err());
    let said = within("what it says", heard.recv())
        .await
        .flatten()
        .unwrap();
    assert_eq!(said[0], 1, "one entry");
    let holds = |id: &[u8]| said.windows(32).any(|window| window == id);
    assert!(holds(node.local().id().as_bytes()) && !holds(member.id().as_bytes()));
    assert!(heard.try_recv().is_err());
    assert!(node.discovery().catalog().get(&foreigner.id()).is_none());
}
