//! Producers and consumers on the same node, connected in process.

use crate::common::*;
use futures::{FutureExt, SinkExt, StreamExt};
use mosaik_streams::{
    Frames, Scope, StreamId,
    streams::producer::{Error, FramesBuilderError},
};

fn consumer(network: &mosaik_streams::Network) -> mosaik_streams::FramesConsumer {
    network
        .streams()
        .consumer_frames(STREAM)
        .with_scope(Scope::Node)
        .build()
        .expect("it can be built")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_consumer_gets_every_datum_in_order() {
    let network = unbound().await;
    let mut before = consumer(&network);
    let producer = producer(&network)
        .with_scope(Scope::Node)
        .online_when(|c| c.minimum_of(2))
        .build()
        .unwrap();
    let mut after = network
        .streams()
        .consumer_frames(STREAM)
        .with_local(true)
        .build()
        .unwrap();
    let readers = async { tokio::join!(all_numbers(&mut before), all_numbers(&mut after)) };
    let writer = async {
        send_numbers(&producer, 0..200_000).await;
        producer.finish().await
    };
    let ((one, two), report) = within("all records", async { tokio::join!(readers, writer) }).await;
    assert_all(&one, 0..200_000);
    assert_all(&two, 0..200_000);
    assert_eq!(
        (
            report.ended,
            report.complete,
            report.incomplete,
            report.stats.dropped.total()
        ),
        (true, 2, 0, 0)
    );
    assert_eq!(before.stats().datums, 200_000);
    assert!(before.is_ended() && before.producers().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_right_after_the_last_datum_is_for_good() {
    for round in 0..300 {
        let network = unbound().await;
        let producer = producer(&network).with_scope(Scope::Node).build().unwrap();
        let mut consumer = consumer(&network);
        send_numbers(&producer, 0..round % 3 * 20 + 1).await;
        let (seen, report) = within("the end", async {
            tokio::join!(all_numbers(&mut consumer), producer.finish())
        })
        .await;
        assert_all(&seen, 0..round % 3 * 20 + 1);
        assert!(report.ended && report.complete == 1);
    }
}

#[tokio::test]
async fn what_nobody_takes_holds_the_producer_within_its_bounds() {
    let network = unbound().await;
    let mut consumer = network
        .streams()
        .consumer_frames(STREAM)
        .with_scope(Scope::Node)
        .with_buffer_size(50)
        .build()
        .unwrap();
    let producer = producer(&network)
        .with_scope(Scope::Node)
        .with_buffer_size(100)
        .build()
        .unwrap();
    let mut frames = numbered(0..10_000);
    let all_sent = tokio::time::timeout(
        std::time::Duration::from_millis(200),
        producer.send_rest(&mut frames),
    )
    .await;
    assert!(
        all_sent.is_err(),
        "nobody takes anything, and yet all was sent"
    );
    until("the consumer's queue is full", || consumer.queued().0 == 50).await;
    let held = 10_000 - frames.count();
    // The two queues, and one batch between them.
    assert!(held <= 50 + 100 + 100, "{held} records are held");
    assert!(
        matches!(producer.try_send_frames(numbered(0..101)), Err(Error::Full(back)) if back.count() == 101)
    );
    let (sent, seen) = within("the rest", async {
        tokio::join!(
            producer.send_rest(&mut frames),
            some_numbers(&mut consumer, 10_000)
        )
    })
    .await;
    sent.unwrap();
    assert_all(&seen, 0..10_000);
    assert_eq!(producer.stats().dropped.total(), 0);
}

#[tokio::test]
async fn nothing_is_taken_before_the_producer_is_online() {
    let network = unbound().await;
    let producer = producer(&network)
        .with_scope(Scope::Node)
        .online_when(|c| c.minimum_of(2))
        .build()
        .unwrap();
    let mut one = consumer(&network);
    assert!(!producer.is_online());
    assert_eq!(
        producer.try_send_frames(numbered(0..1)),
        Err(Error::Offline(numbered(0..1)))
    );
    let mut send = std::pin::pin!(producer.send_frames(numbered(0..3)));
    assert!(send.as_mut().now_or_never().is_none());
    let mut two = consumer(&network);
    within("the producer to come online", send).await.unwrap();
    assert!(producer.when().subscribed().minimum_of(2) == true);
    for consumer in [&mut one, &mut two] {
        assert_eq!(
            within("records", some_numbers(consumer, 3)).await,
            [0, 1, 2]
        );
    }
    drop(two);
    within("the producer to go offline", producer.when().offline()).await;
    let again = producer.try_send_frames(numbered(0..1));
    assert!(matches!(again, Err(Error::Offline(_))));
    drop(one);
    within("nobody is subscribed", producer.when().unsubscribed()).await;
}

#[tokio::test]
async fn a_condition_resolves_each_time_it_comes_to_be_met() {
    let network = unbound().await;
    let producer = producer(&network).with_scope(Scope::Node).build().unwrap();
    let mut subscribed = producer.when().subscribed();
    for _ in 0..2 {
        assert!((&mut subscribed).now_or_never().is_none());
        let one = consumer(&network);
        within("subscribed", &mut subscribed).await;
        assert_eq!(subscribed.clone().now_or_never(), Some(()));
        assert!((&mut subscribed).now_or_never().is_none());
        drop(one);
        assert!((&mut subscribed).now_or_never().is_none());
        assert!(subscribed == false);
    }
}

#[tokio::test]
async fn one_producer_a_stream_until_its_last_handle_is_dropped() {
    let network = unbound().await;
    let producer_one = producer(&network)
        .with_scope(Scope::Node)
        .with_buffer_size(7)
        .build()
        .unwrap();
    let Err(FramesBuilderError::AlreadyExists(existing)) = producer(&network).build() else {
        panic!("two producers of one stream")
    };
    assert_eq!(existing.config().buffer_size, 7);
    drop(producer_one);
    let Err(FramesBuilderError::AlreadyExists(again)) = producer(&network).build() else {
        panic!("a handle is left")
    };
    assert!(!again.clone().finish().await.ended);
    drop((existing, again));
    let other = producer(&network)
        .with_scope(Scope::Node)
        .with_buffer_size(9)
        .build()
        .unwrap();
    assert_eq!(other.config().buffer_size, 9);
    let mut consumer = consumer(&network);
    other.send_frames(numbered(0..1)).await.unwrap();
    assert_eq!(
        within("a record", some_numbers(&mut consumer, 1)).await,
        [0]
    );
}

#[tokio::test]
async fn a_consumer_stays_with_the_stream_over_a_change_of_producers() {
    let network = unbound().await;
    let mut consumer = consumer(&network);
    for round in 0..3 {
        let producer = producer(&network).with_scope(Scope::Node).build().unwrap();
        producer
            .send_frames(numbered(round * 10..round * 10 + 10))
            .await
            .unwrap();
    }
    assert_all(
        &within("records of all", some_numbers(&mut consumer, 30)).await,
        0..30,
    );
    assert!(!consumer.is_ended());
}

#[tokio::test]
async fn a_stream_of_the_node_is_not_announced_and_one_of_the_network_is() {
    let network = unbound().await;
    let id = StreamId::from(STREAM);
    let announced = || network.discovery().me().streams().contains(&id);
    let inside = producer(&network).with_scope(Scope::Node).build().unwrap();
    assert!(!announced());
    drop(inside);
    let outside = producer(&network).build().unwrap();
    assert!(announced());
    drop(outside);
    assert!(!announced());
}

#[tokio::test]
async fn a_consumer_takes_its_own_node_only_when_told_to() {
    let network = unbound().await;
    let mut others = network.streams().consumer_frames(STREAM).build().unwrap();
    let producer = producer(&network)
        .online_when(|c| c.minimum_of(0))
        .with_max_consumers(0)
        .build()
        .unwrap();
    producer.send_frames(numbered(0..2)).await.unwrap();
    until("records for nobody", || {
        producer.stats().dropped.nobody == 2
    })
    .await;
    assert!(others.try_recv_frames(9).is_none() && others.producers().is_empty());
    // `max_consumers` and `require` do not apply to consumers on the same node.
    let mut own = network
        .streams()
        .consumer_frames(STREAM)
        .with_local(true)
        .require(|_| false)
        .build()
        .unwrap();
    producer.send_frames(numbered(2..3)).await.unwrap();
    assert_eq!(within("a record", some_numbers(&mut own, 1)).await, [2]);
    assert!(own.producers()[0].is_local() && own.producers()[0].is_connected());
}

#[tokio::test]
async fn records_beyond_the_limit_are_handed_back() {
    let network = unbound().await;
    let producer = producer(&network)
        .with_scope(Scope::Node)
        .with_max_datum_len(8)
        .build()
        .unwrap();
    let _consumer = consumer(&network);
    let frames: Frames = [&b"12345678"[..], b"123456789"].iter().collect();
    assert_eq!(
        producer.send_frames(frames.clone()).await,
        Err(Error::TooLarge(frames))
    );
    producer
        .send_frames([b"12345678"].iter().collect())
        .await
        .unwrap();
    assert_eq!(
        (producer.stats().datums, producer.stats().dropped.too_large),
        (1, 1)
    );
}

#[tokio::test]
async fn everything_ends_with_the_network() {
    let network = unbound().await;
    let producer = producer(&network).with_scope(Scope::Node).build().unwrap();
    let mut consumer = consumer(&network);
    let handle = producer.clone();
    drop(network);
    assert!(within("the end", consumer.recv_frames(1)).await.is_none());
    let refused = within("the end", handle.send_frames(numbered(0..1))).await;
    assert!(matches!(refused, Err(Error::Closed(Some(_)))));
}

#[tokio::test]
async fn typed_handles_are_a_sink_and_a_stream() {
    let network = unbound().await;
    let mut producer = network
        .streams()
        .producer::<(u32, String)>()
        .with_buffer_size(4)
        .build()
        .unwrap();
    let mut consumer = network
        .streams()
        .consumer::<(u32, String)>()
        .with_local(true)
        .build();
    let writer = async {
        for n in 0..5_000 {
            producer.send((n, format!("datum {n}"))).await.unwrap();
        }
        producer.finish().await
    };
    let reader = async {
        let mut seen = 0;
        while let Some((n, text)) = consumer.next().await {
            assert_eq!((n, text), (seen, format!("datum {seen}")));
            seen += 1;
        }
        seen
    };
    let (seen, report) = within("all records", async { tokio::join!(reader, writer) }).await;
    assert_eq!(
        (seen, report.complete, report.stats.dropped.total()),
        (5_000, 1, 0)
    );
}

#[tokio::test]
async fn after_ready_there_is_always_room() {
    let network = unbound().await;
    let one = network
        .streams()
        .producer::<u32>()
        .with_buffer_size(1)
        .build()
        .unwrap();
    let _consumer = network
        .streams()
        .consumer::<u32>()
        .with_local(true)
        .with_buffer_size(1)
        .build();
    let mut handles = vec![one.clone(), one.clone(), one.clone()];
    let mut ready = Vec::new();
    for handle in &mut handles {
        for _ in 0..8 {
            let is_ready =
                futures::future::poll_fn(|cx| SinkExt::<u32>::poll_ready_unpin(handle, cx))
                    .now_or_never();
            if is_ready.is_none() {
                break;
            }
            handle
                .start_send_unpin(1)
                .expect("it said that it was ready");
            ready.push(());
            tokio::task::yield_now().await;
        }
    }
    assert!(!ready.is_empty());
    assert!(matches!(one.try_send(1), Err(Error::Full(1))));
}

#[tokio::test]
async fn a_producer_of_another_type_is_not_listened_to() {
    let network = unbound().await;
    let producer = network
        .streams()
        .producer::<Vec<u8>>()
        .with_stream_id(STREAM)
        .build()
        .unwrap();
    let mut consumer = network
        .streams()
        .consumer::<String>()
        .with_stream_id(STREAM)
        .with_local(true)
        .build();
    producer.try_send(vec![0xff, 0xfe]).unwrap();
    assert!(consumer.recv().now_or_never().is_none());
    until("the datum is found out", || {
        let _ = consumer.try_recv();
        consumer.stats().dropped.malformed == 1
    })
    .await;
    let _ = producer.try_send(vec![b'a']);
    until("the subscription is over", || {
        producer.consumers().next().is_none()
    })
    .await;
}
