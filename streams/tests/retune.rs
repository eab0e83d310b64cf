//! Changes of running producers and consumers that keep the connection, queue and subscribers.

use std::time::Duration;

use crate::common::*;
use mosaik_streams::{
    Criteria, Frames, FramesConsumer, Requirements, Tag, network::CloseReason,
    producer::DisconnectLagging,
};

/// Large enough to fill the windows of a connection soon.
const LARGE: &[u8] = &[0; 100_000];
/// The last record of a test that sends large ones.
const LAST: &[u8] = b"last";

/// The connection to the only producer.
fn connection(consumer: &FramesConsumer) -> u64 {
    let producers = consumer.producers();
    assert_eq!(producers.len(), 1);
    producers[0].number()
}

#[tokio::test(flavor = "multi_thread")]
async fn criteria_change_at_the_producer_over_the_same_connection() {
    let a = first().await;
    let producer = producer(&a)
        .online_when(|c| c.minimum_of(2))
        .build()
        .unwrap();
    let b = joined(&a).await;
    let few = Criteria::field("n").lt(10);
    let build = |network: &mosaik_streams::Network, local| {
        let builder = network.streams().consumer_frames(STREAM);
        let builder = builder.with_criteria(few.clone()).with_local(local);
        builder.build().unwrap()
    };
    let (mut remote, mut local) = (build(&b, false), build(&a, true));
    within("both are there", producer.when().online()).await;
    let before = connection(&remote);
    send_numbers(&producer, 0..100).await;
    for consumer in [&mut remote, &mut local] {
        let seen = within("ten numbers", some_numbers(consumer, 10)).await;
        assert_all(&seen, 0..10);
    }

    let more = Criteria::field("n").gte(150);
    for consumer in [&remote, &local] {
        consumer.control().set_criteria(more.clone()).unwrap();
    }
    // The producer receives the change over the network, and filters from then on.
    let mut next = 200;
    loop {
        send_numbers(&producer, next..next + 1).await;
        next += 1;
        if remote.queued().0 > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(next < 5000, "the producer never heard of it");
    }
    // Records that are still in flight to the sender count once they arrive there.
    let mut sent = 0;
    while sent != producer.stats().sent_datums {
        sent = producer.stats().sent_datums;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    send_numbers(&producer, 100..149).await;
    send_numbers(&producer, 10_000..10_001).await;
    for consumer in [&mut remote, &mut local] {
        let last = async {
            loop {
                let frames = consumer.recv_frames(100).await.expect("the stream goes on");
                let seen = numbers(&frames);
                assert!(seen.iter().all(|n| *n >= 150), "{seen:?}");
                if seen.contains(&10_000) {
                    break;
                }
            }
        };
        within("the last number", last).await;
    }
    assert_eq!(producer.stats().sent_datums, sent + 1, "others were sent");
    assert_eq!(connection(&remote), before);
    assert_eq!(remote.stats().dropped.total(), 0);

    let text = Criteria::field("n").gte(1);
    assert!(local.control().set_criteria(text).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_requirements_cut_off_and_let_in_again() {
    let a = first().await;
    let producer = producer(&a).build().unwrap();
    let b = joined(&a).await;
    b.discovery().add_tags(Tag::from("guest"));
    let mut consumer = b.streams().consumer_frames(STREAM).build().unwrap();
    within("it is let in", producer.when().online()).await;

    let tag = |name: &str| {
        let tag = Tag::from(name);
        Requirements::new().require(move |peer| peer.tags().contains(&tag))
    };
    producer.control().set_requirements(tag("house"));
    within("it is cut off", producer.when().offline()).await;
    until("it knows why", || {
        let attempts = consumer.attempts();
        attempts.len() == 1 && attempts[0].last_close == Some(CloseReason::NotAllowed)
    })
    .await;
    producer.control().set_requirements(tag("guest"));
    within("it has come back", producer.when().online()).await;

    // And in the opposite direction.
    consumer.control().set_requirements(tag("house"));
    until("it has let go", || consumer.producers().is_empty()).await;
    until("it counts the producer as unfit", || {
        consumer.control().unfit() == 1
    })
    .await;
    consumer.control().set_requirements(Requirements::new());
    within("it takes it again", producer.when().online()).await;
    send_numbers(&producer, 0..3).await;
    let seen = within("three numbers", some_numbers(&mut consumer, 3)).await;
    assert_all(&seen, 0..3);
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_and_conditions_change_in_place() {
    let a = first().await;
    let producer = producer(&a).with_max_consumers(0).build().unwrap();
    let b = joined(&a).await;
    let mut consumer = b.streams().consumer_frames(STREAM).build().unwrap();
    until("it is refused", || {
        let attempts = consumer.attempts();
        attempts.len() == 1 && attempts[0].last_close == Some(CloseReason::NoCapacity)
    })
    .await;
    producer.control().set_max_consumers(1);
    within("it is let in", producer.when().online()).await;

    producer.control().set_online_when(|c| c.minimum_of(2));
    assert!(!producer.is_online());
    let reading = producer.control().read().unwrap();
    assert_eq!(
        (reading.conditions.minimum(), reading.conditions.count()),
        (2, 1)
    );
    producer.control().set_online_when(|c| c);
    assert!(producer.is_online());
    assert!(consumer.is_online());
    consumer.control().set_online_when(|c| c.minimum_of(2));
    assert!(!consumer.is_online());

    // A queue of two is full, and then accepts ten more.
    let local = a.streams().consumer_frames(STREAM).with_local(true);
    let local = local.with_buffer_size(2).build().unwrap();
    within("the first two", producer.send_frames(numbered(0..20)))
        .await
        .unwrap();
    until("it is full", || local.queued().0 == 2).await;
    local.control().set_buffer(12, 1 << 20);
    until("it has taken more", || local.queued().0 == 12).await;
    local.control().set_buffer(1, 1 << 20);
    assert_eq!(local.queued().0, 12, "what is queued stays");
    let seen = within("numbers elsewhere", some_numbers(&mut consumer, 12)).await;
    assert_all(&seen, 0..12);

    let control = local.control();
    drop(local);
    assert!(control.read().is_none_or(|now| now.producers.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_holds_for_whom_the_stream_waits_already() {
    let policies = [
        DisconnectLagging::AtOnce,
        DisconnectLagging::After(Duration::from_millis(50)),
        DisconnectLagging::Never,
    ];
    for policy in policies {
        let a = first().await;
        let producer = producer(&a)
            .disconnect_lagging(DisconnectLagging::Wait)
            .with_buffer_size(2)
            .build()
            .unwrap();
        let b = joined(&a).await;
        let stalled = b.streams().consumer_frames(STREAM).with_buffer_size(1);
        let _stalled = stalled.build().unwrap();
        let reading = a.streams().consumer_frames(STREAM).with_local(true);
        let mut reading = reading.build().unwrap();
        within("both are there", producer.when().subscribed().minimum_of(2)).await;
        let reading = tokio::spawn(async move {
            while let Some(frames) = reading.recv_frames(100).await {
                if frames.iter().any(|datum| datum == LAST) {
                    return true;
                }
            }
            false
        });
        // Until the stalled consumer holds up the stream, and not just a busy machine.
        let one_more = || {
            let sent = producer.send_frames(Frames::single(LARGE));
            tokio::time::timeout(Duration::from_millis(500), sent)
        };
        within("the stream is held up", async {
            while one_more().await.is_ok() || one_more().await.is_ok() {}
        })
        .await;
        assert_eq!(producer.stats().dropped.total(), 0);

        producer.control().set_disconnect_lagging(policy);
        let rest = async {
            for _ in 0..20 {
                producer.send_frames(Frames::single(LARGE)).await.unwrap();
            }
            producer.send_frames(Frames::single(LAST)).await.unwrap();
            reading.await.unwrap()
        };
        assert!(within("the others get on", rest).await, "{policy:?}");
        assert!(producer.stats().dropped.lagging > 0, "{policy:?}");
        if policy == DisconnectLagging::Never {
            let stalled = b.local().id();
            let mut left = producer.consumers().into_iter();
            assert!(
                left.any(|channel| *channel.consumer_id() == stalled),
                "it is cut off"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_wanted_is_not_lost_when_all_is_wanted_later() {
    let a = first().await;
    let producer = producer(&a).build().unwrap();
    let b = joined(&a).await;
    let mut consumer = b.streams().consumer_frames(STREAM).build().unwrap();
    within("it is let in", producer.when().online()).await;
    send_numbers(&producer, 0..5).await;
    let seen = within("all numbers", some_numbers(&mut consumer, 5)).await;
    assert_all(&seen, 0..5);
    let before = connection(&consumer);

    // For a while the producer filters.
    let few = Criteria::field("n").gte(1_000_000);
    consumer.control().set_criteria(few).unwrap();
    let mut next = 5;
    within("the producer has sorted out a hundred", async {
        while producer.stats().filtered < 100 {
            send_numbers(&producer, next..next + 1).await;
            next += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let all = Criteria::default();
    consumer.control().set_criteria(all).unwrap();

    // After reconnecting, its position does not show that those records did not match.
    let house = Tag::from("house");
    let members = Requirements::new().require(move |peer| peer.tags().contains(&house));
    producer.control().set_requirements(members);
    within("it is cut off", producer.when().offline()).await;
    until("it knows why", || {
        let attempts = consumer.attempts();
        attempts.len() == 1 && attempts[0].last_close == Some(CloseReason::NotAllowed)
    })
    .await;
    producer.control().set_requirements(Requirements::new());
    within("it has come back", producer.when().online()).await;
    send_numbers(&producer, next..next + 1).await;
    within("the last number", async {
        loop {
            let frames = consumer.recv_frames(100).await;
            if numbers(&frames.expect("the stream goes on")).contains(&next) {
                break;
            }
        }
    })
    .await;
    assert_ne!(connection(&consumer), before);
    assert_eq!(consumer.stats().dropped.lost, 0);
}

#[tokio::test]
async fn the_settings_are_those_in_effect() {
    let a = first().await;
    let producer = producer(&a).with_buffer_size(8).build().unwrap();
    let control = producer.control();
    control.set_buffer(16, 4096);
    control.set_linger(Duration::from_millis(3));
    control.set_max_consumers(2);
    control.set_disconnect_lagging(DisconnectLagging::Wait);
    let config = producer.config();
    assert_eq!((config.buffer_size, config.buffer_bytes), (16, 4096));
    assert_eq!(config.linger, Duration::from_millis(3));
    assert_eq!(config.max_consumers, 2);
    assert_eq!(config.disconnect_lagging, DisconnectLagging::Wait);

    let consumer = a.streams().consumer_frames(STREAM).build().unwrap();
    let control = consumer.control();
    control.set_buffer(32, 8192);
    control.set_batch_size(4);
    control.set_criteria(Criteria::field("n").lt(3)).unwrap();
    let config = consumer.config();
    assert_eq!((config.buffer_size, config.buffer_bytes), (32, 8192));
    assert_eq!(config.batch_size, 4);
    assert_eq!(config.criteria, Criteria::field("n").lt(3));
}
