//! The number of records per batch, and the time that they wait for each other.

use std::time::{Duration, Instant};

use crate::common::*;
use mosaik_streams::{Frames, FramesConsumer, FramesProducer, Network};

/// Longer than the test runs.
const LONG: Duration = Duration::from_hours(1);
const SHORT: Duration = Duration::from_millis(50);

fn pair(network: &Network, linger: Duration) -> (FramesProducer, FramesConsumer) {
    let builder = network.streams().consumer_frames(STREAM).with_local(true);
    let producer = producer(network).with_linger(linger).build();
    let consumer = builder.build();
    (
        producer.expect("it is the only one"),
        consumer.expect("it wants all"),
    )
}

async fn batch(consumer: &mut FramesConsumer) -> usize {
    let batch = within("a batch", consumer.recv_frames(usize::MAX)).await;
    batch.map_or(0, |batch| batch.count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datum_alone_waits_as_long_as_it_is_told_to() {
    let network = unbound().await;
    let (producer, mut consumer) = pair(&network, SHORT);
    let sent = Instant::now();
    producer.send_frames(numbered(0..1)).await.unwrap();
    assert_eq!(batch(&mut consumer).await, 1);
    assert!(sent.elapsed() >= SHORT, "{:?}", sent.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_enough_waits_for_nothing_and_neither_does_the_end() {
    let network = unbound().await;
    let (producer, mut consumer) = pair(&network, LONG);
    for number in 0..4 {
        let one = numbered(number..number + 1);
        producer.send_frames(one).await.unwrap();
    }
    // Completes 64 KiB; too large to be merged.
    let large = Frames::single(&vec![0; 70_000]);
    producer.send_frames(large).await.unwrap();
    assert_eq!(batch(&mut consumer).await, 4, "those waited for more");
    assert_eq!(batch(&mut consumer).await, 1);

    // More than half of the queue.
    producer.send_frames(numbered(0..600)).await.unwrap();
    assert_eq!(batch(&mut consumer).await, 600);

    producer.control().set_linger(Duration::ZERO);
    producer.send_frames(numbered(0..1)).await.unwrap();
    assert_eq!(batch(&mut consumer).await, 1);

    producer.control().set_linger(LONG);
    producer.send_frames(numbered(0..3)).await.unwrap();
    let both = async { tokio::join!(producer.finish(), all_numbers(&mut consumer)) };
    let (report, seen) = within("the end", both).await;
    assert_all(&seen, 0..3);
    assert_eq!((report.complete, report.stats.dropped.total()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_more_is_held_when_the_last_subscriber_leaves() {
    let network = unbound().await;
    let (producer, consumer) = pair(&network, LONG);
    producer.send_frames(numbered(0..3)).await.unwrap();
    drop(consumer);
    until("it is offline", || !producer.is_online()).await;
    let report = within("the end", producer.close_within(LONG)).await;
    let dropped = report.stats.dropped;
    assert_eq!((dropped.offline, dropped.total()), (3, 3), "{dropped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_handed_out_at_once_than_the_batch_size() {
    let network = unbound().await;
    let producer = producer(&network).build().unwrap();
    let builder = network.streams().consumer_frames(STREAM).with_local(true);
    let mut consumer = builder.with_batch_size(10).build().unwrap();
    within("the consumer is there", producer.when().online()).await;
    producer.send_frames(numbered(0..100)).await.unwrap();
    until("all are there", || consumer.queued().0 == 100).await;
    let count = |frames: Option<Frames>| frames.map_or(0, |frames| frames.count());
    assert_eq!(count(consumer.recv_frames(usize::MAX).await), 10);
    assert_eq!(count(consumer.recv_frames(4).await), 4);
    assert_eq!(count(consumer.try_recv_frames(usize::MAX)), 10);
    consumer.control().set_batch_size(30);
    assert_eq!(count(consumer.recv_frames(usize::MAX).await), 30);
    // A bound of zero would block.
    consumer.control().set_batch_size(0);
    assert_eq!(count(consumer.try_recv_frames(usize::MAX)), 1);
}
