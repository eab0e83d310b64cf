//! Large batches that bypass the fan-out's task to the only subscriber, and the conditions that end the bypass.

use std::time::Duration;

use crate::common::*;
use mosaik_streams::{Criteria, Frames, FramesConsumer, FramesProducer, Network, Requirements};

/// The number of records in a batch that is too large to be merged.
const LARGE: u64 = 500;

fn consumer(network: &Network) -> FramesConsumer {
    let builder = network.streams().consumer_frames(STREAM).with_local(true);
    builder.build().expect("it wants all")
}

/// Sends a large batch. Returns true if it reached the subscriber before any task could run: these tests have one
/// thread.
fn cuts_through(producer: &FramesProducer, next: &mut u64) -> bool {
    let batch = numbered(*next..*next + LARGE);
    producer
        .try_send_frames(batch)
        .expect("there is room and a subscriber");
    *next += LARGE;
    producer.queued().0 == 0
}

/// Sends and takes until a batch bypasses the task.
async fn until_it_cuts_through(
    producer: &FramesProducer,
    consumer: &mut FramesConsumer,
    next: &mut u64,
    seen: &mut Vec<u64>,
) {
    let cut = async {
        loop {
            let did = cuts_through(producer, next);
            seen.extend(some_numbers(consumer, LARGE as usize).await);
            if did {
                return;
            }
            // The task of the fan-out goes to sleep.
            tokio::task::yield_now().await;
        }
    };
    within("a batch that cuts through", cut).await;
}

/// Returns a producer whose batches go directly to its only consumer, the next number, and the numbers received.
async fn cutting_through(network: &Network) -> (FramesProducer, FramesConsumer, u64, Vec<u64>) {
    let producer = producer(network).build().expect("it is the only one");
    let mut only = consumer(network);
    let (mut next, mut seen) = (0, Vec::new());
    within("a subscriber", producer.when().online()).await;
    until_it_cuts_through(&producer, &mut only, &mut next, &mut seen).await;
    (producer, only, next, seen)
}

#[tokio::test]
async fn whatever_is_to_be_done_to_a_batch_is_done_at_once() {
    let network = unbound().await;
    let (producer, mut only, mut next, mut seen) = cutting_through(&network).await;

    // With a tap, the next batch is observed.
    let mut tap = producer
        .control()
        .tap(&Criteria::default())
        .unwrap()
        .unwrap();
    let from = next;
    assert!(!cuts_through(&producer, &mut next));
    let tapped = within("what goes by", tap.recv_frames(usize::MAX)).await;
    assert_all(&numbers(&tapped.unwrap()), from..next);
    seen.extend(some_numbers(&mut only, LARGE as usize).await);
    drop(tap);
    until_it_cuts_through(&producer, &mut only, &mut next, &mut seen).await;

    // Another subscriber receives everything sent from then on, even if the task was asleep in between.
    let mut other = consumer(&network);
    for _ in 0..3 {
        let from = next;
        assert!(!cuts_through(&producer, &mut next));
        for consumer in [&mut other, &mut only] {
            let both = within("both get it", some_numbers(consumer, LARGE as usize)).await;
            assert_all(&both, from..next);
        }
        seen.extend(from..next);
        tokio::task::yield_now().await;
    }
    drop(other);
    until_it_cuts_through(&producer, &mut only, &mut next, &mut seen).await;

    // Records wait for more.
    producer.control().set_linger(Duration::from_millis(1));
    assert!(!cuts_through(&producer, &mut next));
    seen.extend(some_numbers(&mut only, LARGE as usize).await);
    producer.control().set_linger(Duration::ZERO);
    until_it_cuts_through(&producer, &mut only, &mut next, &mut seen).await;
    assert_all(&seen, 0..next);

    // Other criteria: nothing else is received.
    let first = Criteria::field("n").lt(i64::try_from(next + 1).unwrap());
    only.control().set_criteria(first).unwrap();
    assert!(!cuts_through(&producer, &mut next));
    let (report, rest) = within("the end", async {
        tokio::join!(producer.finish(), all_numbers(&mut only))
    })
    .await;
    assert_eq!(rest, [next - LARGE]);
    let stats = report.stats;
    assert_eq!((report.complete, stats.dropped.total()), (1, 0));
    assert_eq!(stats.datums, next);
    assert_eq!(stats.filtered, LARGE - 1);
    assert_eq!(only.stats().datums, seen.len() as u64 + 1);
}

