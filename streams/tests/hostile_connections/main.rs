//! Many malicious connections: the time and memory that they can occupy while correct nodes join. The tests run one at
//! a time, because they measure.

#[path = "../attack/mod.rs"]
#[expect(dead_code, reason = "this program uses a part of it")]
mod attack;
#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "this program uses a part of it")]
mod common;
mod memory;
mod tap;

use std::time::{Duration, Instant};

use attack::{Attacker, Line, STREAMS, SYNC, code, frame};
use common::*;
use futures::{StreamExt, future::join_all, stream};
use mosaik_streams::{FramesProducer, Network, StreamId, status::ChannelInfo};
use tokio::{runtime::Runtime, sync::Mutex};

use memory::Counting;
use tap::Tap;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static TURN: Mutex<()> = Mutex::const_new(());

/// Correct nodes join in a few milliseconds, on a busy machine within a second or two. One that is held up by others waits
/// for the time limit of their handshakes, which is 10 s.
const JOIN_MAX: Duration = Duration::from_secs(5);
/// The maximum number of silent connections; see `EndpointConfig`.
const PENDING_MAX: usize = 1024;
const RETRY_ABOVE: u64 = 64;
const KIB: usize = 1024;

/// A node whose memory is counted.
struct Counted {
    network: Network,
    producer: FramesProducer,
    runtime: Option<Runtime>,
}

impl Counted {
    async fn start() -> Self {
        let runtime = memory::runtime();
        let made = runtime.spawn(async {
            let network = first().await;
            let producer = producer(&network).build().expect("the first");
            (network, producer)
        });
        let (network, producer) = made.await.expect("it starts");
        // Allocations that occur once are made before the measurement.
        honest_join(&network, &producer).await;
        Self {
            network,
            producer,
            runtime: Some(runtime),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let runtime = self.runtime.take().expect("it runs");
        // A runtime must not block on the shutdown of another one.
        let ended = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5)));
        assert!(ended.join().is_ok());
    }
}

