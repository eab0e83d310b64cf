//! Remote subscribers that do not keep up.

use std::time::{Duration, Instant};

use crate::common::*;
use mosaik_streams::{
    Frames, FramesConsumer, FramesProducer, Network, streams::producer::DisconnectLagging,
};

const DATUM_LEN: usize = 100_000;

struct Setup {
    _nodes: (Network, Network, Network),
    producer: FramesProducer,
    /// Reads nothing until the test does.
    stalled: FramesConsumer,
    quick: tokio::task::JoinHandle<u64>,
}

/// Numbered records, large enough to fill the windows of a connection soon.
fn large(number: u64) -> Frames {
    let mut datum = vec![0; DATUM_LEN];
    datum[..8].copy_from_slice(&number.to_be_bytes());
    Frames::single(&datum)
}

fn number(datum: &[u8]) -> u64 {
    u64::from_be_bytes(datum[..8].try_into().expect("it works on loopback"))
}

async fn setup(policy: impl Into<DisconnectLagging>) -> Setup {
    let a = first().await;
    let producer = producer(&a)
        .disconnect_lagging(policy)
        .with_buffer_size(8)
        .build()
        .expect("it works on loopback");
    let (b, c) = (joined(&a).await, joined(&a).await);
    let stalled = b
        .streams()
        .consumer_frames(STREAM)
        .with_buffer_size(1)
        .build()
        .expect("it works on loopback");
    let mut quick = c
        .streams()
        .consumer_frames(STREAM)
        .build()
        .expect("it works on loopback");
    within("both consumers", producer.when().subscribed().minimum_of(2)).await;
    let quick = tokio::spawn(async move {
        let mut count = 0;
        while let Some(frames) = quick.recv_frames(100).await {
            count += frames.count() as u64;
        }
        count
    });
    Setup {
        _nodes: (a, b, c),
        producer,
        stalled,
        quick,
    }
}

impl Setup {
    /// Sends slowly enough for a consumer that reads, until the condition holds.
    async fn send_until(&self, condition: impl Fn(&Self) -> bool) -> u64 {
        let mut sent = 0;
        within("the condition", async {
            while !condition(self) {
                self.producer
                    .send_frames(large(sent))
                    .await
                    .expect("it works on loopback");
                sent += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        sent
    }

    fn consumers(&self) -> usize {
        self.producer.consumers().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_once_cuts_who_has_no_room() {
    let setup = setup(true).await;
    setup
        .send_until(|setup| setup.producer.stats().dropped.lagging > 0)
        .await;
    until("it is cut", || {
        setup.consumers() < 2 || setup.stalled.producers().is_empty()
    })
    .await;
    setup.quick.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn never_lets_it_miss_what_it_has_no_room_for() {
    let mut setup = setup(false).await;
    let sent = setup
        .send_until(|setup| setup.producer.stats().dropped.lagging > 100)
        .await;
    assert_eq!(setup.consumers(), 2);
    let dropped = setup.producer.stats().dropped.lagging;
    let quick_channel = setup
        .producer
        .consumers()
        .into_iter()
        .map(|channel| channel.stats().dropped())
        .min();
    let lost_by_quick = quick_channel.unwrap() as u64;
    let (finished, seen) = within("the end", async {
        let producer = setup.producer;
        tokio::join!(producer.finish(), async {
            let mut seen = Vec::new();
            while let Some(frames) = setup.stalled.recv_frames(10).await {
                seen.extend(frames.iter().map(number));
            }
            seen
        })
    })
    .await;
    assert_eq!(finished.complete, 2);
    assert!(seen.is_sorted() && seen.len() as u64 == sent - (dropped - lost_by_quick));
    assert_eq!(setup.quick.await.unwrap(), sent - lost_by_quick);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_spent_waiting_and_then_cuts() {
    let budget = Duration::from_millis(700);
    let mut setup = setup(budget).await;
    let started = Instant::now();
    setup
        .send_until(|setup| setup.producer.stats().dropped.lagging > 0)
        .await;
    assert!(
        started.elapsed() >= budget,
        "cut after {:?}",
        started.elapsed()
    );
    // It is disconnected, refused for a while, and may reconnect when it reads again.
    until("it is cut", || setup.consumers() == 1).await;
    within("it comes back", async {
        while setup.consumers() < 2 {
            let _ = tokio::time::timeout(Duration::from_millis(10), setup.stalled.recv_frames(100))
                .await;
        }
    })
    .await;
    assert!(started.elapsed() >= budget + Duration::from_millis(500));
    // The producer counts it before it knows that it is admitted.
    until("it knows what it missed", || {
        setup.stalled.stats().dropped.lost > 0
    })
    .await;
    setup.quick.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_loses_nothing() {
    let mut setup = setup(DisconnectLagging::Wait).await;
    let mut sent = 0;
    let stuck = async {
        loop {
            setup.producer.send_frames(large(sent)).await.unwrap();
            sent += 1;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(1), stuck)
            .await
            .is_err()
    );
    // The cancelled send may have queued its record.
    let sent = setup.producer.stats().datums;
    let producer = setup.producer;
    let (report, seen) = within("the end", async {
        tokio::join!(producer.finish(), async {
            let mut seen = Vec::new();
            while let Some(frames) = setup.stalled.recv_frames(10).await {
                seen.extend(frames.iter().map(number));
            }
            seen
        })
    })
    .await;
    assert_all(&seen, 0..sent);
    assert_eq!((report.complete, report.stats.dropped.total()), (2, 0));
    assert_eq!(setup.quick.await.unwrap(), sent);
}
