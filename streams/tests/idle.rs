//! Waiting producers and consumers use no CPU. Measured by how often and how long the runtime's threads run: polling
//! tasks wake them often, and spinning tasks keep them running.

use std::time::Duration;

use crate::common::*;
use futures::{SinkExt, StreamExt, future::poll_fn};
use mosaik_streams::{Consumer, Producer};

const HANDLES: u32 = 100;
/// The duration of the measurement.
const WINDOW: Duration = Duration::from_secs(2);
/// Allows for the existing timers: keep-alives, renewals, checks for stale entries.
const WAKES_MAX: u64 = 100;

/// Returns how often the threads have gone to sleep, and how long they ran.
fn wakes_and_work() -> (u64, Duration) {
    let metrics = tokio::runtime::Handle::current().metrics();
    let workers = || 0..metrics.num_workers();
    (
        workers()
            .map(|worker| metrics.worker_park_count(worker))
            .sum(),
        workers()
            .map(|worker| metrics.worker_total_busy_duration(worker))
            .sum(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_of_each_that_wait_wake_nobody() {
    let (a, b) = {
        let a = first().await;
        let b = joined(&a).await;
        (a, b)
    };
    let stream = |side: &str, number: u32| format!("{side} {number}");
    let mut waiting = Vec::new();
    for number in 0..HANDLES {
        let build = a.streams().producer::<u32>();
        let producer = build
            .with_stream_id(stream("nobody takes", number).as_str())
            .build();
        let mut producer: Producer<u32> = producer.expect("the first");
        // Both ways of waiting: for room, and for coming online.
        waiting.push(tokio::spawn(async move {
            let when = producer.when().clone();
            let ready = poll_fn(|cx| producer.poll_ready_unpin(cx));
            let (_, ()) = tokio::join!(ready, when.online());
        }));
        let build = b.streams().consumer::<u32>();
        let consumer = build
            .with_stream_id(stream("nobody makes", number).as_str())
            .build();
        let mut consumer: Consumer<u32> = consumer;
        waiting.push(tokio::spawn(async move {
            let mut subscribed = consumer.when().subscribed();
            tokio::join!(consumer.next(), &mut subscribed);
        }));
    }
    until("all that is to be told is told", || {
        let catalog = b.discovery().catalog();
        let peer = catalog.get(&a.local().id());
        peer.is_some_and(|peer| peer.streams().len() == HANDLES as usize)
    })
    .await;
    let before = wakes_and_work();
    // The measured time.
    tokio::time::sleep(WINDOW).await;
    let after = wakes_and_work();
    let (wakes, work) = (after.0 - before.0, after.1.saturating_sub(before.1));
    println!(
        "{HANDLES} producers and {HANDLES} consumers woke the threads {wakes} times in {WINDOW:?}, for {work:?} in all"
    );
    assert!(wakes < WAKES_MAX, "{wakes}");
    // A spinning task keeps a thread running all the time.
    assert!(work < WINDOW / 2, "{work:?}");
    assert!(waiting.iter().all(|task| !task.is_finished()));
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}