/// Opens this many connections that send `bytes`. Returns the memory per connection in bytes.
async fn cost_of_each(count: usize, alpn: &'static [u8], bytes: &'static [u8]) -> usize {
    let node = Counted::start().await;
    let attacker = Attacker::new();
    let before = memory::live();
    let lines: Vec<Line> = stream::iter(0..count)
        .map(|_| attacker.say(&node.network, alpn, bytes))
        .buffer_unordered(32)
        .collect()
        .await;
    // The node has received everything: a node that joined later is served.
    honest_join(&node.network, &node.producer).await;
    let cost = memory::live().saturating_sub(before) / count;
    assert!(lines.iter().all(|line| line.conn.close_reason().is_none()));
    cost
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_announced_costs_no_memory() {
    const COUNT: usize = 200;
    let _turn = TURN.lock().await;
    // One announced byte, and a handshake or a snapshot of the maximum size for unknown peers.
    let cases = [
        (
            "handshake",
            STREAMS,
            &[0, 0, 0, 1][..],
            &[0, 1, 0, 0x40][..],
        ),
        ("snapshot", SYNC, &[0, 0, 0, 1][..], &[0, 0x40, 0, 0][..]),
    ];
    for (what, alpn, one, most) in cases {
        let honest = cost_of_each(COUNT, alpn, one).await;
        let lying = cost_of_each(COUNT, alpn, most).await;
        println!(
            "a connection with a {what} of one byte to come takes {} KiB, with the longest {} KiB",
            honest / KIB,
            lying / KIB
        );
        assert!(lying < honest + 64 * KIB, "{lying} bytes, not {honest}");
    }
}

/// Returns the memory in bytes that each producer which announces a record of this length costs its consumer.
async fn cost_of_producer(announced: u32) -> usize {
    const COUNT: usize = 100;
    let node = Counted::start().await;
    let consumer = node.network.streams().consumer_frames(STREAM).build();
    let consumer = consumer.expect("it wants all");
    let ids = ["test", STREAM].map(|text| *StreamId::from(text).as_bytes());
    let said = [frame(&ids.concat()), announced.to_be_bytes().to_vec()].concat();
    let liars: Vec<_> = (0..COUNT).map(|_| Attacker::new()).collect();
    let before = memory::live();
    for liar in &liars {
        let said = said.clone();
        liar.serve(move |mut line| {
            let said = said.clone();
            async move {
                line.answer().await.expect("a handshake");
                line.tx.write_all(&said).await.expect("it is read");
                line.conn.closed().await;
            }
        });
        let entry = liar.entry("test").with_stream(STREAM);
        liar.join(&node.network, &entry).await;
    }
    until("all are heard", || {
        let connected = consumer
            .producers()
            .into_iter()
            .filter(ChannelInfo::is_connected);
        connected.count() == COUNT
    })
    .await;
    memory::live().saturating_sub(before) / COUNT
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datum_that_is_announced_costs_its_consumer_no_memory() {
    let _turn = TURN.lock().await;
    let honest = cost_of_producer(1).await;
    let lying = cost_of_producer(16 * 1024 * 1024).await;
    println!(
        "a producer with a record of one byte to come takes {} KiB, with one of 16 MiB {} KiB",
        honest / KIB,
        lying / KIB
    );
    assert!(lying < honest + 64 * KIB, "{lying} bytes, not {honest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_silent_connections_are_gone_in_time_and_keep_nobody_out() {
    const COUNT: usize = 1000;
    let _turn = TURN.lock().await;
    let node = first().await;
    let producer = producer(&node).build().unwrap();
    let attacker = Attacker::new();
    let silent: Vec<_> = stream::iter(0..COUNT)
        .map(|round| {
            let alpn = attack::ALPNS[round % 3];
            let (attacker, node) = (&attacker, &node);
            async move { (attacker.dial(node, alpn).await, Instant::now()) }
        })
        .buffer_unordered(64)
        .collect()
        .await;
    let joined = honest_join(&node, &producer).await;
    let lives = join_all(silent.iter().map(|(conn, since)| async {
        let closed = within("it is closed", code(conn)).await;
        assert_eq!(closed, Some(102));
        since.elapsed()
    }))
    .await;
    let (shortest, longest) = (lives.iter().min().unwrap(), lives.iter().max().unwrap());
    println!(
        "{COUNT} silent connections lived {shortest:.1?} to {longest:.1?}; an honest join meanwhile took {joined:?}"
    );
    // They are closed after 10 s. A thousand close frames at once overflow the receive buffer of the attacker's socket,
    // and one that is lost there is noticed only when later packets of its connection are refused.
    assert!(*longest < Duration::from_secs(25), "{longest:?}");
    assert!(joined < JOIN_MAX, "{joined:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_stays_within_the_caps() {
    const DEAF: u64 = 10_000;
    const BATCH: u64 = 500;
    const SILENT: usize = 1500;
    let _turn = TURN.lock().await;
    let counted = Counted::start().await;
    let (node, producer) = (&counted.network, &counted.producer);
    let mut attacker = Attacker::new();
    let before = memory::live();
    memory::take_peak();

    // Attempts from addresses that never answer, like spoofed ones.
    let (endpoint, heard) = Tap::deaf_endpoint();
    let bound = std::mem::replace(&mut attacker.endpoint, endpoint);
    let addr = node.local().addr();
    let started = Instant::now();
    for batch in 1..=DEAF / BATCH {
        let attempts: Vec<_> = (0..BATCH)
            .map(|_| attacker.connecting(&addr, SYNC))
            .collect();
        until("each has an answer", || {
            heard.retries() + heard.others() >= batch * BATCH
        })
        .await;
        drop(attempts);
    }
    let (took, joined) = (started.elapsed(), honest_join(node, producer).await);
    let peak = memory::take_peak().saturating_sub(before);
    println!(
        "{DEAF} attempts in {took:.1?}: {} Retry packets, {} others, {} KiB more at most; an honest join took {joined:?}",
        heard.retries(),
        heard.others(),
        peak / KIB
    );
    assert!(heard.retries() >= DEAF - 10 * RETRY_ABOVE, "{heard:?}");
    assert!(peak < 32 * KIB * KIB, "{peak}");
    assert!(joined < JOIN_MAX, "{joined:?}");

    // Established connections that send nothing: more than there are seats.
    attacker.endpoint = bound;
    let silent: Vec<_> = stream::iter(0..SILENT)
        .map(|_| attacker.connecting(&addr, SYNC))
        .buffer_unordered(64)
        // A connection that the node has no time for counts like a refused one.
        .filter_map(|made| std::future::ready(made.ok()))
        .collect()
        .await;
    assert!(silent.len() > PENDING_MAX, "{} of {SILENT}", silent.len());
    let joined = honest_join(node, producer).await;
    let open = || {
        silent
            .iter()
            .filter(|conn| conn.close_reason().is_none())
            .count()
    };
    let since = Instant::now();
    until("those without a seat are closed", || open() <= PENDING_MAX).await;
    // Long before their time limit.
    assert!(since.elapsed() < Duration::from_secs(8), "{since:?}");
    let peak = memory::take_peak().saturating_sub(before);
    println!(
        "of {SILENT} silent connections {} stay, with {} KiB at most; an honest join took {joined:?}",
        open(),
        peak / KIB
    );
    assert!(peak < PENDING_MAX * 256 * KIB, "{peak}");
    assert!(joined < JOIN_MAX, "{joined:?}");
}
