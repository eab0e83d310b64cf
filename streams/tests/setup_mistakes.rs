//! Configuration mistakes: each is reported by the nodes that can detect it, and does not occur in healthy networks.

use std::time::Duration;

use crate::common::{STREAM, first, joined, numbered, until};
use mosaik_streams::{
    Encoding, EndpointAddr, Network, Schema, SecretKey,
    consumer::Phase,
    discovery::{self, Problem},
    network::CloseReason,
    streams::Format,
};

async fn node(network: &str, key: &SecretKey, bootstrap: &[EndpointAddr]) -> Network {
    let known = discovery::Config::builder()
        .with_bootstrap(bootstrap.to_vec())
        // Peers receive announcements sooner than by default.
        .with_announce_interval(Duration::from_secs(1));
    let builder = Network::builder(network)
        .with_secret_key(key.clone())
        .with_discovery(known);
    builder.build().await.expect("loopback can be listened on")
}

fn key() -> SecretKey {
    SecretKey::generate()
}

async fn finds(network: &Network, problem: Problem) {
    until("the problem is found", || {
        network.discovery().problems() == [problem]
    })
    .await;
}

#[tokio::test]
async fn different_formats_are_refused_on_both_sides_and_no_record_flows() {
    let one = first().await;
    let two = joined(&one).await;
    let point =
        |field: &str| Encoding::Postcard(Schema::Struct(vec![(field.to_owned(), Schema::F64)]));
    let (ours, theirs) = (point("x"), point("y"));
    let builder = one.streams().producer_frames(STREAM);
    let producer = builder
        .with_encoding(ours.clone())
        .build()
        .expect("it is the first");
    let consumer = |encoding: &Encoding| {
        let builder = two.streams().consumer_frames(STREAM);
        builder
            .with_encoding(encoding.clone())
            .build()
            .expect("it has no criteria")
    };
    let other = consumer(&theirs);
    until("the consumer knows why", || {
        other.attempts().first().is_some_and(|attempt| {
            attempt.phase == Phase::Resting
                && attempt.last_close == Some(CloseReason::FormatMismatch)
                && attempt.mismatch == Some(Format::from(&ours))
        })
    })
    .await;
    let reading = || producer.control().read().expect("it runs");
    assert_eq!(
        reading().mismatches,
        [(two.local().id(), Format::from(&theirs))]
    );
    assert!(!reading().online);
    // A consumer without a declaration is admitted, like plain Mosaik, and so is one with the same declaration.
    let silent = two
        .streams()
        .consumer_frames(STREAM)
        .build()
        .expect("it has no criteria");
    let same = consumer(&ours);
    until("both are connected", || reading().consumers.len() == 2).await;
    assert_eq!(reading().mismatches, []);
    producer
        .send_frames(numbered(7..8))
        .await
        .expect("it is online");
    for mut consumer in [silent, same] {
        let received = crate::common::within("a record comes", consumer.recv_frames(1)).await;
        assert_eq!(received.map(|frames| frames.count()), Some(1));
    }
    assert_eq!(other.control().read().expect("it runs").stats.datums, 0);
}

#[tokio::test]
async fn a_bootstrap_address_with_the_wrong_id_is_found() {
    let (found, expected) = (first().await, key().public());
    let [addr] = found.local_addrs().into_iter().collect::<Vec<_>>()[..] else {
        panic!("it listens on one address");
    };
    let wrong = EndpointAddr::new(expected, [addr]);
    let lost = node("net", &key(), &[wrong]).await;
    let found = found.local().id();
    finds(
        &lost,
        Problem::WrongId {
            addr,
            expected,
            found,
        },
    )
    .await;
}

#[tokio::test]
async fn nodes_of_other_networks_find_each_other_out() {
    let here = node("here", &key(), &[]).await;
    let there = node("there", &key(), &[here.local().addr()]).await;
    finds(&there, Problem::OtherNetwork(here.local().id())).await;
    finds(&here, Problem::Foreign(there.local().id())).await;
}

#[tokio::test]
async fn two_running_nodes_of_one_key_are_found_by_their_peer_and_by_themselves() {
    let (hub, shared) = (node("net", &key(), &[]).await, key());
    let addr = hub.local().addr();
    let one = node("net", &shared, std::slice::from_ref(&addr)).await;
    until("the first is known", || {
        hub.discovery().catalog().peers_count() == 1
    })
    .await;
    let two = node("net", &shared, &[addr]).await;
    finds(&hub, Problem::KeyShared(shared.public())).await;
    finds(&one, Problem::OwnKeyShared).await;
    finds(&two, Problem::OwnKeyShared).await;
}

#[tokio::test]
async fn a_node_that_is_told_to_ask_its_own_key_elsewhere_finds_the_other() {
    let shared = key();
    let one = node("net", &shared, &[]).await;
    let two = node("net", &shared, &[one.local().addr()]).await;
    finds(&two, Problem::OwnKeyShared).await;
    finds(&one, Problem::OwnKeyShared).await;
}

#[tokio::test]
async fn a_node_that_restarts_or_is_its_own_bootstrap_node_is_healthy() {
    let (hub, key) = (node("net", &key(), &[]).await, key());
    let hub_addr = hub.local().addr();
    for _ in 0..3 {
        let node = node("net", &key, std::slice::from_ref(&hub_addr)).await;
        let me = node.local().addr();
        node.discovery().dial(me).await;
        let started = node.discovery().me().started_at();
        until("it is known", || {
            let catalog = hub.discovery().catalog();
            catalog
                .get(&node.local().id())
                .is_some_and(|known| known.started_at() == started)
        })
        .await;
        assert_eq!(node.discovery().problems(), []);
        node.shutdown().await;
    }
    let listed = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let addr = listed.local_addr().expect("it is bound");
    drop(listed);
    let me = EndpointAddr::new(key.public(), [addr]);
    let known = discovery::Config::builder().with_bootstrap([me, hub_addr]);
    let builder = Network::builder("net")
        .with_secret_key(key)
        .with_addresses([addr]);
    let node = builder
        .with_discovery(known)
        .build()
        .await
        .expect("the port is still free");
    until("it is known", || {
        hub.discovery().catalog().peers_count() == 1
    })
    .await;
    assert_eq!(
        (node.discovery().problems(), hub.discovery().problems()),
        (vec![], vec![])
    );
}

#[tokio::test]
async fn peers_know_each_others_names_and_changes_of_them() {
    let one = first().await;
    let known = discovery::Config::builder()
        .with_bootstrap(one.local().addr())
        .with_name("desk\u{7}");
    let builder = Network::builder(*one.network_id()).with_discovery(known);
    let two = builder.build().await.expect("loopback can be listened on");
    let name = || one.discovery().name_of(&two.local().id());
    until("the name is known", || {
        name().as_deref() == Some("desk\\u{7}")
    })
    .await;
    assert_eq!(
        one.discovery().describe(&two.local().id()),
        format!("{} (desk\\u{{7}})", two.local().id())
    );
    two.discovery().set_name(Some("till"));
    until("the new name is known", || {
        name().as_deref() == Some("till")
    })
    .await;
    assert_eq!(two.discovery().name_of(&one.local().id()), None);
}
