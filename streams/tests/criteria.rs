//! Criteria are applied by the producer, so that unmatched records never cross the network.

use crate::common::*;
use mosaik_streams::{Criteria, Encoding, streams::producer::DisconnectLagging};
use serde::{Deserialize, Serialize};

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_wanted_crosses_the_network() {
    let a = first().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .online_when(|c| c.minimum_of(3))
        .build()
        .unwrap();
    let b = joined(&a).await;
    let of = |criteria: Criteria| {
        b.streams()
            .consumer_frames(STREAM)
            .with_criteria(criteria)
            .build()
            .unwrap()
    };
    let mut few = of(Criteria::field("n").gte(19_990));
    let mut none = of(Criteria::field("n").prefix("x"));
    let upper = a
        .streams()
        .consumer_frames(STREAM)
        .with_local(true)
        .with_criteria(Criteria::field("n").lt(5));
    let mut local = upper.build().unwrap();
    let writer = async {
        send_numbers(&producer, 0..20_000).await;
        let stats = producer.clone();
        drop(producer);
        // The worker has handed out everything when the local consumer has its share and the queue is empty.
        until("all is handed out", || {
            stats.queued().0 == 0 && stats.stats().filtered >= 59_985
        })
        .await;
        let seen = stats
            .consumers()
            .iter()
            .map(|channel| channel.stats().filtered())
            .sum::<usize>();
        assert_eq!(seen as u64, stats.stats().filtered);
        let sent = stats.stats();
        stats.finish().await;
        sent
    };
    let all = async {
        tokio::join!(
            all_numbers(&mut few),
            all_numbers(&mut none),
            all_numbers(&mut local),
            writer
        )
    };
    let (few_seen, none_seen, local_seen, stats) = within("the end", all).await;
    assert_all(&few_seen, 19_990..20_000);
    assert!(none_seen.is_empty());
    assert_all(&local_seen, 0..5);
    assert_eq!(
        (stats.sent_datums, stats.filtered, stats.delivered_local),
        (10, 59_985, 5)
    );
    // The consumer had nothing left to filter, and misses no matching record.
    assert_eq!((few.stats().filtered, few.stats().dropped.total()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_selects_for_itself_from_who_cannot() {
    let a = first().await;
    let producer = producer(&a).with_encoding(Encoding::Bytes).build().unwrap();
    let b = joined(&a).await;
    let wanted = Criteria::field("n").one_of([3, 5]);
    let mut consumer = b
        .streams()
        .consumer_frames(STREAM)
        .with_criteria(wanted)
        .build()
        .unwrap();
    within("sending", producer.send_frames(numbered(0..10)))
        .await
        .unwrap();
    producer
        .send_frames([b"not json"].iter().collect())
        .await
        .unwrap();
    let (seen, _) = within("the end", async {
        tokio::join!(all_numbers(&mut consumer), producer.finish())
    })
    .await;
    assert_eq!(seen, [3, 5]);
    assert_eq!(
        (
            consumer.stats().filtered,
            consumer.stats().dropped.malformed
        ),
        (8, 1)
    );
}

#[tokio::test]
async fn criteria_that_cannot_be_applied_are_refused_when_built() {
    let network = unbound().await;
    let wanted = Criteria::field("n").eq(1);
    let build = |encoding| {
        network
            .streams()
            .consumer_frames(STREAM)
            .with_criteria(wanted.clone())
            .with_encoding(encoding)
            .build()
    };
    assert!(
        build(Encoding::Text).is_err()
            && build(Encoding::Bytes).is_err()
            && build(Encoding::Json).is_ok()
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Price {
    symbol: String,
    cents: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_records_are_selected_by_their_fields() {
    let a = first().await;
    let producer = a.streams().producer::<Price>().build().unwrap();
    let b = joined(&a).await;
    let wanted = Criteria::field("symbol")
        .eq("ETH")
        .and(Criteria::field("cents").gt(1));
    let mut consumer = b
        .streams()
        .consumer::<Price>()
        .with_criteria(wanted)
        .build();
    within("a consumer", producer.when().online()).await;
    for (symbol, cents) in [("ETH", 1), ("BTC", 2), ("ETH", 3)] {
        producer
            .try_send(Price {
                symbol: symbol.to_owned(),
                cents,
            })
            .unwrap();
    }
    let seen = within("a record", consumer.recv()).await.unwrap();
    assert_eq!(
        seen,
        Price {
            symbol: "ETH".to_owned(),
            cents: 3
        }
    );
    assert_eq!(
        (producer.stats().sent_datums, producer.stats().filtered),
        (1, 2)
    );
}
