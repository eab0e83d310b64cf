//! Allocations per record: batches cause none in this crate, on the same node or to another one.

#[path = "../../tests/support/allocations.rs"]
mod allocations;
#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use common::*;
use mosaik_streams::{Frames, FramesConsumer, FramesProducer, Network};

/// The approximate length of a batch in bytes, headers included.
const BATCH_BYTES: usize = 64 * 1024;
const WARM_UP: usize = 200;
const BATCHES: usize = 1000;

fn batch(size: usize) -> Frames {
    (0..BATCH_BYTES / (size + 4))
        .map(|_| vec![b'x'; size])
        .collect()
}

fn producer_to(network: &Network) -> FramesProducer {
    let builder = producer(network).with_buffer_size(1 << 16);
    let policy = mosaik_streams::producer::DisconnectLagging::Wait;
    let built = builder.disconnect_lagging(policy).build();
    built.expect("it is the only one")
}

fn consumer_of(network: &Network) -> FramesConsumer {
    let builder = network.streams().consumer_frames(STREAM).with_local(true);
    let built = builder.with_buffer_size(1 << 16).build();
    built.expect("it wants all")
}

/// Sends batches of records of this size until `count` records were sent, and receives them.
async fn pass(producer: &FramesProducer, consumer: &mut FramesConsumer, size: usize, count: usize) {
    let batch = batch(size);
    let all = batch.count() * count;
    let send = async {
        for _ in 0..count {
            producer
                .send_frames(batch.clone())
                .await
                .expect("it is open");
        }
    };
    let receive = async {
        let mut seen = 0;
        while seen < all {
            let frames = consumer.recv_frames(usize::MAX).await;
            seen += frames.expect("there is more").count();
        }
        assert_eq!(seen, all);
    };
    within("all records", async { tokio::join!(send, receive) }).await;
}

/// Returns the allocations per batch of records of this size in steady state.
async fn of_a_batch(producer: &FramesProducer, consumer: &mut FramesConsumer, size: usize) -> f64 {
    pass(producer, consumer, size, WARM_UP).await;
    let before = allocations::so_far();
    pass(producer, consumer, size, BATCHES).await;
    // Includes those that build the batch: one per record of a batch.
    (allocations::so_far() - before) as f64 / BATCHES as f64
}

// One test for all, because a concurrent test would be counted too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datum_allocates_nothing() {
    let network = unbound().await;
    let (producer, mut consumer) = (producer_to(&network), consumer_of(&network));
    let local = of_a_batch(&producer, &mut consumer, 100).await;
    // More than 600 records per batch.
    assert!(local < 4.0, "{local} allocations for a batch on the node");
    drop((producer, consumer, network));

    let a = first().await;
    let producer = producer_to(&a);
    let b = joined(&a).await;
    let mut consumer = consumer_of(&b);
    within("the consumer is there", producer.when().online()).await;
    // quinn allocates per packet, and the number of packets depends on the bytes only. Allocations per record would be
    // ten times as many.
    let large = of_a_batch(&producer, &mut consumer, 1020).await;
    let small = of_a_batch(&producer, &mut consumer, 100).await;
    assert!(
        small < 1.5 * large + 20.0,
        "{small} allocations for 630 records of 100 bytes, {large} for 64 of 1020"
    );
    assert!(large < 1000.0, "{large} allocations for a batch over QUIC");
}
