//! Marks between records, from a producer to the consumers of its node.

use crate::common::*;
use mosaik_streams::{FramesConsumer, Network, Received};

fn consumer(network: &Network) -> FramesConsumer {
    let builder = network.streams().consumer_frames(STREAM).with_local(true);
    builder.build().expect("it wants all")
}

/// Receives to the end. Each mark must come behind as many records as its number says.
async fn marks_of(mut consumer: FramesConsumer, at_once: usize) -> (u64, Vec<u64>) {
    let (mut count, mut marks) = (0, Vec::new());
    while let Some(received) = consumer.recv_next(at_once).await {
        match received {
            Received::Batch(frames) => {
                assert!(frames.count() <= at_once);
                count += frames.count() as u64;
            }
            Received::Mark(mark) => {
                assert_eq!(mark, count, "the place of the mark");
                marks.push(mark);
            }
        }
    }
    (count, marks)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_keeps_its_place_for_each_consumer() {
    let network = unbound().await;
    let producer = producer(&network)
        .with_buffer_size(700)
        .build()
        .expect("it is the only one");
    let readers = [usize::MAX, 64, 1].map(|at_once| {
        let consumer = consumer(&network);
        tokio::spawn(marks_of(consumer, at_once))
    });
    within("subscribers", producer.when().online()).await;
    let mut sent = 0;
    // Small batches are merged, large ones bypass the task if there is one consumer, and single ones do neither.
    for (index, count) in [1, 3, 500, 2000, 1, 700, 40]
        .into_iter()
        .cycle()
        .take(60)
        .enumerate()
    {
        producer
            .send_frames(numbered(sent..sent + count))
            .await
            .unwrap();
        sent += count;
        if index % 3 != 1 {
            producer.put_mark(sent).unwrap();
        }
    }
    within("the end", producer.finish()).await;
    for reader in readers {
        let (count, marks) = within("a reader", reader).await.unwrap();
        assert_eq!((count, marks.len()), (sent, 40));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_passes_while_the_stream_is_offline_unless_records_are_before_it() {
    let network = unbound().await;
    let producer = producer(&network)
        .online_when(|c| c.minimum_of(2))
        .build()
        .expect("it is the only one");
    let mut first = consumer(&network);
    within("a subscriber", producer.when().subscribed()).await;
    producer.put_mark(7).unwrap();
    let received = within("the mark", first.recv_next(9)).await;
    assert_eq!(received, Some(Received::Mark(7)));

    let second = consumer(&network);
    within("both", producer.when().online()).await;
    producer.send_frames(numbered(0..3)).await.unwrap();
    producer.put_mark(8).unwrap();
    let batch = within("the records", first.recv_next(9)).await;
    assert!(matches!(batch, Some(Received::Batch(frames)) if frames.count() == 3));
    assert_eq!(
        within("the mark", first.recv_next(9)).await,
        Some(Received::Mark(8))
    );
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_wants_no_marks_gets_none() {
    let network = unbound().await;
    let producer = producer(&network).build().expect("it is the only one");
    let mut plain = consumer(&network);
    within("a subscriber", producer.when().online()).await;
    producer.put_mark(1).unwrap();
    producer.send_frames(numbered(0..2)).await.unwrap();
    producer.put_mark(2).unwrap();
    producer.send_frames(numbered(2..4)).await.unwrap();
    producer.put_mark(3).unwrap();
    let seen = some_numbers(&mut plain, 4).await;
    assert_all(&seen, 0..4);
    within("the end", producer.finish()).await;
    assert!(within("the end", plain.recv_frames(9)).await.is_none());
}
