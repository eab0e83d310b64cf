//! Nodes discover, follow and lose each other over loopback.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use mosaik_streams::{
    EndpointAddr, Network, SecretKey, StreamId,
    discovery::{self, Catalog, Config, Event, PeerEntry, SyncError},
    futures, id,
    network::Error,
    tag, unique_id,
};
use tokio::time::timeout;

use crate::common::process::Process;

const LIMIT: Duration = Duration::from_secs(100);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.expect("it ends within 100 s")
}

/// Waits until the catalog of `node` meets the condition.
async fn sees(node: &Network, what: impl Fn(&Catalog) -> bool) {
    let mut catalog = node.discovery().catalog_watch();
    let seen = within(catalog.wait_for(|catalog| what(catalog))).await;
    assert!(seen.is_ok(), "the node is there");
}

async fn knows(node: &Network, other: &Network) {
    let id = other.local().id();
    sees(node, |catalog| catalog.get(&id).is_some()).await;
}

async fn node_with(config: discovery::ConfigBuilder) -> Network {
    let built = Network::builder("net").with_discovery(config).build().await;
    built.expect("loopback can be listened on")
}

async fn node_knowing(peer: &Network) -> Network {
    node_with(Config::builder().with_bootstrap(peer.local().addr())).await
}

#[tokio::test]
async fn two_nodes_sync() {
    let (first, second) = (
        Network::new("net").await.unwrap(),
        Network::new("net").await.unwrap(),
    );
    within(second.discovery().sync_with(first.local().addr()))
        .await
        .unwrap();
    assert_eq!(
        second.discovery().catalog().get(&first.local().id()),
        Some(&*first.discovery().me())
    );
    assert_eq!(
        first.discovery().catalog().get(&second.local().id()),
        Some(&*second.discovery().me())
    );
    let pinged = within(second.discovery().ping(first.local().id()))
        .await
        .unwrap();
    assert_eq!(pinged, first.discovery().me());
    assert_eq!(
        second.discovery().catalog().get(&first.local().id()),
        Some(&*pinged)
    );
}

#[tokio::test]
async fn three_nodes_find_each_other_through_one() {
    let hub = Network::new("net").await.unwrap();
    let (a, b) = (node_knowing(&hub).await, node_knowing(&hub).await);
    for (node, other) in [
        (&a, &b),
        (&b, &a),
        (&a, &hub),
        (&b, &hub),
        (&hub, &a),
        (&hub, &b),
    ] {
        knows(node, other).await;
    }
    // `a` knows `b` only through the hub, and still receives changes from `b` itself.
    b.discovery().add_tags(["x", "y"]);
    let id = b.local().id();
    sees(&a, |catalog| {
        catalog
            .get(&id)
            .is_some_and(|entry| entry.tags().contains(&tag!("x")))
    })
    .await;
}

#[tokio::test]
async fn changes_of_an_entry_are_told_at_once() {
    let hub = Network::new("net").await.unwrap();
    let node = node_with(
        Config::builder()
            .with_bootstrap(hub.local().addr())
            .with_tags("desk"),
    )
    .await;
    let id = node.local().id();
    let mut events = hub.discovery().events();
    sees(&hub, |catalog| {
        catalog
            .get(&id)
            .is_some_and(|entry| entry.tags().contains(&tag!("desk")))
    })
    .await;
    for round in 0..20u32 {
        node.discovery().add_tags(round.to_string());
    }
    node.discovery().remove_tags("desk");
    let has_all =
        |entry: &PeerEntry| entry.tags().len() == 20 && !entry.tags().contains(&tag!("desk"));
    sees(&hub, |catalog| catalog.get(&id).is_some_and(has_all)).await;
    assert!(
        matches!(within(events.recv()).await.unwrap(), Event::PeerDiscovered(entry) if *entry.id() == id)
    );
    let mut updates = 0;
    while let Ok(event) = events.try_recv() {
        assert!(
            matches!(&event, Event::PeerUpdated(entry) if *entry.id() == id),
            "{event:?}"
        );
        updates += 1;
    }
    assert!(
        (1..20).contains(&updates),
        "{updates} updates for 21 changes"
    );
}

