//! A consumer that does not read follows the state of its producers, and loses no received record.

use std::time::Duration;

use crate::common::{process::Process, *};
use mosaik_streams::{
    Frames, FramesConsumer, FramesProducer, Network, SecretKey, discovery,
    streams::{backoff::ExponentialBackoffBuilder, producer::DisconnectLagging},
};

const DATUM_LEN: usize = 100_000;

fn large(number: u64) -> Frames {
    let mut datum = vec![0; DATUM_LEN];
    datum[..8].copy_from_slice(&number.to_be_bytes());
    Frames::single(&datum)
}

fn large_numbers(frames: &Frames) -> Vec<u64> {
    let number = |datum: &[u8]| u64::from_be_bytes(datum[..8].try_into().expect("8 bytes"));
    frames.iter().map(number).collect()
}

/// A producer that disconnects lagging subscribers, and a consumer whose queue is soon full.
async fn cutting() -> ((Network, Network), FramesProducer, FramesConsumer) {
    let a = first().await;
    let producer = producer(&a)
        .disconnect_lagging(true)
        .with_buffer_size(8)
        .online_when(|c| c.minimum_of(0))
        .build()
        .expect("the first");
    let b = joined(&a).await;
    let eager = ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_millis(10))
        .with_max_interval(Duration::from_millis(50))
        .build();
    let consumer = b
        .streams()
        .consumer_frames(STREAM)
        .with_buffer_size(2)
        .with_backoff(eager)
        .build()
        .expect("it wants all");
    within("a consumer", producer.when().subscribed()).await;
    within("a producer", consumer.when().subscribed()).await;
    ((a, b), producer, consumer)
}

#[tokio::test(flavor = "multi_thread")]
async fn being_cut_off_is_noticed_while_there_is_no_room() {
    let (_nodes, producer, mut consumer) = cutting().await;
    let mut sent = 0;
    // Without reading in between, it is disconnected, reconnects, and is disconnected again.
    for _ in 0..3 {
        let channel = consumer.producers().pop().expect("it is subscribed");
        let sending = async {
            loop {
                if !producer.consumers().is_empty() {
                    producer.send_frames(large(sent)).await.expect("it is open");
                    sent += 1;
                }
                // Slow enough for the connection to accept it until all windows are full.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        within("it notices that it is cut off", async {
            tokio::select! {
                () = channel.disconnected() => {}
                () = sending => {}
            }
        })
        .await;
        assert!(consumer.queued().0 <= 2);
        within("it is back", async {
            while !(consumer.when().subscribed() == true && producer.when().subscribed() == true) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    // All received records are there, and all others are counted.
    let total = producer.stats().datums;
    let (_, seen) = within("the end", async {
        tokio::join!(producer.finish(), async {
            let mut seen = Vec::new();
            while let Some(frames) = consumer.recv_frames(10).await {
                seen.extend(large_numbers(&frames));
            }
            seen
        })
    })
    .await;
    let lost = consumer.stats().dropped.lost;
    println!(
        "of {total} records {} came and {lost} were counted as lost",
        seen.len()
    );
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    // More records than the queue holds were received before the first disconnection.
    assert!(seen.len() > 2 && seen[..3] == [0, 1, 2], "{seen:?}");
    assert_eq!(seen.len() as u64 + lost, total);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_life_of_the_producer_is_joined_while_there_is_no_room() {
    let b = first().await;
    let mut consumer = b
        .streams()
        .consumer_frames(STREAM)
        .with_buffer_size(10)
        .build()
        .unwrap();
    let (key, addr) = (SecretKey::generate(), b.local().addr());
    let mut lives = Vec::new();
    for life in 0..3u64 {
        let process = Process::start();
        let (key, addr) = (key.clone(), addr.clone());
        let made = process.spawn(async move {
            let config = discovery::Config::builder().with_bootstrap(addr);
            let node = Network::builder("test")
                .with_secret_key(key)
                .with_discovery(config)
                .build()
                .await
                .expect("it works on loopback");
            let producer = producer(&node)
                .disconnect_lagging(DisconnectLagging::Wait)
                .build()
                .expect("the first of this life");
            // It is accepted, although the consumer reads nothing.
            producer.when().online().await;
            let sent = producer
                .send_frames(numbered(life * 1000..life * 1000 + 500))
                .await;
            sent.expect("it is open");
            (node, producer)
        });
        let (node, producer) = within("a life is taken", made).await.unwrap();
        until("all is sent", || producer.stats().sent_datums == 500).await;
        lives.push((process, node, producer));
        let (process, ..) = lives.last_mut().unwrap();
        if life < 2 {
            // Excludes records that are still in flight.
            until("it has some of it", || consumer.queued().0 == 10).await;
            process.kill();
        }
    }
    // In order within each run, and the runs in order; all records of the last one.
    let mut seen = Vec::new();
    within("the last datum", async {
        while seen.last() != Some(&2499) {
            seen.extend(some_numbers(&mut consumer, 1).await);
        }
    })
    .await;
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    assert!(seen[..10].iter().copied().eq(0..10));
    assert!(seen.ends_with(&(2000..2500).collect::<Vec<_>>()));
    for (_, node, producer) in lives {
        std::mem::forget((node, producer));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_an_end_is_handed_out_before_it() {
    let a = first().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .build()
        .unwrap();
    let b = joined(&a).await;
    let mut consumer = b
        .streams()
        .consumer_frames(STREAM)
        .with_buffer_size(5)
        .build()
        .unwrap();
    within("a consumer", producer.when().online()).await;
    // As many as the connection's window holds, so that all of them are on the consumer's side.
    for number in 0..60 {
        producer.send_frames(large(number)).await.unwrap();
    }
    until("the queue is full", || consumer.queued().0 == 5).await;
    until("all is sent", || producer.stats().sent_datums == 60).await;
    // It cannot report that it has read everything and is left behind, yet all records are there.
    let deadline = Duration::from_secs(1);
    let report = within("the deadline", producer.finish_within(deadline)).await;
    assert_eq!((report.ended, report.incomplete), (true, 1));
    until("the end is noticed", || consumer.producers().is_empty()).await;
    assert!(!consumer.is_ended());
    let mut seen = Vec::new();
    within("all and the end", async {
        while let Some(frames) = consumer.recv_frames(10).await {
            seen.extend(large_numbers(&frames));
        }
    })
    .await;
    assert_all(&seen, 0..60);
}
