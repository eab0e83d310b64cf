//! Shared helpers: networks on loopback, numbered records, and waiting with a time limit.

pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod relay;
pub(crate) mod tickets;

use std::time::{Duration, Instant};

use mosaik_streams::{
    EndpointAddr, Frames, FramesConsumer, FramesProducer, Network, SecretKey, discovery,
    streams::producer::FramesProducerBuilder,
};

pub(crate) const STREAM: &str = "numbers";

/// Time limit for any step of a test, which allows for a busy machine and a debug build. Shorter than the 2 minutes for which
/// a producer keeps a subscriber that it has lost.
const LIMIT: Duration = Duration::from_secs(100);

/// Fails the test after [`LIMIT`] and names the condition.
#[track_caller]
pub(crate) fn within<T>(
    what: &'static str,
    future: impl Future<Output = T>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let limited = tokio::time::timeout(LIMIT, future).await;
        limited.unwrap_or_else(|_| panic!("timed out: {what} ({caller})"))
    }
}

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn until(
    what: &'static str,
    mut condition: impl FnMut() -> bool,
) -> impl Future<Output = ()> {
    within(what, async move {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

/// A network without sockets.
pub(crate) async fn unbound() -> Network {
    Network::builder("test")
        .lazy(true)
        .build()
        .await
        .expect("it works on loopback")
}

/// A node that others can connect to.
pub(crate) async fn first() -> Network {
    Network::new("test").await.expect("it works on loopback")
}

/// A node that knows another one.
pub(crate) async fn joined(to: &Network) -> Network {
    joined_as(to, SecretKey::generate()).await
}

pub(crate) async fn joined_as(to: &Network, key: SecretKey) -> Network {
    node(&key, &to.local().addr()).await
}

/// A node with this key that knows another one by its address.
pub(crate) async fn node(key: &SecretKey, knows: &EndpointAddr) -> Network {
    let config = discovery::Config::builder().with_bootstrap(knows);
    Network::builder("test")
        .with_secret_key(key.clone())
        .with_discovery(config)
        .build()
        .await
        .expect("it works on loopback")
}

/// Measures how long a new, correct node takes to join and to read from the producer.
pub(crate) async fn honest_join(to: &Network, producer: &FramesProducer) -> Duration {
    let started = Instant::now();
    let newcomer = joined(to).await;
    let mut consumer = newcomer
        .streams()
        .consumer_frames(STREAM)
        .build()
        .expect("it wants all");
    within("the newcomer is let in", consumer.when().subscribed()).await;
    let sent = producer.send_frames(numbered(7..8));
    within("sending to the newcomer", sent)
        .await
        .expect("the producer is there");
    let seen = within("a record", some_numbers(&mut consumer, 1)).await;
    assert_eq!(seen, [7]);
    let took = started.elapsed();
    drop(consumer);
    // Shuts down in the background.
    tokio::spawn(newcomer.shutdown());
    took
}

/// A producer of the stream that these tests use.
pub(crate) fn producer(network: &Network) -> FramesProducerBuilder {
    network.streams().producer_frames(STREAM)
}

/// Records that are numbers, as JSON.
pub(crate) fn numbered(range: std::ops::Range<u64>) -> Frames {
    range.map(|n| format!("{{\"n\":{n}}}")).collect()
}

pub(crate) fn numbers(frames: &Frames) -> Vec<u64> {
    let number = |datum: &[u8]| -> Option<u64> {
        std::str::from_utf8(datum)
            .ok()?
            .strip_prefix("{\"n\":")?
            .strip_suffix('}')?
            .parse()
            .ok()
    };
    frames
        .iter()
        .map(|datum| number(datum).expect("a record of these tests"))
        .collect()
}

/// Sends numbers in batches of uneven sizes.
pub(crate) async fn send_numbers(producer: &FramesProducer, range: std::ops::Range<u64>) {
    let (mut next, mut size) = (range.start, 1);
    while next < range.end {
        let end = range.end.min(next + size);
        producer
            .send_frames(numbered(next..end))
            .await
            .expect("it works on loopback");
        (next, size) = (end, size % 700 + 37);
    }
}

/// Takes records until the stream ends.
pub(crate) async fn all_numbers(consumer: &mut FramesConsumer) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(frames) = consumer.recv_frames(500).await {
        assert!(frames.count() <= 500);
        all.extend(numbers(&frames));
    }
    all
}

/// Takes exactly `count` records.
pub(crate) async fn some_numbers(consumer: &mut FramesConsumer, count: usize) -> Vec<u64> {
    let mut all = Vec::new();
    while all.len() < count {
        let frames = consumer
            .recv_frames(count - all.len())
            .await
            .expect("the stream has not ended");
        all.extend(numbers(&frames));
    }
    all
}

pub(crate) fn assert_all(seen: &[u64], range: std::ops::Range<u64>) {
    assert_eq!(seen.len() as u64, range.end - range.start);
    assert!(seen.iter().copied().eq(range), "records are out of order");
}