#[tokio::test]
async fn a_batch_that_finds_no_room_is_held_and_followed_by_the_next_ones() {
    let network = unbound().await;
    let (producer, mut only, mut next, mut seen) = cutting_through(&network).await;
    // The consumer has room for 1024, and the producer for as many.
    assert!(cuts_through(&producer, &mut next) && cuts_through(&producer, &mut next));
    assert!(!cuts_through(&producer, &mut next));
    seen.extend(some_numbers(&mut only, 100).await);
    assert!(!cuts_through(&producer, &mut next), "it would overtake");
    let rest = usize::try_from(next).unwrap() - seen.len();
    seen.extend(within("the rest", some_numbers(&mut only, rest)).await);
    until_it_cuts_through(&producer, &mut only, &mut next, &mut seen).await;
    assert_all(&seen, 0..next);
}

#[tokio::test]
async fn a_consumer_that_cannot_decode_is_sent_no_more() {
    let network = unbound().await;
    let producer = producer(&network).build().unwrap();
    let builder = network.streams().consumer::<u64>().with_stream_id(STREAM);
    let mut only = builder.with_local(true).build();
    within("a subscriber", producer.when().online()).await;
    // More bytes than are merged, and fewer records than there is room for.
    let send = |datum: &[u8]| {
        let batch: Frames = std::iter::repeat_n(datum, 1000).collect();
        producer.try_send_frames(batch).is_ok() && producer.queued().0 == 0
    };
    let mut cut = false;
    while !cut {
        cut = send(&[7]);
        for _ in 0..1000 {
            assert_eq!(within("a number", only.recv()).await, Some(7));
        }
        tokio::task::yield_now().await;
    }
    // No 64-bit number is that large.
    assert!(send(&[0xff; 10]));
    let let_go = async {
        while !producer.consumers().is_empty() {
            assert!(only.try_recv().is_err());
            tokio::task::yield_now().await;
            send(&[0xff; 10]);
        }
    };
    within("it is sent no more", let_go).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_past_the_fan_out_counts_for_those_who_missed_it() {
    let a = first().await;
    let producer = producer(&a)
        .online_when(|c| c.minimum_of(2))
        .build()
        .unwrap();
    let mut local = consumer(&a);
    let b = joined(&a).await;
    let mut remote = b.streams().consumer_frames(STREAM).build().unwrap();
    within("both are there", producer.when().online()).await;
    producer.send_frames(numbered(0..LARGE)).await.unwrap();
    for consumer in [&mut local, &mut remote] {
        let seen = within("the first", some_numbers(consumer, LARGE as usize)).await;
        assert_all(&seen, 0..LARGE);
    }

    let control = producer.control();
    control.set_online_when(|c| c);
    control.set_requirements(Requirements::new().require(|_| false));
    until("it is cut off", || producer.consumers().len() == 1).await;
    let sent = 20 * LARGE;
    let both = async {
        tokio::join!(
            send_numbers(&producer, LARGE..sent),
            some_numbers(&mut local, (sent - LARGE) as usize),
        )
    };
    let ((), seen) = within("what the other one missed", both).await;
    assert_all(&seen, LARGE..sent);

    control.set_requirements(Requirements::new());
    until("it is back", || producer.consumers().len() == 2).await;
    producer
        .send_frames(numbered(sent..sent + LARGE))
        .await
        .unwrap();
    let seen = within("what comes then", some_numbers(&mut remote, LARGE as usize)).await;
    assert_all(&seen, sent..sent + LARGE);
    assert_eq!(remote.stats().dropped.lost, sent - LARGE);
}
