//! Datums between Mosaik's producers and our consumers, and the other way round.

use std::time::Duration;

use futures::{SinkExt, StreamExt, future::join_all};
use mosaik_streams::{Consumer, Criteria, Network, Producer};
use serde_json::json;

use crate::common::{Peer, STREAM, addr_of, consume, ours, reading::Reading, until, within};

fn produce(network: &Network) -> Producer<Reading> {
    let builder = network.streams().producer().with_stream_id(STREAM);
    builder
        .disconnect_lagging(Duration::from_secs(30))
        .build()
        .expect("the stream has no other producer")
}

async fn send(producer: &mut Producer<Reading>, range: std::ops::Range<u64>) {
    within("all is sent", async {
        for seq in range {
            producer
                .feed(Reading::nth(seq, 0))
                .await
                .expect("the producer lives");
        }
        producer.flush().await.expect("the producer lives");
    })
    .await;
}

async fn assert_received(consumer: &mut Consumer<Reading>, range: std::ops::Range<u64>) {
    within("all is received", async {
        for seq in range {
            assert_eq!(consumer.next().await, Some(Reading::nth(seq, 0)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_mosaik_producer_feeds_our_consumer() {
    let mut peer = Peer::start("their-producer").await;
    peer.ask(json!({"produce": {"stream": STREAM}})).await;
    let network = ours("their-producer", &peer).await;
    let mut consumer = consume(&network);
    peer.ask(json!({"send": {"stream": STREAM, "from": 0, "count": 2_000}}))
        .await;
    assert_received(&mut consumer, 0..2_000).await;
    let producers: Vec<_> = consumer
        .producers()
        .map(|info| *info.producer_id())
        .collect();
    assert_eq!(producers, [peer.id()]);
}

#[tokio::test]
async fn our_producer_feeds_a_mosaik_consumer() {
    let mut peer = Peer::start("our-producer").await;
    peer.ask(json!({"consume": {"stream": STREAM}})).await;
    let network = ours("our-producer", &peer).await;
    let mut producer = produce(&network);
    send(&mut producer, 0..20_000).await;
    let received = peer
        .ask(json!({"received": {"stream": STREAM, "at_least": 20_000}}))
        .await;
    assert_eq!(
        received,
        json!({"count": 20_000, "in_order": true, "ended": false})
    );
}

#[tokio::test]
async fn large_datums_cross_both_ways() {
    const LEN: usize = 3 * 1024 * 1024;
    let mut peer = Peer::start("large").await;
    peer.ask(json!({"produce": {"stream": "theirs"}})).await;
    peer.ask(json!({"consume": {"stream": "ours"}})).await;
    let network = ours("large", &peer).await;
    let mut consumer: Consumer<Reading> = network
        .streams()
        .consumer()
        .with_stream_id("theirs")
        .build();
    let builder = network
        .streams()
        .producer::<Reading>()
        .with_stream_id("ours");
    let mut producer = builder.build().expect("the stream has no other producer");
    for seq in 0..3 {
        within("it is sent", producer.send(Reading::nth(seq, LEN)))
            .await
            .expect("it lives");
        peer.ask(json!({"received": {"stream": "ours", "at_least": seq + 1}}))
            .await;
    }
    let received = peer
        .ask(json!({"received": {"stream": "ours", "at_least": 3}}))
        .await;
    assert_eq!(received["in_order"], true);
    peer.ask(json!({"send": {"stream": "theirs", "from": 5, "count": 2, "padding": LEN}}))
        .await;
    for seq in 5..7 {
        let reading = within("it arrives", consumer.next()).await;
        assert!(reading == Some(Reading::nth(seq, LEN)), "datum {seq}");
    }
}

/// Three producers and three consumers of each kind, on one stream: everyone gets everything, each producer's in order.
#[tokio::test]
async fn three_of_each_kind_at_once() {
    const EACH: u64 = 500;
    let network = "three-of-each";
    let mut peers = join_all((0..3).map(|_| Peer::start(network))).await;
    let nodes = join_all(peers.iter().map(|peer| ours(network, peer))).await;
    for peer in &mut peers {
        // Mosaik nodes find each other through ours.
        for node in &nodes {
            peer.ask(json!({"sync": {"peer": addr_of(node)}})).await;
        }
    }
    let mut consumers: Vec<_> = nodes.iter().map(consume).collect();
    let mut producers: Vec<_> = nodes
        .iter()
        .map(|node| {
            let builder = node.streams().producer::<Reading>().with_stream_id(STREAM);
            builder.build().expect("one a node")
        })
        .collect();
    for peer in &mut peers {
        peer.ask(json!({"produce": {"stream": STREAM}})).await;
        peer.ask(json!({"consume": {"stream": "other"}})).await;
    }
    // A node never takes its own producer: five others each.
    for consumer in &consumers {
        until("five producers are connected", || {
            consumer
                .producers()
                .filter(mosaik_streams::status::ChannelInfo::is_connected)
                .count()
                == 5
        })
        .await;
    }
    for (n, producer) in (0u64..).zip(&mut producers) {
        send(producer, n * 100_000..n * 100_000 + EACH).await;
    }
    for (n, peer) in (3u64..).zip(&mut peers) {
        peer.ask(json!({"send": {"stream": STREAM, "from": n * 100_000, "count": EACH}}))
            .await;
    }
    for (own, consumer) in consumers.iter_mut().enumerate() {
        let mut next: Vec<u64> = (0..6).map(|n| n * 100_000).collect();
        within("all arrive", async {
            for _ in 0..5 * EACH {
                let reading = consumer.next().await.expect("the stream goes on");
                let from = usize::try_from(reading.seq / 100_000).expect("few");
                assert_eq!(reading, Reading::nth(next[from], 0));
                next[from] += 1;
            }
        })
        .await;
        let complete = next
            .iter()
            .enumerate()
            .all(|(n, &next)| next % 100_000 == if n == own { 0 } else { EACH });
        assert!(complete, "consumer {own}: {next:?}");
    }
}

/// A Mosaik producer knows nothing of criteria: our consumer then applies them itself.
#[tokio::test]
async fn criteria_hold_against_a_mosaik_producer() {
    let mut peer = Peer::start("criteria").await;
    peer.ask(json!({"produce": {"stream": STREAM}})).await;
    let network = ours("criteria", &peer).await;
    let wanted = Criteria::field("symbol").eq("S3");
    let mut consumer: Consumer<Reading> = network
        .streams()
        .consumer()
        .with_stream_id(STREAM)
        .with_criteria(wanted)
        .build();
    // The last one is wanted: when it is there, all are counted.
    peer.ask(json!({"send": {"stream": STREAM, "from": 0, "count": 697}}))
        .await;
    within("the wanted arrive", async {
        for seq in (3..697).step_by(7) {
            assert_eq!(consumer.next().await, Some(Reading::nth(seq, 0)));
        }
    })
    .await;
    assert_eq!(consumer.stats().filtered, 597);
}

/// A Mosaik consumer receives all records of a stream that ends, although it must reconnect to learn of the end.
#[tokio::test]
async fn a_finished_stream_reaches_a_mosaik_consumer_whole() {
    let mut peer = Peer::start("finish").await;
    peer.ask(json!({"consume": {"stream": STREAM}})).await;
    let network = ours("finish", &peer).await;
    let mut producer = produce(&network);
    send(&mut producer, 0..5_000).await;
    let report = within("it ends", producer.finish()).await;
    assert_eq!(report.incomplete, 0);
    let received = peer
        .ask(json!({"received": {"stream": STREAM, "at_least": 5_000}}))
        .await;
    assert_eq!(
        received,
        json!({"count": 5_000, "in_order": true, "ended": false})
    );
    peer.ask(json!({"connected": {"stream": STREAM, "count": 0}}))
        .await;
}