#[tokio::test]
async fn a_bootstrap_peer_that_starts_later_is_found() {
    let key = SecretKey::generate();
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = port.local_addr().unwrap();
    let peer = EndpointAddr::new(key.public(), [addr]);
    let node = node_with(Config::builder().with_bootstrap(&peer)).await;
    drop(port);
    let late = Network::builder("net")
        .with_secret_key(key.clone())
        .with_addresses([addr])
        .build()
        .await
        .unwrap();
    knows(&node, &late).await;
    knows(&late, &node).await;

    // It shuts down, and restarts at the same address.
    let first_life = late.discovery().me().update_version();
    within(late.shutdown()).await;
    sees(&node, |catalog| catalog.get(&peer.id).is_none()).await;
    let again = Network::builder("net")
        .with_secret_key(key)
        .with_addresses([addr])
        .build()
        .await
        .unwrap();
    knows(&again, &node).await;
    sees(&node, |catalog| {
        catalog
            .get(&peer.id)
            .is_some_and(|entry| entry.update_version() > first_life)
    })
    .await;
}

#[tokio::test]
async fn who_shuts_down_is_gone_at_once_and_who_falls_silent_is_forgotten() {
    let config = || {
        Config::builder()
            .with_announce_interval(Duration::from_millis(400))
            .with_purge_after(Duration::from_millis(1500))
    };
    let hub = node_with(config()).await;
    let graceful = node_with(config().with_bootstrap(hub.local().addr())).await;
    let mut process = Process::start();
    let silent = node_with(config().with_bootstrap(hub.local().addr()));
    let silent = process.spawn(silent).await.unwrap();
    knows(&hub, &graceful).await;
    knows(&hub, &silent).await;
    knows(&graceful, &silent).await;
    let mut events = hub.discovery().events();
    let (graceful_id, silent_id) = (graceful.local().id(), silent.local().id());
    let departure = |id| move |event: &Event| *event == Event::PeerDeparted(id);
    within(graceful.shutdown()).await;
    let gone = departure(graceful_id);
    while !gone(&within(events.recv()).await.unwrap()) {}
    assert!(
        hub.discovery().catalog().get(&silent_id).is_some(),
        "renewed all the while"
    );
    process.kill();
    let gone = departure(silent_id);
    while !gone(&within(events.recv()).await.unwrap()) {}
    assert_eq!(hub.discovery().catalog().peers_count(), 0);
}

#[tokio::test]
async fn a_clone_keeps_a_network_and_the_last_drop_ends_it() {
    let hub = Network::new("net").await.unwrap();
    let addr = hub.local().addr();
    let node = node_knowing(&hub).await;
    let clone = node.clone();
    drop(node);
    knows(&hub, &clone).await;
    let (discovery, local) = (clone.discovery().clone(), clone.local().clone());
    drop(clone);
    within(local.online()).await;
    // Long before the purge time.
    sees(&hub, |catalog| catalog.get(&local.id()).is_none()).await;
    let ended = async {
        while !matches!(discovery.sync_with(&addr).await, Err(SyncError::NotBound)) {
            tokio::task::yield_now().await;
        }
    };
    within(ended).await;
}

#[tokio::test]
async fn different_networks_learn_nothing_of_each_other() {
    let (ours, theirs) = (
        Network::new("net").await.unwrap(),
        Network::new("other").await.unwrap(),
    );
    let refused = within(ours.discovery().sync_with(theirs.local().addr()))
        .await
        .unwrap_err();
    assert!(matches!(refused, SyncError::DifferentNetwork), "{refused}");
    for node in [&ours, &theirs] {
        assert_eq!(node.discovery().catalog().peers_count(), 0);
    }
}

#[tokio::test]
async fn another_key_than_the_expected_is_refused() {
    let (node, other) = (
        Network::new("net").await.unwrap(),
        Network::new("net").await.unwrap(),
    );
    let wrong = EndpointAddr::new(SecretKey::generate().public(), other.local().addr().addrs);
    let refused = within(node.discovery().sync_with(wrong)).await.unwrap_err();
    assert!(matches!(refused, SyncError::Connect(_)), "{refused}");
    assert_eq!(other.discovery().catalog().peers_count(), 0);
}

#[tokio::test]
async fn dialling_takes_one_or_many_and_an_id_alone_when_it_is_known() {
    let (a, b, c) = (
        Network::new("net").await.unwrap(),
        Network::new("net").await.unwrap(),
        Network::new("net").await.unwrap(),
    );
    a.discovery()
        .dial([b.local().addr(), c.local().addr()])
        .await;
    knows(&b, &a).await;
    knows(&c, &a).await;
    knows(&a, &b).await;
    within(a.discovery().sync_with(b.local().id()))
        .await
        .unwrap();
    assert!(a.discovery().remove(b.local().id()));
    assert!(!a.discovery().remove(b.local().id()));
}

