//! Nodes that are killed and restart with the same key.

use std::time::{Duration, Instant};

use crate::common::{process::Process, *};
use mosaik_streams::{Network, SecretKey, discovery, streams::producer::DisconnectLagging};

/// Shorter than every time limit that could end the wait: 10 s for a handshake, 30 s for an idle connection.
const AT_ONCE: Duration = Duration::from_secs(9);

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_killed_and_restarted_is_let_in_at_once() {
    let a = first().await;
    let producer = producer(&a)
        .with_max_consumers(1)
        .disconnect_lagging(DisconnectLagging::Wait)
        .build()
        .unwrap();
    let key = SecretKey::generate();
    let addr = a.local().addr();
    let start = |process: &Process| {
        let (key, addr) = (key.clone(), addr.clone());
        process.spawn(async move {
            let config = discovery::Config::builder().with_bootstrap(addr);
            let b = Network::builder("test")
                .with_secret_key(key)
                .with_discovery(config)
                .build()
                .await
                .unwrap();
            let consumer = b.streams().consumer_frames(STREAM).build().unwrap();
            (b, consumer)
        })
    };
    let mut first_life = Process::start();
    let (node, mut consumer) = within("the first life", start(&first_life)).await.unwrap();
    within("a consumer", producer.when().online()).await;
    producer.send_frames(numbered(0..10)).await.unwrap();
    assert_all(
        &within("records", some_numbers(&mut consumer, 10)).await,
        0..10,
    );
    first_life.kill();
    // Dropping it could run code, but no task of that run is left to send anything.
    std::mem::forget((node, consumer));

    let killed = Instant::now();
    let second_life = Process::start();
    let (_node, mut consumer) = within("the second life", start(&second_life))
        .await
        .unwrap();
    let mut next = 10;
    within("a record for the second life", async {
        loop {
            producer
                .send_frames(numbered(next..next + 1))
                .await
                .unwrap();
            next += 1;
            let taken = tokio::time::timeout(Duration::from_millis(20), consumer.recv_frames(100));
            if taken.await.is_ok_and(|frames| frames.is_some()) {
                break;
            }
        }
    })
    .await;
    assert!(killed.elapsed() < AT_ONCE, "it took {:?}", killed.elapsed());
    assert_eq!(producer.consumers().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_killed_and_restarted_is_found_at_once() {
    let b = first().await;
    let mut consumer = b.streams().consumer_frames(STREAM).build().unwrap();
    let key = SecretKey::generate();
    let addr = b.local().addr();
    let start = |process: &Process| {
        let (key, addr) = (key.clone(), addr.clone());
        process.spawn(async move {
            let config = discovery::Config::builder().with_bootstrap(addr);
            let a = Network::builder("test")
                .with_secret_key(key)
                .with_discovery(config)
                .build()
                .await
                .unwrap();
            let producer = producer(&a).build().unwrap();
            producer.send_frames(numbered(0..10)).await.unwrap();
            (a, producer)
        })
    };
    for _ in 0..3 {
        let started = Instant::now();
        let mut life = Process::start();
        let held = within("a life", start(&life)).await.unwrap();
        assert_all(
            &within("records", some_numbers(&mut consumer, 10)).await,
            0..10,
        );
        assert!(
            started.elapsed() < AT_ONCE,
            "it took {:?}",
            started.elapsed()
        );
        life.kill();
        std::mem::forget(held);
    }
    assert_eq!(consumer.stats().datums, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_shuts_down_and_returns_resumes() {
    let a = first().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .build()
        .unwrap();
    let key = SecretKey::generate();
    for round in 0..3 {
        let b = joined_as(&a, key.clone()).await;
        let mut consumer = b.streams().consumer_frames(STREAM).build().unwrap();
        within("a consumer", consumer.when().subscribed()).await;
        producer
            .send_frames(numbered(round..round + 1))
            .await
            .unwrap();
        assert_eq!(
            within("a record", some_numbers(&mut consumer, 1)).await,
            [round]
        );
        within("the end", b.shutdown()).await;
        assert!(consumer.recv_frames(1).await.is_none());
        until("it is gone", || producer.consumers().is_empty()).await;
    }
}
