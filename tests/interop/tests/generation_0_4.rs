//! A Mosaik 0.4.2 network, joined by a setting.

use mosaik_streams::{
    Consumer, Network,
    discovery::{Config, Generation},
};
use serde_json::json;

use crate::common::{Peer, STREAM, V0_4, addr_of, hex, reading::Reading, until, within};

async fn ours(network: &str, peer: &Peer) -> Network {
    let config = Config::builder()
        .with_generation(Generation::V0_4)
        .with_bootstrap(peer.addr());
    let network = Network::builder(network)
        .with_discovery(config)
        .build()
        .await;
    network.expect("it works on loopback")
}

#[tokio::test]
async fn datums_cross_both_ways_and_entries_are_passed_on() {
    let mut first = Peer::start_as(&V0_4, json!({"network": "newer"})).await;
    let mut second = Peer::start_as(&V0_4, json!({"network": "newer"})).await;
    let network = ours("newer", &first).await;
    second
        .ask(json!({"sync": {"peer": addr_of(&network)}}))
        .await;
    second
        .ask(json!({"peer": {"id": first.hex(), "known": true}}))
        .await;
    first
        .ask(json!({"peer": {"id": hex(&network), "known": true}}))
        .await;
    let entry = network
        .discovery()
        .catalog()
        .get(&first.id())
        .cloned()
        .expect("it is known");
    assert_eq!(entry.protocol_version().to_string(), "0.4.2");

    first.ask(json!({"produce": {"stream": STREAM}})).await;
    let mut consumer: Consumer<Reading> =
        network.streams().consumer().with_stream_id(STREAM).build();
    first
        .ask(json!({"send": {"stream": STREAM, "from": 0, "count": 500}}))
        .await;
    for seq in 0..500 {
        let reading = within("it arrives", consumer.recv()).await;
        assert_eq!(reading, Some(Reading::nth(seq, 0)));
    }

    let builder = network
        .streams()
        .producer::<Reading>()
        .with_stream_id("ours");
    let producer = builder.build().expect("it is the first");
    second.ask(json!({"consume": {"stream": "ours"}})).await;
    within("it is connected", producer.when().online()).await;
    for seq in 0..500 {
        producer
            .try_send(Reading::nth(seq, 0))
            .expect("there is room");
    }
    let received = second
        .ask(json!({"received": {"stream": "ours", "at_least": 500}}))
        .await;
    assert_eq!(received["in_order"], true);
    second.ask(json!({"leave": {}})).await;
    until("it is let go", || producer.consumers().count() == 0).await;
}

/// The two generations do not mix on one network: neither is harmed by the other's entries.
#[tokio::test]
async fn a_node_of_the_other_generation_harms_nobody() {
    let newer = Peer::start_as(&V0_4, json!({"network": "mixed"})).await;
    let mut older = Peer::start("mixed").await;
    let network = crate::common::ours("mixed", &older).await;
    older
        .ask(json!({"peer": {"id": hex(&network), "known": true}}))
        .await;
    // Ours can read the newer one's entry; the newer one cannot read ours.
    let _ = network.discovery().sync_with(newer.addr()).await;
    network.discovery().add_tags("still-here");
    older
        .ask(json!({"peer": {"id": hex(&network), "known": true, "tags": ["still-here"]}}))
        .await;
}
