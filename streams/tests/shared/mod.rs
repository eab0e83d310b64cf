//! Consumers on one node that share a subscription: one connection, and each receives the same as with its own.

mod changes;
mod interruptions;
mod savings;
mod selection;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::attack::{Attacker, STREAMS, frame};
use crate::common::{
    process::Process,
    relay::{Profile, Relay},
    *,
};
use mosaik_streams::{
    Criteria, Encoding, Frames, FramesConsumer, FramesProducer, Network, SecretKey, StreamId,
    consumer::{FramesConsumerBuilder, Taken},
    streams::{producer::DisconnectLagging, status::ChannelInfo},
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

const MS: Duration = Duration::from_millis(1);

/// A producer that waits for two consumers, and for slow ones without limit.
async fn patient() -> (Network, FramesProducer) {
    let a = first().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .online_when(|subscribed| subscribed.minimum_of(2))
        .build()
        .expect("the first");
    (a, producer)
}

/// A consumer that shares its subscription.
fn sharing(network: &Network) -> FramesConsumerBuilder {
    let builder = network.streams().consumer_frames(STREAM);
    builder.with_shared_subscription("stages")
}

fn wanting(network: &Network, criteria: Criteria) -> FramesConsumer {
    let builder = sharing(network).with_criteria(criteria);
    builder.build().expect("they apply to JSON")
}

/// Returns the number of consumers that share each connection of a producer.
fn shares(producer: &FramesProducer) -> Vec<usize> {
    let channels = producer.consumers();
    channels.iter().map(ChannelInfo::consumers).collect()
}

/// Takes all records, a few at a time.
fn read_slowly(
    mut consumer: FramesConsumer,
    pause: Duration,
) -> JoinHandle<(Vec<u64>, FramesConsumer)> {
    tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(frames) = consumer.recv_frames(100).await {
            seen.extend(numbers(&frames));
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        (seen, consumer)
    })
}

/// Sends without a pause until stopped, and returns how many.
fn send_until(
    producer: FramesProducer,
    stop: Arc<AtomicBool>,
) -> JoinHandle<(u64, FramesProducer)> {
    tokio::spawn(async move {
        let mut next = 0;
        while !stop.load(Ordering::Relaxed) {
            let sent = producer.send_frames(numbered(next..next + 50)).await;
            sent.expect("the stream is open");
            next += 50;
            tokio::time::sleep(MS).await;
        }
        (next, producer)
    })
}
