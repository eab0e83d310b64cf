//! Nodes that are killed, cut off and isolated, and many concurrent connections: received records are in order and
//! intact, and others are counted.

use std::time::{Duration, Instant};

use crate::common::{process::Process, random::Random, *};
use mosaik_streams::{
    Frames, FramesConsumer, FramesProducer, Network, SecretKey,
    consumer::{Attempt, Phase},
    network::CloseReason,
    streams::{
        backoff::{ExponentialBackoff, ExponentialBackoffBuilder},
        producer::DisconnectLagging,
    },
};

/// The number of consecutive runs of a peer.
const LIVES: u64 = 50;
/// The maximum time for a run to reconnect. Shorter than every time limit that could end the wait: 10 s for a handshake, 30 s
/// for an idle connection.
const AGAIN_MAX: Duration = Duration::from_secs(9);

/// Sends numbers while the producer exists.
async fn send_for_ever(producer: FramesProducer) {
    for part in 0.. {
        if producer
            .send_frames(numbered(part * 50..part * 50 + 50))
            .await
            .is_err()
        {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_killed_again_and_again_goes_on_each_time() {
    let a = first().await;
    let producer = producer(&a)
        .with_max_consumers(1)
        .disconnect_lagging(DisconnectLagging::Wait)
        .build()
        .unwrap();
    let sending = tokio::spawn(send_for_ever(producer.clone()));
    let (key, addr) = (SecretKey::generate(), a.local().addr());
    let (mut random, mut longest, mut next) = (Random(3), Duration::ZERO, 0);
    for _ in 0..LIVES {
        let started = Instant::now();
        let mut life = Process::start();
        let (key, addr) = (key.clone(), addr.clone());
        let made = life.spawn(async move {
            let node = node(&key, &addr).await;
            let consumer = node.streams().consumer_frames(STREAM).build();
            (node, consumer.expect("it wants all"))
        });
        let (node, mut consumer) = within("a life", made).await.unwrap();
        let count = 1 + random.below(3000) as usize;
        let seen = within("records", some_numbers(&mut consumer, count)).await;
        longest = longest.max(started.elapsed());
        // Records that a run had not confirmed are sent to the next one, and none is left out.
        assert!(seen[0] <= next, "{} after {next}", seen[0]);
        assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1));
        next = next.max(seen[count - 1] + 1);
        life.kill();
        std::mem::forget((node, consumer));
    }
    println!("{LIVES} lives of a consumer, the slowest served after {longest:?}");
    assert!(longest < AGAIN_MAX, "{longest:?}");
    let stats = producer.stats();
    assert!(
        stats.redelivered > 0 && stats.dropped.total() == 0,
        "{stats:?}"
    );
    until("one subscriber at most", || producer.consumers().len() <= 1).await;
    sending.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_killed_again_and_again_is_followed_each_time() {
    let b = first().await;
    let mut consumer = b.streams().consumer_frames(STREAM).build().unwrap();
    let (key, addr) = (SecretKey::generate(), b.local().addr());
    let (mut random, mut longest) = (Random(5), Duration::ZERO);
    let mut total = 0;
    for _ in 0..LIVES {
        let started = Instant::now();
        let mut life = Process::start();
        let (key, addr) = (key.clone(), addr.clone());
        let made = life.spawn(async move {
            let node = node(&key, &addr).await;
            let producer = producer(&node)
                .disconnect_lagging(DisconnectLagging::Wait)
                // The next run is heard after what is left of this one, which would otherwise be up to a million records.
                .with_unconfirmed_bytes(64 * 1024)
                .build()
                .expect("the first of this life");
            tokio::spawn(send_for_ever(producer.clone()));
            (node, producer)
        });
        let held = within("a life", made).await.unwrap();
        // First the records of the previous run, then all of this one.
        let count = 1 + random.below(3000);
        let mut last = None;
        let (mut is_new, mut of_this) = (false, 0);
        within("records of this life", async {
            while of_this < count {
                for number in some_numbers(&mut consumer, 1).await {
                    total += 1;
                    is_new |= number == 0;
                    assert!(
                        number == 0 || last.is_none_or(|last| number == last + 1),
                        "{number} after {last:?}"
                    );
                    last = Some(number);
                    of_this += u64::from(is_new);
                }
            }
        })
        .await;
        longest = longest.max(started.elapsed());
        life.kill();
        std::mem::forget(held);
    }
    println!("{LIVES} lives of a producer, the slowest heard after {longest:?}");
    assert!(longest < AGAIN_MAX, "{longest:?}");
    assert_eq!(
        (consumer.stats().datums, consumer.stats().dropped.total()),
        (total, 0)
    );
}

/// A producer that never waits, and a remote consumer that reconnects with this backoff when it is disconnected.
async fn hasty_and_slow(
    backoff: ExponentialBackoff,
) -> ([Network; 2], FramesProducer, FramesConsumer) {
    let a = first().await;
    let producer = producer(&a)
        .online_when(|c| c.minimum_of(0))
        .disconnect_lagging(true)
        .with_buffer_size(8)
        .build()
        .expect("its settings are good");
    let b = joined(&a).await;
    let consumer = b
        .streams()
        .consumer_frames(STREAM)
        .with_buffer_size(4)
        .with_backoff(backoff)
        .build()
        .expect("its settings are good");
    ([a, b], producer, consumer)
}

/// Lost records are counted exactly if the connection is restored while the producer exists.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_reconnect_misses_is_counted_to_the_datum() {
    let eager = ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_millis(10))
        .with_max_interval(Duration::from_millis(50))
        .build();
    let (_nodes, producer, mut consumer) = hasty_and_slow(eager).await;
    // Records before its first start are not missed.
    within("a consumer", consumer.when().subscribed()).await;
    let (mut sent, mut seen, mut cuts) = (0, Vec::new(), 0);
    let mut produce = async |count: u64| {
        for _ in 0..count {
            let mut datum = vec![0; 100_000];
            datum[..8].copy_from_slice(&u64::to_be_bytes(sent));
            producer.send_frames(Frames::single(&datum)).await.unwrap();
            sent += 1;
        }
        sent
    };
    let read = |frames: Frames, seen: &mut Vec<u64>| {
        seen.extend(
            frames
                .iter()
                .map(|datum| u64::from_be_bytes(datum[..8].try_into().unwrap())),
        );
    };
    for _ in 0..5 {
        // It does not read until it is disconnected,
        let before = producer.stats().dropped.lagging;
        within("it is cut off", async {
            while producer.stats().dropped.lagging == before {
                produce(1).await;
            }
        })
        .await;
        cuts += 1;
        // misses some more records, and reads until it reconnects.
        produce(20).await;
        within("it comes back", async {
            while !(producer.when().subscribed() == true && consumer.when().subscribed() == true) {
                let taken = tokio::time::timeout(Duration::from_millis(5), consumer.recv_frames(1));
                if let Ok(frames) = taken.await {
                    read(frames.unwrap(), &mut seen);
                }
            }
        })
        .await;
    }
    let total = produce(1).await;
    let (report, ()) = within("the end", async {
        tokio::join!(producer.finish(), async {
            while let Some(frames) = consumer.recv_frames(10).await {
                read(frames, &mut seen);
            }
        })
    })
    .await;
    assert!(report.ended);
    assert!(
        seen.windows(2).all(|pair| pair[0] < pair[1]),
        "in order, and none twice"
    );
    let lost = consumer.stats().dropped.lost;
    println!(
        "cut off {cuts} times: of {total} records {} came and {lost} were counted as lost",
        seen.len()
    );
    assert!(lost > 0 && seen.last() == Some(&(total - 1)));
    assert_eq!(seen.len() as u64 + lost, total);
}

