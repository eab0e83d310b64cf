//! Tests the end of a subscription.

use std::{sync::mpsc, thread, time::Duration};

use tokio::time::sleep;

use super::*;
use crate::{Frames, FramesConsumer, FramesProducer, Network, discovery};

/// Time limit for what is not the subject of a test.
const LIMIT: Duration = Duration::from_mins(2);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limited = timeout(LIMIT, future).await;
    limited.unwrap_or_else(|_| panic!("timed out: {what}"))
}

/// A producer, and a consumer on another node that does not dial.
async fn pair() -> (Network, FramesProducer, Network, FramesConsumer) {
    let first = Network::new("test").await.unwrap();
    let producer = first.streams().producer_frames("numbers").build().unwrap();
    let known = discovery::Config::builder().with_bootstrap(first.local().addr());
    let second = Network::builder("test").with_discovery(known).build().await;
    let second = second.unwrap();
    let streams = second.streams();
    std::mem::forget(streams.hold_subscriptions());
    let consumer = streams.consumer_frames("numbers");
    let consumer = consumer.with_shared_subscription("test").build().unwrap();
    (first, producer, second, consumer)
}

/// The sending half of a connection ends its stream when it is dropped, which a producer takes for having read
/// everything. The state of the feed is locked while the subscription is cancelled, so that everything which is dropped
/// before the connection is closed reaches the producer.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_subscription_does_not_claim_to_have_read_everything() {
    let (first, producer, _second, mut consumer) = pair().await;
    let (id, group) = (first.local().id(), consumer.core.group.clone());
    let mut catalog = group.env.discovery.catalog_watch();
    let offers = |catalog: &Catalog| {
        let entry = catalog.get(&id);
        entry.is_some_and(|entry| entry.streams().contains(&group.id))
    };
    let known = within("the offer", catalog.wait_for(offers))
        .await
        .unwrap()
        .clone();
    let entry = known.get(&id).unwrap();
    let grant = group.authorizer.authorize(entry).unwrap();
    let mut remembered = group.recall(*entry.id());
    let feed = remembered.feed.clone();
    let mut waits = group.backoff().waits();
    let (waits, remembered) = (&mut waits, &mut remembered);
    let mut subscribed = Box::pin(subscribe(&group, entry, grant, waits, remembered, &catalog));
    let one = || Frames::single(b"1");
    let taken = async {
        producer.when().online().await;
        producer.send_frames(one()).await.unwrap();
        consumer.recv_frames(1).await
    };
    tokio::select! {
        _ = &mut subscribed => panic!("the subscription is over"),
        taken = within("a record", taken) => assert!(taken.is_some()),
    }
    // Sent, and never received: the subscription is not polled any more.
    producer.send_frames(one()).await.unwrap();
    let sent = async {
        while producer.stats().sent_datums < 2 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    within("the second record", sent).await;

    group.leaving.cancel();
    let (locked, is_locked) = mpsc::channel();
    let lock = thread::spawn(move || {
        let lock = feed.lock();
        locked.send(()).unwrap();
        thread::sleep(Duration::from_millis(300));
        drop(lock);
    });
    is_locked.recv().unwrap();
    drop(subscribed);
    lock.join().unwrap();

    within("its end", producer.when().offline()).await;
    let report = producer.finish_within(Duration::ZERO).await;
    assert_eq!((report.complete, report.incomplete), (0, 1), "{report:?}");
    assert_eq!(report.stats.dropped.total(), 1, "{report:?}");
}
