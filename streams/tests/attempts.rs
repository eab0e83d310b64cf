//! The state that a consumer reports about nodes from which it receives no records.

use crate::common::{STREAM, first, joined, producer, until, within};
use mosaik_streams::{
    FramesConsumer, Network,
    consumer::{Attempt, Phase},
    network::CloseReason,
};

fn consumer(network: &Network) -> FramesConsumer {
    let builder = network.streams().consumer_frames(STREAM);
    builder.build().expect("it has no criteria")
}

#[tokio::test]
async fn a_refusal_is_told_until_the_refused_node_is_admitted() {
    let one = first().await;
    let two = joined(&one).await;
    let consumer = consumer(&two);
    assert_eq!(consumer.attempts(), []);
    let trusted = mosaik_streams::tag!("trusted");
    let producer = producer(&one)
        .require(move |peer| peer.tags().contains(&trusted))
        .build()
        .expect("the stream has no other producer");
    let refused = Attempt {
        producer: one.local().id(),
        phase: Phase::Resting,
        last_close: Some(CloseReason::NotAllowed),
        mismatch: None,
    };
    until("the refusal is told", || consumer.attempts() == [refused]).await;
    two.discovery().add_tags(trusted);
    within("it is admitted", producer.when().online()).await;
    until("it is connected", || {
        consumer
            .attempts()
            .iter()
            .all(|attempt| attempt.phase == Phase::Connected)
    })
    .await;
    drop(producer);
    until("nobody offers the stream", || {
        consumer.attempts().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_full_producer_is_tried_again_later() {
    let one = first().await;
    let two = joined(&one).await;
    let _producer = producer(&one).with_max_consumers(0).build();
    let consumer = consumer(&two);
    until("a time is told", || {
        matches!(
            consumer.attempts()[..],
            [Attempt {
                phase: Phase::Retrying { .. },
                last_close: Some(CloseReason::NoCapacity),
                ..
            }]
        )
    })
    .await;
}
