//! Producers and consumers on two nodes, over real sockets.

use std::time::Duration;

use crate::common::*;
use mosaik_streams::{
    Scope, Tag,
    streams::{backoff::ExponentialBackoffBuilder, producer::DisconnectLagging},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_datum_arrives_in_order() {
    let (a, producer) = {
        let a = first().await;
        let producer = producer(&a)
            .disconnect_lagging(DisconnectLagging::Wait)
            .build()
            .unwrap();
        (a, producer)
    };
    let b = joined(&a).await;
    let mut consumer = b.streams().consumer_frames(STREAM).build().unwrap();
    let reader = some_numbers(&mut consumer, 200_000);
    let (seen, ()) = within("all records", async {
        tokio::join!(reader, send_numbers(&producer, 0..200_000))
    })
    .await;
    assert_all(&seen, 0..200_000);
    let stats = producer.stats();
    assert_eq!((stats.datums, stats.sent_datums), (200_000, 200_000));
    assert_eq!((stats.bytes, stats.dropped.total()), (stats.sent_bytes, 0));
    let received = consumer.stats();
    assert_eq!(
        (received.datums, received.bytes, received.dropped.total()),
        (200_000, stats.bytes, 0)
    );
    let channel = &consumer.producers()[0];
    assert_eq!(
        (channel.producer_id(), channel.stats().datums()),
        (&a.local().id(), 200_000)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_does_not_read_pushes_back_over_the_wire() {
    let a = first().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .with_buffer_bytes(64 * 1024)
        .build()
        .unwrap();
    let b = joined(&a).await;
    let mut consumer = b
        .streams()
        .consumer_frames(STREAM)
        .with_buffer_bytes(64 * 1024)
        .build()
        .unwrap();
    let datum = vec![7; 10_000];
    let sent = tokio::spawn({
        let producer = producer.clone();
        async move {
            for _ in 0..10_000 {
                producer
                    .send_frames([&datum].into_iter().collect())
                    .await
                    .unwrap();
            }
        }
    });
    // At any time, the two hold at most the windows and queues between them, far less than all records.
    let (mut seen, mut read) = (0, 0);
    while seen < 10_000 {
        until("the queue is full, or all is sent", || {
            consumer.queued().1 > 50_000 || sent.is_finished()
        })
        .await;
        // The sender gets ahead as far as possible, each time again.
        for _ in 0..50 {
            let between = producer.stats().bytes - read;
            assert!(
                between < 40_000_000,
                "{between} bytes are held between the two"
            );
            assert!(consumer.queued().1 <= 64 * 1024);
            if seen < 10_000 {
                let frames = within("some more", consumer.recv_frames(100))
                    .await
                    .unwrap();
                seen += frames.count();
                read += frames.payload_len() as u64;
            }
        }
    }
    sent.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_takes_as_many_consumers_as_it_says() {
    let a = first().await;
    let producer = producer(&a).with_max_consumers(1).build().unwrap();
    let (b, c) = (joined(&a).await, joined(&a).await);
    let one = b.streams().consumer_frames(STREAM).build().unwrap();
    within("a consumer", one.when().subscribed()).await;
    let eager = ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_millis(20))
        .with_max_interval(Duration::from_millis(50))
        .build();
    let two = c
        .streams()
        .consumer_frames(STREAM)
        .with_backoff(eager.clone())
        .build()
        .unwrap();
    let three = b
        .streams()
        .consumer_frames(STREAM)
        .with_backoff(eager)
        .build()
        .unwrap();
    until("one of another node tries", || !two.producers().is_empty()).await;
    until("one of the same node tries", || {
        !three.producers().is_empty()
    })
    .await;
    assert_eq!(producer.consumers().len(), 1);
    drop(one);
    let (mut two_in, mut three_in) = (two.when().subscribed(), three.when().subscribed());
    within("another one's turn", async {
        tokio::select! { () = &mut two_in => {} () = &mut three_in => {} }
    })
    .await;
    assert_eq!(producer.consumers().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_meets_the_requirements_gets_in() {
    let a = first().await;
    let trusted = Tag::from("trusted");
    let producer = producer(&a)
        .require(move |peer| peer.tags().contains(&trusted))
        .build()
        .unwrap();
    let b = joined(&a).await;
    let mut consumer = b.streams().consumer_frames(STREAM).build().unwrap();
    until("the producer is known", || {
        b.discovery()
            .catalog()
            .get(&a.local().id())
            .is_some_and(|p| !p.streams().is_empty())
    })
    .await;
    // Once refused, it is on neither side's list.
    until("it is refused", || consumer.producers().is_empty()).await;
    assert!(producer.consumers().is_empty() && !producer.is_online());
    b.discovery().add_tags(trusted);
    within("let in", producer.when().online()).await;
    producer.send_frames(numbered(0..1)).await.unwrap();
    assert_eq!(
        within("a record", some_numbers(&mut consumer, 1)).await,
        [0]
    );
    assert!(
        producer
            .when()
            .subscribed()
            .with_tags([trusted])
            .is_condition_met()
    );
    assert!(
        !producer
            .when()
            .subscribed()
            .with_tags(["other"])
            .is_condition_met()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_chooses_its_producers() {
    let a = first().await;
    let b = joined(&a).await;
    let (_one, _two) = (producer(&a).build().unwrap(), producer(&b).build().unwrap());
    let c = joined(&a).await;
    let wanted = b.local().id();
    let consumer = c
        .streams()
        .consumer_frames(STREAM)
        .require(move |peer| *peer.id() == wanted)
        .build()
        .unwrap();
    within("a producer", consumer.when().subscribed()).await;
    until("both are known", || {
        c.discovery()
            .catalog()
            .peers()
            .filter(|p| !p.streams().is_empty())
            .count()
            == 2
    })
    .await;
    assert!(
        consumer
            .producers()
            .iter()
            .all(|channel| *channel.producer_id() == wanted)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_the_node_is_not_found_from_elsewhere() {
    let a = first().await;
    let inside = producer(&a).with_scope(Scope::Node).build().unwrap();
    let b = joined(&a).await;
    let consumer = b.streams().consumer_frames(STREAM).build().unwrap();
    // Another stream shows that subscribing works in principle.
    let other = a.streams().producer_frames("other").build().unwrap();
    let _others = b.streams().consumer_frames("other").build().unwrap();
    within("the other stream", other.when().online()).await;
    assert!(inside.consumers().is_empty() && consumer.producers().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_producers_feed_one_consumer_each_in_order() {
    let a = first().await;
    let b = joined(&a).await;
    let c = joined(&a).await;
    let producers: Vec<_> = [&a, &b, &c]
        .map(|n| {
            producer(n)
                .disconnect_lagging(DisconnectLagging::Wait)
                .build()
                .unwrap()
        })
        .into();
    let mut consumer = c
        .streams()
        .consumer_frames(STREAM)
        .with_local(true)
        .online_when(|x| x.minimum_of(3))
        .build()
        .unwrap();
    assert!(!consumer.is_online());
    within("all producers", consumer.when().online()).await;
    let writers: Vec<_> = producers
        .into_iter()
        .zip(0..)
        .map(|(producer, index)| {
            tokio::spawn(async move {
                send_numbers(&producer, index * 1_000_000..index * 1_000_000 + 20_000).await;
                producer.finish().await
            })
        })
        .collect();
    let seen = within("all records", all_numbers(&mut consumer)).await;
    assert_eq!(seen.len(), 60_000);
    for index in 0..3 {
        let one: Vec<_> = seen
            .iter()
            .copied()
            .filter(|n| n / 1_000_000 == index)
            .collect();
        assert_all(&one, index * 1_000_000..index * 1_000_000 + 20_000);
    }
    for writer in writers {
        assert_eq!(writer.await.unwrap().incomplete, 0);
    }
}
