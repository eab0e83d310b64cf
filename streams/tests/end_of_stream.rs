//! A stream ends without loss, and every side learns how it ended.

use std::time::Duration;

use crate::common::*;
use mosaik_streams::{FramesConsumer, Scope, streams::producer::DisconnectLagging};

/// Takes records with pauses until the stream ends.
async fn slowly(consumer: &mut FramesConsumer) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(frames) = consumer.recv_frames(64).await {
        all.extend(numbers(&frames));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn finishing_delivers_everything_to_slow_consumers_too() {
    let a = first().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .online_when(|c| c.minimum_of(3))
        .build()
        .unwrap();
    let (b, c) = (joined(&a).await, joined(&a).await);
    let mut quick = b.streams().consumer_frames(STREAM).build().unwrap();
    let mut slow = c
        .streams()
        .consumer_frames(STREAM)
        .with_buffer_size(100)
        .build()
        .unwrap();
    let mut local = a
        .streams()
        .consumer_frames(STREAM)
        .with_local(true)
        .with_buffer_size(60)
        .build()
        .unwrap();
    let writer = async {
        send_numbers(&producer, 0..20_000).await;
        producer.finish().await
    };
    let all = async {
        tokio::join!(
            all_numbers(&mut quick),
            slowly(&mut slow),
            slowly(&mut local),
            writer
        )
    };
    let (quick, slow, local, report) = within("the end", all).await;
    for seen in [quick, slow, local] {
        assert_all(&seen, 0..20_000);
    }
    assert_eq!(
        (
            report.ended,
            report.complete,
            report.incomplete,
            report.stats.dropped.total()
        ),
        (true, 3, 0, 0)
    );
    assert!(a.discovery().me().streams().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn finishing_returns_when_the_last_record_is_taken() {
    let a = first().await;
    let b = joined(&a).await;
    for round in 0..20 {
        let stream = format!("round {round}");
        let producer = a
            .streams()
            .producer_frames(stream.as_str())
            .build()
            .unwrap();
        let mut consumer = b
            .streams()
            .consumer_frames(stream.as_str())
            .build()
            .unwrap();
        within("sending", producer.send_frames(numbered(0..round * 50 + 1)))
            .await
            .unwrap();
        let ending = tokio::spawn(producer.finish());
        let seen = within("records", some_numbers(&mut consumer, round as usize * 50)).await;
        // One of them is not taken.
        until("it arrives", || consumer.queued().0 == 1).await;
        assert!(!ending.is_finished());
        let last = within("the last", some_numbers(&mut consumer, 1)).await;
        assert_all(&[seen, last].concat(), 0..round * 50 + 1);
        let report = within("the end", ending).await.unwrap();
        assert_eq!(
            (
                report.complete,
                report.incomplete,
                report.stats.dropped.total()
            ),
            (1, 0, 0)
        );
        assert!(within("none", consumer.recv_frames(1)).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_goes_on_while_another_producer_is_there() {
    let a = first().await;
    let b = joined(&a).await;
    let c = joined(&a).await;
    let (one, two) = (producer(&a).build().unwrap(), producer(&b).build().unwrap());
    let mut consumer = c
        .streams()
        .consumer_frames(STREAM)
        .online_when(|x| x.minimum_of(2))
        .build()
        .unwrap();
    within("both producers", consumer.when().online()).await;
    one.send_frames(numbered(0..10)).await.unwrap();
    let (_, seen) = within("the end of one", async {
        tokio::join!(one.finish(), some_numbers(&mut consumer, 10))
    })
    .await;
    assert_all(&seen, 0..10);
    two.send_frames(numbered(10..20)).await.unwrap();
    assert_all(
        &within("records of the other", some_numbers(&mut consumer, 10)).await,
        10..20,
    );
    let (report, end) = within("the end", async {
        tokio::join!(two.finish(), consumer.recv_frames(1))
    })
    .await;
    assert_eq!((report.complete, end), (1, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_producer_delivers_what_is_queued_and_its_successor_goes_on() {
    let a = first().await;
    let b = joined(&a).await;
    let mut consumer = b.streams().consumer_frames(STREAM).build().unwrap();
    for round in 0..3 {
        let producer = producer(&a)
            .disconnect_lagging(DisconnectLagging::Wait)
            .build()
            .unwrap();
        within(
            "sending",
            producer.send_frames(numbered(round * 1000..round * 1000 + 1000)),
        )
        .await
        .unwrap();
        drop(producer);
        let seen = within("records", some_numbers(&mut consumer, 1000)).await;
        assert_all(&seen, round * 1000..round * 1000 + 1000);
    }
    assert!(!consumer.is_ended());
    assert_eq!(consumer.stats().dropped.total(), 0);
}

#[tokio::test]
async fn what_is_still_held_at_the_deadline_counts_as_dropped() {
    let network = unbound().await;
    let producer = producer(&network).with_scope(Scope::Node).build().unwrap();
    let consumer = network
        .streams()
        .consumer_frames(STREAM)
        .with_scope(Scope::Node)
        .build()
        .unwrap();
    // Holds up the fan-out, so that later records are still held when the consumer is dropped.
    let mut fill = numbered(0..100_000);
    let _ = tokio::time::timeout(Duration::from_millis(100), producer.send_rest(&mut fill)).await;
    drop(consumer);
    until("the producer is offline", || !producer.is_online()).await;
    let (held, accepted) = (producer.queued().0 as u64, producer.stats().datums);
    assert!(held > 0);
    let observer = producer.clone();
    drop(observer);
    let report = within(
        "the deadline",
        producer.finish_within(Duration::from_millis(100)),
    )
    .await;
    assert!(
        report.ended && report.stats.dropped.total() >= held,
        "{report:?}, {held} held of {accepted}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_does_not_read_is_left_behind_at_the_deadline() {
    let a = first().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .build()
        .unwrap();
    let b = joined(&a).await;
    let _consumer = b
        .streams()
        .consumer_frames(STREAM)
        .with_buffer_bytes(1000)
        .build()
        .unwrap();
    let datum = vec![0; 1_000_000];
    let big: mosaik_streams::Frames = (0..8).map(|_| &datum).collect();
    let sending = async {
        loop {
            producer.send_frames(big.clone()).await.unwrap();
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(800), within("sending", sending)).await;
    let report = within(
        "the deadline",
        producer.finish_within(Duration::from_millis(300)),
    )
    .await;
    assert_eq!(
        (report.ended, report.complete, report.incomplete),
        (true, 0, 1)
    );
    assert!(report.stats.dropped.total() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_late_is_told_that_the_stream_has_ended() {
    let a = first().await;
    let b = joined(&a).await;
    let producer = producer(&a)
        .online_when(|c| c.minimum_of(0))
        .build()
        .unwrap();
    until("the stream is known", || {
        b.discovery()
            .catalog()
            .peers()
            .any(|p| !p.streams().is_empty())
    })
    .await;
    producer.finish().await;
    // As the other node still has it in its catalog.
    let mut late = b.streams().consumer_frames(STREAM).build().unwrap();
    let gone = || {
        b.discovery()
            .catalog()
            .peers()
            .all(|p| p.streams().is_empty())
    };
    within("none, or the news that the stream is gone", async {
        tokio::select! {
            end = late.recv_frames(1) => assert!(end.is_none()),
            () = until("the news", gone) => {}
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_without_a_time_limit_waits_until_it_is_cut() {
    let a = first().await;
    let producer = producer(&a).with_scope(Scope::Node).build().unwrap();
    let mut reader = a
        .streams()
        .consumer_frames(STREAM)
        .with_scope(Scope::Node)
        .with_buffer_size(10)
        .build()
        .unwrap();
    send_numbers(&producer, 0..500).await;
    let (cut, is_cut) = tokio::sync::oneshot::channel::<()>();
    let ending = tokio::spawn(producer.finish_unless(async move {
        // A dropped sender cuts as well.
        let _ = is_cut.await;
    }));
    let mut read = 0;
    within("what it reads slowly", async {
        while read < 100 {
            read += reader.recv_frames(10).await.unwrap().count();
        }
    })
    .await;
    assert!(!ending.is_finished(), "it ended with 400 unread");
    cut.send(()).unwrap();
    let report = within("the end", ending).await.unwrap();
    assert!(report.stats.dropped.total() > 0, "{report:?}");
}
