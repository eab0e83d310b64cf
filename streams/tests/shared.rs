//! Consumers on one node that share a subscription: one connection, and each receives the same as with its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::attack::{Attacker, STREAMS, frame};
use crate::common::{
    process::Process,
    relay::{Profile, Relay},
    *,
};
use mosaik_streams::{
    Criteria, Encoding, Frames, FramesConsumer, FramesProducer, Network, SecretKey, StreamId,
    consumer::{FramesConsumerBuilder, Taken},
    streams::{producer::DisconnectLagging, status::ChannelInfo},
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

const MS: Duration = Duration::from_millis(1);

/// A producer that waits for two consumers, and for slow ones without limit.
async fn patient() -> (Network, FramesProducer) {
    let a = first().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .online_when(|subscribed| subscribed.minimum_of(2))
        .build()
        .expect("the first");
    (a, producer)
}

/// A consumer that shares its subscription.
fn sharing(network: &Network) -> FramesConsumerBuilder {
    let builder = network.streams().consumer_frames(STREAM);
    builder.with_shared_subscription("stages")
}

fn wanting(network: &Network, criteria: Criteria) -> FramesConsumer {
    let builder = sharing(network).with_criteria(criteria);
    builder.build().expect("they apply to JSON")
}

/// Returns the number of consumers that share each connection of a producer.
fn shares(producer: &FramesProducer) -> Vec<usize> {
    let channels = producer.consumers();
    channels.iter().map(ChannelInfo::consumers).collect()
}

/// Takes all records, a few at a time.
fn read_slowly(
    mut consumer: FramesConsumer,
    pause: Duration,
) -> JoinHandle<(Vec<u64>, FramesConsumer)> {
    tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(frames) = consumer.recv_frames(100).await {
            seen.extend(numbers(&frames));
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        (seen, consumer)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_consumers_are_one_subscription_that_counts_twice_and_both_get_the_first_record() {
    let (a, producer) = patient().await;
    let b = joined(&a).await;
    until("the producer is known", || {
        b.discovery().catalog().peers_count() > 0
    })
    .await;
    let hold = b.streams().hold_subscriptions();
    let one = sharing(&b).build().unwrap();
    tokio::time::sleep(50 * MS).await;
    assert!(one.producers().is_empty(), "it is held");
    let two = sharing(&b)
        .online_when(|subscribed| subscribed.minimum_of(1))
        .build()
        .unwrap();
    assert!(one.is_online() && !two.is_online());
    drop(hold);
    within("two consumers", producer.when().online()).await;
    assert_eq!(shares(&producer), [2]);
    let condition = producer.when().subscribed().minimum_of(3);
    assert_eq!(
        (condition.count(), condition.is_condition_met()),
        (2, false)
    );
    let (one, two) = (
        read_slowly(one, Duration::ZERO),
        read_slowly(two, Duration::ZERO),
    );
    within("sending", send_numbers(&producer, 0..6000)).await;
    let stats = producer.stats();
    let report = within("the end", producer.finish()).await;
    assert_eq!(report.complete, 1);
    for reading in [one, two] {
        let (seen, consumer) = within("all records", reading).await.unwrap();
        assert_all(&seen, 0..6000);
        assert_eq!(consumer.stats().dropped.total(), 0);
    }
    assert_eq!((report.stats.sent_datums, stats.datums), (6000, 6000));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_shows_the_same_connection_and_its_own_conditions() {
    let (a, producer) = patient().await;
    let b = joined(&a).await;
    let one = sharing(&b).build().unwrap();
    within("a connection", one.when().subscribed()).await;
    // It joins a connected one.
    let two = sharing(&b)
        .online_when(|subscribed| subscribed.minimum_of(1))
        .build()
        .unwrap();
    let alone = sharing(&b)
        .online_when(|subscribed| subscribed.minimum_of(2))
        .build()
        .unwrap();
    assert!(one.is_online() && two.is_online() && !alone.is_online());
    assert_eq!(one.producers()[0].number(), two.producers()[0].number());
    assert_eq!((one.attempts(), two.attempts().len()), (two.attempts(), 1));
    until("all are counted", || shares(&producer) == [3]).await;
    drop((one, alone));
    until("two have left", || shares(&producer) == [1]).await;
    assert!(!producer.is_online());
    drop(two);
    until("all have left", || shares(&producer).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gets_what_its_criteria_want_and_only_the_union_crosses_the_network() {
    let (a, producer) = patient().await;
    let b = joined(&a).await;
    let hold = b.streams().hold_subscriptions();
    let low = wanting(&b, Criteria::field("n").lt(100));
    let middle = wanting(
        &b,
        Criteria::field("n")
            .gte(50)
            .and(Criteria::field("n").lt(150)),
    );
    let high = wanting(&b, Criteria::field("n").gte(5990));
    drop(hold);
    until("all are there", || shares(&producer) == [3]).await;
    let readings = [low, middle, high].map(|consumer| read_slowly(consumer, Duration::ZERO));
    within("sending", send_numbers(&producer, 0..6000)).await;
    let report = within("the end", producer.finish()).await;
    assert_eq!(
        (report.stats.sent_datums, report.stats.filtered),
        (160, 5840)
    );
    for (reading, range) in readings.into_iter().zip([0..100, 50..150, 5990..6000]) {
        let (seen, consumer) = within("its records", reading).await.unwrap();
        let unwanted = 160 - (range.end - range.start);
        assert_all(&seen, range);
        let stats = consumer.stats();
        assert_eq!((stats.filtered, stats.dropped.total()), (unwanted, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alike_criteria_are_applied_by_the_producer_alone() {
    let (a, producer) = patient().await;
    let b = joined(&a).await;
    let criteria = || Criteria::field("n").lt(100);
    let one = wanting(&b, criteria());
    within("a connection", one.when().subscribed()).await;
    let two = wanting(&b, criteria());
    within("two consumers", producer.when().online()).await;
    let readings = [one, two].map(|consumer| read_slowly(consumer, Duration::ZERO));
    within("sending", send_numbers(&producer, 0..6000)).await;
    let report = within("the end", producer.finish()).await;
    assert_eq!(report.stats.sent_datums, 100);
    for reading in readings {
        let (seen, consumer) = within("its records", reading).await.unwrap();
        assert_all(&seen, 0..100);
        assert_eq!(consumer.stats().filtered, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_one_with_a_small_queue_loses_nothing_and_neither_does_the_other() {
    let (a, producer) = patient().await;
    let b = joined(&a).await;
    let hold = b.streams().hold_subscriptions();
    let slow = sharing(&b).with_buffer_size(8).build().unwrap();
    let control = slow.control();
    let fast = sharing(&b).build().unwrap();
    drop(hold);
    within("two consumers", producer.when().online()).await;
    let (slow, fast) = (read_slowly(slow, MS), read_slowly(fast, Duration::ZERO));
    let most_queued = tokio::spawn(async move {
        let mut most = 0;
        while let Some(reading) = control.read() {
            most = most.max(reading.queued.0);
            tokio::time::sleep(MS).await;
        }
        most
    });
    within("sending", send_numbers(&producer, 0..6000)).await;
    within("the end", producer.finish()).await;
    for reading in [slow, fast] {
        let (seen, consumer) = within("all records", reading).await.unwrap();
        assert_all(&seen, 0..6000);
        assert_eq!(consumer.stats().dropped.total(), 0);
    }
    assert!((1..=8).contains(&most_queued.await.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_nothing_holds_back_the_others_until_it_leaves() {
    let (a, producer) = patient().await;
    let b = joined(&a).await;
    let hold = b.streams().hold_subscriptions();
    let stuck = sharing(&b).with_buffer_size(1).build().unwrap();
    let mut free = sharing(&b).build().unwrap();
    drop(hold);
    within("two consumers", producer.when().online()).await;
    // One is sufficient from here on.
    let control = producer.control();
    control.set_online_when(|subscribed| subscribed.minimum_of(1));
    let sending = producer.clone();
    let sending = tokio::spawn(async move {
        let large: Frames = std::iter::repeat_n([b'x'; 1000], 100).collect();
        for _ in 0..1000 {
            sending.send_frames(large.clone()).await.unwrap();
        }
    });
    let mut seen = 0;
    // Of 100 MB it receives one read of the socket and one batch in addition.
    while let Ok(Some(frames)) = timeout(1000 * MS, free.recv_frames(100)).await {
        seen += frames.count();
    }
    assert!((1..20_000).contains(&seen), "{seen}");
    assert_eq!((stuck.queued().0, shares(&producer)), (1, vec![2]));
    drop(stuck);
    within("the rest", async {
        while seen < 100_000 {
            seen += free.recv_frames(1000).await.unwrap().count();
        }
    })
    .await;
    sending.await.unwrap();
    assert_eq!((seen, free.stats().dropped.total()), (100_000, 0));
}

/// Sends without a pause until stopped, and returns how many.
fn send_until(
    producer: FramesProducer,
    stop: Arc<AtomicBool>,
) -> JoinHandle<(u64, FramesProducer)> {
    tokio::spawn(async move {
        let mut next = 0;
        while !stop.load(Ordering::Relaxed) {
            let sent = producer.send_frames(numbered(next..next + 50)).await;
            sent.expect("the stream is open");
            next += 50;
            tokio::time::sleep(MS).await;
        }
        (next, producer)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn others_come_and_go_while_one_reads_on() {
    let a = first().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .build()
        .unwrap();
    let b = joined(&a).await;
    let staying = sharing(&b).build().unwrap();
    let connection = {
        within("a connection", staying.when().subscribed()).await;
        staying.producers()[0].number()
    };
    let control = staying.control();
    let staying = read_slowly(staying, Duration::ZERO);
    let stop = Arc::new(AtomicBool::new(false));
    let observer = producer.clone();
    let sending = send_until(producer, stop.clone());
    for round in 0..5 {
        // One that wants all, one that wants a part, and one that reads nothing and holds up the others.
        let mut all = sharing(&b).build().unwrap();
        let mut part = wanting(&b, Criteria::field("n").gte(u64::from(u32::MAX)));
        let stuck = sharing(&b).with_buffer_size(1).build().unwrap();
        until("it is full", || stuck.queued().0 == 1).await;
        until("all are counted", || shares(&observer) == [4]).await;
        drop(stuck);
        let seen = within("some", some_numbers(&mut all, 500)).await;
        let first = seen[0];
        assert_all(&seen, first..first + 500);
        assert!(round == 0 || first > 0);
        assert!(part.try_recv_frames(1).is_none());
        let stats = all.close();
        assert_eq!(stats.dropped.total(), stats.dropped.closed);
    }
    until("the others have left", || shares(&observer) == [1]).await;
    assert_eq!(control.read().unwrap().producers[0].number(), connection);
    stop.store(true, Ordering::Relaxed);
    let (sent, producer) = within("the last record", sending).await.unwrap();
    drop(observer);
    let report = within("the end", producer.finish()).await;
    let (seen, consumer) = within("all records", staying).await.unwrap();
    assert_all(&seen, 0..sent);
    assert_eq!(report.stats.dropped.total(), 0);
    assert_eq!(consumer.stats().dropped.total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crosses_the_network_follows_who_is_there() {
    let (a, producer) = patient().await;
    let b = joined(&a).await;
    let mut low = wanting(&b, Criteria::field("n").lt(1000));
    within("a connection", low.when().subscribed()).await;
    let high = wanting(&b, Criteria::field("n").gte(5000));
    within("two consumers", producer.when().online()).await;
    let send = async |range| within("sending", send_numbers(&producer, range)).await;
    let crossed = || producer.stats().sent_datums;
    send(990..5010).await;
    until("the union is sent", || crossed() == 20).await;
    assert_all(
        &within("its part", some_numbers(&mut low, 10)).await,
        990..1000,
    );
    until("it has its part", || high.queued().0 == 10).await;
    let control = high.control();
    control
        .set_criteria(Criteria::field("n").gte(5005))
        .unwrap();
    // The producer receives the change at some point.
    let mut others = 0;
    within("it selects by that", async {
        loop {
            let before = crossed();
            send(5000..5005).await;
            others += 5;
            until("they are handled", || {
                producer.stats().filtered + crossed() >= 4020 + others
            })
            .await;
            if crossed() == before {
                break;
            }
        }
    })
    .await;
    assert_eq!(high.queued().0, 10);
    drop(high);
    until("one has left", || shares(&producer) == [1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_differ_in_what_must_be_alike_have_subscriptions_of_their_own() {
    let (a, producer) = patient().await;
    let b = joined(&a).await;
    let json = |builder: FramesConsumerBuilder| builder.with_encoding(Encoding::default());
    let consumers = [
        sharing(&b),
        sharing(&b),
        json(sharing(&b)),
        json(sharing(&b)),
        sharing(&b).with_max_datum_len(1000),
        sharing(&b).with_shared_subscription("others"),
        b.streams().consumer_frames(STREAM),
        b.streams().consumer_frames(STREAM),
    ];
    let mut consumers = consumers.map(|builder| builder.build().unwrap());
    until("all are there", || {
        shares(&producer).iter().sum::<usize>() == 8
    })
    .await;
    let mut shares = shares(&producer);
    shares.sort_unstable();
    assert_eq!(shares, [1, 1, 1, 1, 2, 2]);
    within("sending", send_numbers(&producer, 0..100)).await;
    for consumer in &mut consumers {
        assert_all(&within("all", some_numbers(consumer, 100)).await, 0..100);
    }
    assert_eq!(producer.stats().sent_datums, 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_share_count_each_for_the_bound_on_consumers() {
    let a = first().await;
    let producer = producer(&a).with_max_consumers(2).build().unwrap();
    let b = joined(&a).await;
    let _sharing = [(); 2].map(|()| sharing(&b).build().unwrap());
    until("both are counted", || shares(&producer) == [2]).await;
    let refused = b.streams().consumer_frames(STREAM).build().unwrap();
    until("another one tries", || {
        refused
            .attempts()
            .iter()
            .any(|attempt| attempt.last_close.is_some())
    })
    .await;
    assert_eq!(shares(&producer), [2]);
}

/// A node with a fast and a slow consumer that share. Each reports the records it takes.
struct Reader {
    taken: [mpsc::UnboundedReceiver<Vec<u64>>; 2],
    held: (Network, [JoinHandle<FramesConsumer>; 2]),
}

async fn reader(life: &Process, key: &SecretKey, to: &Network) -> Reader {
    let (key, knows) = (key.clone(), to.local().addr());
    let made = life.spawn(async move {
        let node = node(&key, &knows).await;
        let hold = node.streams().hold_subscriptions();
        let read = [0, 4].map(|pause| {
            let builder = sharing(&node).with_taken(Taken::WorkedOff);
            let mut consumer = builder.build().expect("it wants all");
            let (tell, taken) = mpsc::unbounded_channel();
            let reading = tokio::spawn(async move {
                while let Some(frames) = consumer.recv_frames(100).await {
                    if tell.send(numbers(&frames)).is_err() {
                        break;
                    }
                    tokio::time::sleep(pause * MS).await;
                }
                consumer
            });
            (taken, reading)
        });
        drop(hold);
        (node, read)
    });
    let (node, [one, two]) = within("a life", made).await.expect("it starts");
    Reader {
        taken: [one.0, two.0],
        held: (node, [one.1, two.1]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_reader_loses_nothing_of_what_either_has_not_taken() {
    let (a, producer) = patient().await;
    let (stop, key) = (Arc::new(AtomicBool::new(false)), SecretKey::generate());
    let sending = send_until(producer, stop.clone());
    let mut seen = [Vec::new(), Vec::new()];
    for life_number in 0..6 {
        let mut life = Process::start();
        let mut reader = reader(&life, &key, &a).await;
        for (seen, taken) in seen.iter_mut().zip(&mut reader.taken) {
            seen.extend(within("records", taken.recv()).await.expect("it reads"));
        }
        if life_number < 5 {
            tokio::time::sleep(150 * MS).await;
            life.kill();
            std::mem::forget(reader.held);
            for (seen, taken) in seen.iter_mut().zip(&mut reader.taken) {
                while let Some(more) = taken.recv().await {
                    seen.extend(more);
                }
            }
            continue;
        }
        stop.store(true, Ordering::Relaxed);
        let (sent, producer) = within("the last", async { sending.await.unwrap() }).await;
        let ending = tokio::spawn(producer.finish());
        let mut twice = 0;
        for (seen, taken) in seen.iter_mut().zip(&mut reader.taken) {
            while let Some(more) = within("the end", taken.recv()).await {
                seen.extend(more);
            }
            let all = seen.len();
            seen.sort_unstable();
            seen.dedup();
            twice += all - seen.len();
            assert_all(seen, 0..sent);
        }
        let report = within("the report", ending).await.unwrap();
        println!("{sent} records, {twice} taken twice, {:?}", report.stats);
        assert_eq!(report.stats.dropped.total(), 0);
        // A record that one receives twice, the other may receive twice as well.
        assert!(twice as u64 <= 2 * report.stats.redelivered);
        assert!(report.stats.redelivered > 0);
        return;
    }
}

/// Reads until stopped, and then to the end of the received records.
fn read_until(
    mut consumer: FramesConsumer,
    stop: CancellationToken,
    pause: Duration,
) -> JoinHandle<Vec<u64>> {
    tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            let frames = tokio::select! {
                frames = consumer.recv_frames(100) => frames,
                () = stop.cancelled() => break,
            };
            seen.extend(numbers(&frames.expect("it goes on")));
            tokio::time::sleep(pause).await;
        }
        consumer.stop_receiving();
        seen.extend(all_numbers(&mut consumer).await);
        assert_eq!(consumer.close().dropped.total(), 0);
        seen
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_in_order_goes_on_for_all_in_its_next_life() {
    let (a, producer) = patient().await;
    let key = SecretKey::generate();
    let (stop, observer) = (Arc::new(AtomicBool::new(false)), producer.clone());
    let sending = send_until(producer, stop.clone());
    let mut seen = [Vec::new(), Vec::new()];
    for life in 0..4 {
        let b = joined_as(&a, key.clone()).await;
        let hold = b.streams().hold_subscriptions();
        let stops = [CancellationToken::new(), CancellationToken::new()];
        let readings = [0, 3].map(|pause| {
            let consumer = sharing(&b).with_taken(Taken::WorkedOff).build().unwrap();
            read_until(consumer, stops[usize::from(pause > 0)].clone(), pause * MS)
        });
        drop(hold);
        let before = observer.stats().sent_datums;
        until("records come", || {
            observer.stats().sent_datums > before + 3000
        })
        .await;
        if life == 3 {
            stop.store(true, Ordering::Relaxed);
            tokio::time::sleep(500 * MS).await;
        }
        // The stages are notified one after the other.
        stops[life % 2].cancel();
        tokio::time::sleep(100 * MS).await;
        stops[1 - life % 2].cancel();
        for (seen, reading) in seen.iter_mut().zip(readings) {
            seen.extend(within("what was received", reading).await.unwrap());
        }
        within("the end of a life", b.shutdown()).await;
    }
    let (sent, _producer) = within("the last record", sending).await.unwrap();
    for seen in &seen {
        assert_all(seen, 0..sent);
    }
    assert_eq!(observer.stats().dropped.total(), 0);
}

/// Longer than the idle timeout of a connection.
const CUT: Duration = Duration::from_secs(35);

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_goes_on_where_it_was_for_all() {
    let relay = Relay::start(Profile::default(), 7).await;
    let a = relay.node().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .online_when(|subscribed| subscribed.minimum_of(2))
        .build()
        .unwrap();
    let b = joined(&a).await;
    let [one, two] = [(); 2].map(|()| sharing(&b).build().unwrap());
    within("two consumers", producer.when().online()).await;
    let (one, two) = (read_slowly(one, MS), read_slowly(two, 3 * MS));
    let (stop, observer) = (Arc::new(AtomicBool::new(false)), producer.clone());
    let sending = send_until(producer, stop.clone());
    until("records flow", || observer.stats().sent_datums > 2000).await;
    relay.carried.is_cut.store(true, Ordering::Relaxed);
    tokio::time::sleep(CUT).await;
    assert!(observer.consumers().is_empty(), "QUIC has given it up");
    relay.carried.is_cut.store(false, Ordering::Relaxed);
    until("it is back", || shares(&observer) == [2]).await;
    stop.store(true, Ordering::Relaxed);
    drop(observer);
    let (sent, producer) = within("the last record", sending).await.unwrap();
    let report = within("the end", producer.finish()).await;
    for reading in [one, two] {
        let (seen, consumer) = within("all records", reading).await.unwrap();
        assert_all(&seen, 0..sent);
        assert_eq!(consumer.stats().dropped.total(), 0);
    }
    let stats = report.stats;
    assert_eq!((stats.dropped.total(), stats.redelivered), (0, 0));
}

/// Plain Mosaik sends everything over the one connection, and counts one subscriber.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_producer_serves_all_that_share_over_one_connection() {
    let node = first().await;
    let hold = node.streams().hold_subscriptions();
    let mut low = wanting(&node, Criteria::field("n").lt(5));
    let mut all = sharing(&node).build().unwrap();
    drop(hold);
    let peer = Attacker::new();
    let connections = Arc::new(AtomicU64::new(0));
    let counter = connections.clone();
    let plain = ["test", STREAM].map(|text| *StreamId::from(text).as_bytes());
    peer.serve(move |mut line| {
        let counter = counter.clone();
        async move {
            if line.alpn().as_deref() != Some(STREAMS) {
                return;
            }
            let hello = line.answer().await.unwrap_or_default();
            assert_eq!(hello[..64], plain.concat());
            assert!(hello.ends_with(b"\0\x0d\0\0\0\x02\0\x02"), "{hello:?}");
            counter.fetch_add(1, Ordering::Relaxed);
            let records = (0..10).map(|n| frame(format!("{{\"n\":{n}}}").as_bytes()));
            let bytes = [frame(&plain.concat()), records.flatten().collect()].concat();
            line.tx.write_all(&bytes).await.unwrap();
            line.conn.closed().await;
        }
    });
    peer.join(&node, &peer.entry("test").with_stream(STREAM))
        .await;
    assert_all(&within("all", some_numbers(&mut all, 10)).await, 0..10);
    assert_all(&within("a part", some_numbers(&mut low, 5)).await, 0..5);
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

/// Two readers with and without sharing: the records they receive of a stream that starts with the first of them, and
/// the bytes on the network.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it prints figures"]
async fn what_sharing_saves() {
    for is_shared in [false, true] {
        let a = first().await;
        let producer = producer(&a)
            .disconnect_lagging(DisconnectLagging::Wait)
            .build()
            .unwrap();
        let sending = tokio::spawn(async move {
            let started = Instant::now();
            send_numbers(&producer, 0..6000).await;
            send_numbers(&producer, 6000..300_000).await;
            (producer.consumers().len(), producer.finish().await, started)
        });
        let b = joined(&a).await;
        let hold = b.streams().hold_subscriptions();
        let readings = [(); 2].map(|()| {
            let alone = b.streams().consumer_frames(STREAM);
            let builder = if is_shared { sharing(&b) } else { alone };
            read_slowly(builder.build().unwrap(), Duration::ZERO)
        });
        drop(hold);
        let (connections, report, started) = sending.await.unwrap();
        let mut missed = 0;
        for reading in readings {
            missed += 300_000 - reading.await.unwrap().0.len();
        }
        println!(
            "shared {is_shared}: {connections} connections, {} bytes sent, {missed} records missed, {:.2?}",
            report.stats.sent_bytes,
            started.elapsed()
        );
    }
}
