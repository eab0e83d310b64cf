//! What each of the consumers receives, and what crosses the network for them.

use super::*;

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