/// A consumer that was disconnected and reconnects after the end learns the final position.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_missed_at_the_very_end_is_counted() {
    let eager = ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_millis(300))
        .with_randomization_factor(0.0)
        .build();
    let (_nodes, producer, mut consumer) = hasty_and_slow(eager).await;
    within("a consumer", consumer.when().subscribed()).await;
    let mut sent = 0;
    within("it is cut off", async {
        while producer.stats().dropped.lagging == 0 {
            let datum = Frames::single(&vec![0; 100_000]);
            producer.send_frames(datum).await.unwrap();
            sent += 1;
        }
    })
    .await;
    let (report, seen) = within("the end", async {
        tokio::join!(producer.finish(), async {
            let mut seen = 0;
            while let Some(frames) = consumer.recv_frames(10).await {
                seen += frames.count() as u64;
            }
            seen
        })
    })
    .await;
    assert!(report.ended);
    let lost = consumer.stats().dropped.lost;
    assert!(lost > 0);
    // Records that were never handed to the fan-out are not missed.
    assert_eq!(seen + lost + report.stats.dropped.offline, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_comes_back_after_the_back_off_has_run_out_is_found() {
    let b = first().await;
    let short = ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_millis(5))
        .with_max_interval(Duration::from_millis(10))
        .with_max_elapsed_time(Some(Duration::from_millis(60)))
        .build();
    let mut consumer = b
        .streams()
        .consumer_frames(STREAM)
        .with_backoff(short)
        .build()
        .unwrap();
    let (key, addr) = (SecretKey::generate(), b.local().addr());
    for round in 0..3 {
        let a = node(&key, &addr).await;
        let full = producer(&a).with_max_consumers(0).build().unwrap();
        // Refused because of missing capacity, it retries until its time limit.
        until("the time for attempts is over", || {
            let attempts = consumer.attempts();
            let gave_up = |one: &Attempt| {
                one.phase == Phase::Resting && one.last_close == Some(CloseReason::NoCapacity)
            };
            attempts.iter().any(gave_up)
        })
        .await;
        drop(full);
        until("the id is free", || a.discovery().me().streams().is_empty()).await;
        let roomy = producer(&a).build().unwrap();
        within("a consumer", roomy.when().online()).await;
        roomy.send_frames(numbered(round..round + 1)).await.unwrap();
        assert_eq!(
            within("a record", some_numbers(&mut consumer, 1)).await,
            [round]
        );
        within("the end", a.shutdown()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_connections_at_once_deliver_a_megabyte_each_intact() {
    const NODES: usize = 4;
    const EACH: usize = 50;
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 16;
    let a = first().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .online_when(|c| c.minimum_of(NODES * EACH))
        .build()
        .unwrap();
    let mut nodes = Vec::new();
    let mut consumers: Vec<FramesConsumer> = Vec::new();
    for _ in 0..NODES {
        let node = joined(&a).await;
        let build = || node.streams().consumer_frames(STREAM).build().unwrap();
        consumers.extend((0..EACH).map(|_| build()));
        nodes.push(node);
    }
    let started = Instant::now();
    within("all are there", producer.when().online()).await;
    let connected = started.elapsed();
    let mut random = Random(11);
    let data = random.bytes(CHUNK * CHUNKS);
    let expected = blake3::hash(&data);
    let readers: Vec<_> = consumers
        .into_iter()
        .map(|mut consumer| {
            tokio::spawn(async move {
                let mut hash = blake3::Hasher::new();
                while let Some(frames) = consumer.recv_frames(4).await {
                    frames.iter().for_each(|datum| _ = hash.update(datum));
                }
                (hash.finalize(), hash.count())
            })
        })
        .collect();
    let frames: Frames = data.chunks(CHUNK).collect();
    producer.send_frames(frames).await.unwrap();
    // 200 MB take a while on a busy machine.
    let report = producer.finish_within(Duration::from_mins(5)).await;
    for reader in readers {
        assert_eq!(
            within("a reader", reader).await.unwrap(),
            (expected, data.len() as u64)
        );
    }
    println!(
        "{} connections up after {connected:.1?}, a megabyte on each after {:.1?}",
        NODES * EACH,
        started.elapsed()
    );
    assert_eq!(
        (report.complete, report.stats.dropped.total()),
        (NODES * EACH, 0)
    );
}