#[tokio::test]
async fn a_lazy_network_has_no_socket_until_it_is_bound() {
    let hub = Network::new("net").await.unwrap();
    let config = Config::builder().with_bootstrap(hub.local().addr());
    let node = Network::builder("net")
        .with_discovery(config)
        .lazy(true)
        .build()
        .await
        .unwrap();
    assert!(node.local_addrs().is_empty() && node.local().addr().addrs.is_empty());
    let refused = within(node.discovery().sync_with(hub.local().addr()))
        .await
        .unwrap_err();
    assert!(matches!(refused, SyncError::NotBound), "{refused}");
    within(node.bind()).await.unwrap();
    let addrs = node.local_addrs();
    assert_eq!(addrs.len(), 1);
    within(node.bind()).await.unwrap();
    assert_eq!(
        (node.local_addrs(), node.local().addr().addrs),
        (addrs.clone(), addrs)
    );
    within(node.online()).await;
    knows(&hub, &node).await;
    let other_handle = node.clone();
    within(node.shutdown()).await;
    assert!(matches!(other_handle.bind().await, Err(Error::ShutDown)));
}

#[tokio::test]
async fn addresses_are_those_listened_on_or_those_given() {
    let any: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let node = Network::builder("net")
        .with_addresses([any])
        .build()
        .await
        .unwrap();
    let port = node.local_addrs().first().unwrap().port();
    let advertised = node.local().addr().addrs;
    assert!(!advertised.is_empty());
    assert!(
        advertised
            .iter()
            .all(|addr| addr.port() == port && !addr.ip().is_unspecified()),
        "{advertised:?}"
    );
    let given = BTreeSet::from(["192.0.2.1:7".parse().unwrap()]);
    let node = Network::builder("net")
        .with_advertised(given.clone())
        .build()
        .await
        .unwrap();
    assert_eq!(node.local().addr().addrs, given);
    let refused = Network::builder("net")
        .with_addresses(["192.0.2.1:7".parse().unwrap()])
        .build()
        .await;
    assert!(matches!(refused, Err(Error::Bind(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_nodes_meet_is_told_at_once() {
    let first = Network::new("net").await.unwrap();
    // So many concurrent ones that the first exchange of some takes longer than changes are coalesced.
    for round in 0..3 {
        let nodes = futures::future::join_all((0..16).map(|_| node_knowing(&first))).await;
        let started = Instant::now();
        for node in &nodes {
            node.discovery().add_tags("late");
        }
        let ids: Vec<_> = nodes.iter().map(|node| node.local().id()).collect();
        sees(&first, |catalog| {
            let is_told = |entry: &PeerEntry| entry.tags().contains(&tag!("late"));
            ids.iter().all(|id| catalog.get(id).is_some_and(is_told))
        })
        .await;
        let took = started.elapsed();
        assert!(took < Duration::from_secs(25), "round {round}: {took:?}");
    }
}

#[tokio::test]
async fn what_the_user_says_of_peers_is_kept_apart() {
    let node = Network::new("net").await.unwrap();
    let id = SecretKey::generate().public();
    let mut events = node.discovery().events();
    assert!(
        node.discovery()
            .insert(PeerEntry::new("net", id.into()).add_tag("told"))
    );
    assert!(!node.discovery().insert(PeerEntry::new("other", id.into())));
    assert!(
        matches!(within(events.recv()).await.unwrap(), Event::PeerDiscovered(entry) if *entry.id() == id)
    );
    let catalog = node.discovery().catalog();
    assert_eq!(
        (
            catalog.signed_peers().count(),
            catalog.unsigned_peers().count()
        ),
        (0, 1)
    );
    assert!(node.discovery().clear_unsigned());
    assert!(!node.discovery().clear_unsigned());
}

#[tokio::test]
async fn an_entry_may_come_by_another_way() {
    let (node, other) = (
        Network::new("net").await.unwrap(),
        Network::new("net").await.unwrap(),
    );
    assert!(node.discovery().feed(other.discovery().me()));
    assert!(
        !node.discovery().feed(other.discovery().me()),
        "it is not newer"
    );
    knows(&other, &node).await;
}

#[test]
fn ids_are_computed_by_the_compiler() {
    const STREAM: StreamId = unique_id!("oracle.price");
    const HEX: StreamId = id!("000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F");
    assert_eq!(
        (STREAM, tag!("oracle.price")),
        (StreamId::from("oracle.price"), STREAM)
    );
    assert_eq!(HEX.as_bytes()[..], (0..32).collect::<Vec<u8>>());
}
