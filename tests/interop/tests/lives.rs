//! Mosaik nodes that are killed, restarted and stopped while records flow.

use std::time::Duration;

use mosaik_streams::{
    Consumer, SecretKey, consumer::Phase, streams::backoff::ExponentialBackoffBuilder,
};
use serde_json::json;

use crate::common::{Peer, STREAM, addr_of, hex, ours, reading::Reading, until, within};

/// 64 hex digits, always the same, so that a restarted node keeps its identity.
fn key(seed: &str) -> String {
    format!("{:?}", mosaik_streams::Digest::from(seed))
}

#[tokio::test]
async fn a_killed_mosaik_producer_is_found_again_after_its_restart() {
    let settings = json!({"network": "restart", "secret_key": key("restart")});
    let mut peer = Peer::start_with(settings).await;
    peer.ask(json!({"produce": {"stream": STREAM}})).await;
    let network = ours("restart", &peer).await;
    let backoff = ExponentialBackoffBuilder::new().with_max_interval(Duration::from_millis(300));
    let mut consumer: Consumer<Reading> = network
        .streams()
        .consumer()
        .with_stream_id(STREAM)
        .with_backoff(backoff.with_max_elapsed_time(None).build())
        .build();
    peer.ask(json!({"send": {"stream": STREAM, "from": 0, "count": 100}}))
        .await;
    for seq in 0..100 {
        let reading = within("it arrives", consumer.recv()).await;
        assert_eq!(reading, Some(Reading::nth(seq, 0)));
    }
    let id = peer.id();
    let mut peer = peer.restart().await;
    assert_eq!(peer.id(), id);
    peer.ask(json!({"produce": {"stream": STREAM}})).await;
    // It now listens on another port and knows no peer, so the test must introduce it.
    peer.ask(json!({"sync": {"peer": addr_of(&network)}})).await;
    peer.ask(json!({"send": {"stream": STREAM, "from": 500, "count": 100}}))
        .await;
    for seq in 500..600 {
        let reading = within("it arrives", consumer.recv()).await;
        assert_eq!(reading, Some(Reading::nth(seq, 0)));
    }
}

#[tokio::test]
async fn a_killed_mosaik_consumer_is_let_go_and_served_again() {
    let settings = json!({"network": "restart-consumer", "secret_key": key("consumer")});
    let mut peer = Peer::start_with(settings).await;
    peer.ask(json!({"consume": {"stream": STREAM}})).await;
    let network = ours("restart-consumer", &peer).await;
    let builder = network
        .streams()
        .producer::<Reading>()
        .with_stream_id(STREAM);
    let producer = builder.build().expect("it is the first");
    within("it is connected", producer.when().online()).await;
    let mut peer = peer.restart().await;
    peer.ask(json!({"consume": {"stream": STREAM}})).await;
    peer.ask(json!({"sync": {"peer": addr_of(&network)}})).await;
    peer.ask(json!({"connected": {"stream": STREAM, "count": 1}}))
        .await;
    // The connection to the killed process is gone once the new life of the peer is known.
    until("one life is left", || producer.consumers().count() == 1).await;
    for seq in 0..50 {
        producer
            .try_send(Reading::nth(seq, 0))
            .expect("there is room");
    }
    let received = peer
        .ask(json!({"received": {"stream": STREAM, "at_least": 50}}))
        .await;
    assert_eq!(received["in_order"], true);
}

#[tokio::test]
async fn our_restarted_node_is_found_by_a_mosaik_consumer() {
    let mut peer = Peer::start("our-restart").await;
    peer.ask(json!({"consume": {"stream": STREAM}})).await;
    let secret = SecretKey::generate();
    for life in 0..3u64 {
        let config = mosaik_streams::discovery::Config::builder().with_bootstrap(peer.addr());
        let network = mosaik_streams::Network::builder("our-restart")
            .with_secret_key(secret.clone())
            .with_discovery(config)
            .build()
            .await
            .expect("it works on loopback");
        let builder = network
            .streams()
            .producer::<Reading>()
            .with_stream_id(STREAM);
        let producer = builder.build().expect("it is the first");
        within("it is connected", producer.when().online()).await;
        producer
            .try_send(Reading::nth(life, 0))
            .expect("there is room");
        let received = peer
            .ask(json!({"received": {"stream": STREAM, "at_least": life + 1}}))
            .await;
        assert_eq!(received["count"], life + 1);
        // Without a goodbye, as if killed.
        drop(network);
        // Mosaik looks for producers when its catalog changes: a life that begins before the end of the last one is
        // noticed would wait for the next change.
        peer.ask(json!({"connected": {"stream": STREAM, "count": 0}}))
            .await;
    }
}

/// A Mosaik node that hangs stays in the catalog; its consumer continues where it stopped.
#[tokio::test]
async fn a_mosaik_producer_that_is_stopped_goes_on_where_it_was() {
    let mut peer = Peer::start("stopped").await;
    peer.ask(json!({"produce": {"stream": STREAM}})).await;
    let network = ours("stopped", &peer).await;
    let mut consumer: Consumer<Reading> =
        network.streams().consumer().with_stream_id(STREAM).build();
    peer.ask(json!({"send": {"stream": STREAM, "from": 0, "count": 10}}))
        .await;
    // Before it is stopped, because records that it has received may not be written yet.
    for seq in 0..10 {
        let reading = within("it arrives", consumer.recv()).await;
        assert_eq!(reading, Some(Reading::nth(seq, 0)));
    }
    peer.signal("STOP");
    // It hangs for a moment, shorter than any side waits before it gives a connection up.
    tokio::time::sleep(Duration::from_secs(1)).await;
    peer.signal("CONT");
    peer.ask(json!({"peer": {"id": hex(&network), "known": true}}))
        .await;
    peer.ask(json!({"send": {"stream": STREAM, "from": 10, "count": 10}}))
        .await;
    for seq in 10..20 {
        let reading = within("it arrives", consumer.recv()).await;
        assert_eq!(reading, Some(Reading::nth(seq, 0)));
    }
    assert!(
        consumer
            .attempts()
            .iter()
            .all(|attempt| attempt.phase == Phase::Connected)
    );
}
