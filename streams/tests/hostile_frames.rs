//! Malicious frames from dialling nodes and from producers: each costs its sender the connection and has no other
//! effect.

use std::time::{Duration, Instant};

use crate::attack::{ALPNS, Attacker, Line, PING, STREAMS, SYNC, code, frame, snapshot};
use crate::common::{random::Random, *};
use futures::future::join_all;
use mosaik_streams::{Criteria, Network, StreamId, status::ChannelInfo};

/// The time limit of a connection for its first frame, and an allowance for a busy machine.
const DEADLINE: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(10);

/// Correct nodes join in a few milliseconds, on a busy machine within a second or two. One that is held up by others waits
/// for the time limit of their handshakes, which is 10 s.
const JOIN_MAX: Duration = Duration::from_secs(5);

fn name(alpn: &[u8]) -> &str {
    std::str::from_utf8(alpn).expect("a name")
}

/// The description, the sender, the protocol, the bytes, and the expected close code.
type Case<'a> = (&'a str, &'a Attacker, &'a [u8], Vec<u8>, u64);

/// The two ids of a handshake.
fn ids(network: &str, stream: &str) -> Vec<u8> {
    [StreamId::from(network), StreamId::from(stream)]
        .map(|id| *id.as_bytes())
        .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_first_frame_closes_the_connection() {
    let node = first().await;
    let producer = producer(&node).build().unwrap();
    let (member, stranger) = (Attacker::new(), Attacker::new());
    member.join(&node, &member.entry("test")).await;
    let honest = snapshot(&[member.entry("test").signed(&member.key)]);
    let cases: [Case<'_>; 15] = [
        ("4 GiB announced", &stranger, STREAMS, vec![0xff; 4], 400),
        ("4 GiB announced", &stranger, SYNC, vec![0xff; 4], 400),
        ("4 GiB announced", &stranger, PING, vec![0xff; 4], 401),
        ("4 GiB announced", &member, PING, vec![0xff; 4], 400),
        (
            "a handshake of 1 MiB",
            &stranger,
            STREAMS,
            vec![0, 0x10, 0, 0],
            400,
        ),
        (
            "a snapshot of 5 MiB",
            &stranger,
            SYNC,
            vec![0, 0x50, 0, 0],
            400,
        ),
        (
            "a snapshot of 17 MiB",
            &member,
            SYNC,
            vec![1, 0x10, 0, 0],
            400,
        ),
        ("a ping of 2 KiB", &member, PING, vec![0, 0, 8, 0], 400),
        ("half a handshake", &member, STREAMS, frame(&[7; 63]), 400),
        (
            "an unknown peer",
            &stranger,
            STREAMS,
            frame(&ids("test", STREAM)),
            401,
        ),
        (
            "another network",
            &member,
            STREAMS,
            frame(&ids("other", STREAM)),
            101,
        ),
        (
            "no such stream",
            &member,
            STREAMS,
            frame(&ids("test", "nothing")),
            10404,
        ),
        (
            "many entries announced",
            &stranger,
            SYNC,
            frame(&[0xff, 0xff, 0xff, 0xff, 0xf]),
            400,
        ),
        (
            "an entry cut short",
            &member,
            SYNC,
            frame(&honest[..honest.len() - 1]),
            400,
        ),
        ("nobody's entry", &stranger, SYNC, frame(&[0]), 401),
    ];
    for (what, who, alpn, bytes, expected) in cases {
        let started = Instant::now();
        let mut line = who.say(&node, alpn, &bytes).await;
        let closed = within("it is closed", code(&line.conn)).await;
        assert_eq!(closed, Some(expected), "{what} on {}", name(alpn));
        assert!(
            line.everything().await.is_empty(),
            "{what} on {}",
            name(alpn)
        );
        assert!(started.elapsed() < DEADLINE, "{what} on {}", name(alpn));
    }
    let took = honest_join(&node, &producer).await;
    println!("an honest join afterwards: {took:?}");
    assert!(took < JOIN_MAX, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_does_no_harm_on_any_protocol() {
    const ROUNDS: usize = 150;
    let node = first().await;
    let producer = producer(&node).build().unwrap();
    let member = Attacker::new();
    member.join(&node, &member.entry("test")).await;
    let stranger = Attacker::new();
    let mut random = Random(1);
    for round in 0..ROUNDS {
        for (alpn, who) in ALPNS.into_iter().zip([&member, &stranger, &member]) {
            let len = random.below(300) as usize;
            let mut payload = random.bytes(len);
            if round % 3 == 0 {
                // Starts like a valid one.
                let entry = who.entry("test").signed(&who.key);
                let start = if alpn == STREAMS {
                    [&ids("test", STREAM), &b"MSX1\0\0\0\x40"[..]].concat()
                } else {
                    snapshot(&[entry])
                };
                payload.splice(..0, start);
            }
            let bytes = if round % 2 == 0 {
                frame(&payload)
            } else {
                payload
            };
            let line = who.say(&node, alpn, &bytes).await;
            line.conn.close(0u32.into(), b"");
        }
    }
    until("all of it is done with", || producer.consumers().is_empty()).await;
    let took = honest_join(&node, &producer).await;
    println!(
        "an honest join after {} frames of garbage: {took:?}",
        3 * ROUNDS
    );
    assert!(took < JOIN_MAX, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_frame_is_waited_for_as_long_as_a_handshake_and_holds_up_nobody() {
    const EACH: usize = 300;
    let node = first().await;
    let producer = producer(&node).build().unwrap();
    let member = Attacker::new();
    member.join(&node, &member.entry("test")).await;
    let started = Instant::now();
    let halves: [&[u8]; 3] = [&[0], &[0, 0, 0, 100, 1], &[0, 1, 0, 0, 1, 2, 3]];
    let mut lines = Vec::new();
    for alpn in ALPNS {
        for round in 0..EACH {
            lines.push(member.say(&node, alpn, halves[round % halves.len()]).await);
        }
    }
    let opened = started.elapsed();
    let took = honest_join(&node, &producer).await;
    let closed = join_all(lines.iter().map(|line| async {
        let code = within("it is closed", code(&line.conn)).await;
        (code, started.elapsed())
    }))
    .await;
    let last = closed.iter().map(|(_, at)| *at).max().unwrap();
    println!(
        "{} halves of frames opened in {opened:?}: the last closed {:?} after it was opened, an honest join meanwhile \
         took {took:?}",
        3 * EACH,
        last.saturating_sub(opened)
    );
    assert!(took < JOIN_MAX, "{took:?}");
    // A ping of more than 1 KiB is refused because of its length.
    let codes: Vec<_> = closed.iter().map(|(code, _)| *code).collect();
    let is_fine = |code: &Option<u64>| matches!(code, Some(102 | 400) | None);
    assert!(codes.iter().all(is_fine), "{codes:?}");
    // Hundreds of close frames at once may overflow the receive buffer of the attacker's socket. A lost one is noticed when
    // later packets of its connection are refused.
    let without = codes.iter().filter(|code| code.is_none()).count();
    assert!(without < EACH / 2, "{without} closed without a code");
    assert!(last < opened + DEADLINE + MARGIN, "{last:?}");
}

/// The behaviour of a malicious producer after the handshake that it received.
type Attack = fn(Line) -> futures::future::BoxFuture<'static, ()>;

async fn say_and_stay(mut line: Line, bytes: Vec<u8>) {
    let mut line = if line.answer().await.is_some() {
        line
    } else {
        return;
    };
    let _ = line.tx.write_all(&bytes).await;
    line.conn.closed().await;
}

fn start() -> Vec<u8> {
    frame(&ids("test", STREAM))
}

const ATTACKS: [(&str, Attack); 8] = [
    ("it lies about a record's length", |line| {
        Box::pin(say_and_stay(line, [start(), vec![0xff; 4]].concat()))
    }),
    ("half a record", |line| {
        Box::pin(say_and_stay(line, [start(), vec![0, 0, 1, 0, 1]].concat()))
    }),
    ("a record that is no JSON", |line| {
        Box::pin(say_and_stay(line, [start(), frame(b"{")].concat()))
    }),
    ("a start of 1 MiB", |line| {
        Box::pin(say_and_stay(line, vec![0, 0x10, 0, 0]))
    }),
    ("a start of nothing", |line| {
        Box::pin(say_and_stay(line, frame(b"")))
    }),
    ("a start of another network", |line| {
        Box::pin(say_and_stay(line, frame(&ids("other", STREAM))))
    }),
    ("another stream", |line| {
        Box::pin(say_and_stay(line, frame(&ids("test", "other"))))
    }),
    ("no answer at all", |line| {
        Box::pin(say_and_stay(line, vec![]))
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn malicious_producers_do_not_keep_a_consumer_from_the_honest_one() {
    let honest = first().await;
    let producer = producer(&honest).build().unwrap();
    let node = joined(&honest).await;
    let wanted = Criteria::field("n").gte(0);
    let build = |node: &Network| node.streams().consumer_frames(STREAM);
    let mut consumer = build(&node).with_criteria(wanted).build().unwrap();
    within("the honest producer", producer.when().online()).await;
    let mut attackers = Vec::new();
    for (what, attack) in ATTACKS {
        let attacker = Attacker::new();
        let (tx, mut heard) = tokio::sync::mpsc::unbounded_channel();
        attacker.serve(move |line| {
            if line.alpn().as_deref() == Some(STREAMS) {
                let _ = tx.send(());
            }
            attack(line)
        });
        let entry = attacker.entry("test").with_stream(STREAM);
        attacker.join(&node, &entry).await;
        within(what, heard.recv()).await;
        attackers.push((what, attacker));
    }
    send_numbers(&producer, 0..1000).await;
    assert_all(
        &within("honest records", some_numbers(&mut consumer, 1000)).await,
        0..1000,
    );
    until("what lies and what is malformed is counted", || {
        let dropped = consumer.stats().dropped;
        dropped.too_large == 1 && dropped.malformed >= 1
    })
    .await;
    // Of the malicious ones, only those that have not violated the protocol so far are still connected.
    until("the others are given up", || {
        let connected = consumer
            .producers()
            .into_iter()
            .filter(ChannelInfo::is_connected);
        connected.count() == 3
    })
    .await;
    let left: Vec<_> = attackers
        .iter()
        .filter(|(_, attacker)| {
            let is_it = |p: &ChannelInfo| p.is_connected() && *p.producer_id() == attacker.id();
            consumer.producers().iter().any(is_it)
        })
        .map(|(what, _)| *what)
        .collect();
    assert_eq!(left, ["half a record", "a record that is no JSON"]);
    send_numbers(&producer, 1000..2000).await;
    assert_all(
        &within("more", some_numbers(&mut consumer, 1000)).await,
        1000..2000,
    );
}
