//! Programs written for Mosaik with only the name of the crate changed: discovery.

use std::{collections::BTreeSet, time::Duration};

use crate::common::{until, within};
use crate::programs::discover_all;
use futures::future::try_join_all;
use mosaik_streams::{primitives::Short, *};

type TestResult = Result<(), Box<dyn std::error::Error>>;

#[tokio::test]
async fn nodes_that_know_one_come_to_know_all() -> TestResult {
    const PEERS: usize = 5;
    let network_id = NetworkId::random();
    let n0 = Network::new(network_id).await?;
    assert_eq!(n0.network_id(), &network_id);
    let nodes = try_join_all((0..PEERS).map(|_| {
        let config = discovery::Config::builder().with_bootstrap(n0.local().addr());
        Network::builder(network_id).with_discovery(config).build()
    }))
    .await?;
    for node in &nodes {
        until("all are known", || {
            node.discovery().catalog().peers_count() == PEERS
        })
        .await;
    }
    let catalog = n0.discovery().catalog();
    let ids: BTreeSet<PeerId> = catalog.peers().map(|peer| *peer.id()).collect();
    let expected: BTreeSet<PeerId> = nodes.iter().map(|node| node.local().id()).collect();
    assert_eq!(ids, expected);
    assert_eq!(catalog.iter().count(), PEERS + 1);
    assert_eq!(catalog.iter_signed().count(), PEERS + 1);
    assert_eq!(catalog.signed_peers_count(), PEERS);
    assert_eq!(
        (catalog.local_id(), catalog.network_id()),
        (n0.local().id(), network_id)
    );
    Ok(())
}

#[tokio::test]
async fn a_sync_turns_what_was_told_into_what_is_signed() -> TestResult {
    let network_id = NetworkId::random();
    let config = discovery::Config::builder()
        .with_tags("tag1")
        .with_tags(["tag2"]);
    let n0 = Network::builder(network_id)
        .with_discovery(config)
        .build()
        .await?;
    let n1 = Network::new(network_id).await?;
    n1.discovery().insert(n0.discovery().me());
    assert_eq!(n0.discovery().catalog().peers_count(), 0);
    assert_eq!(n1.discovery().catalog().peers_count(), 1);
    assert_eq!(n1.discovery().catalog().signed_peers().count(), 0);

    // The id is enough: the catalog knows the address.
    let synced: Result<(), discovery::Error> = n1.discovery().sync_with(n0.local().id()).await;
    synced?;
    assert_eq!(n0.discovery().catalog().peers_count(), 1);
    assert_eq!(n1.discovery().catalog().signed_peers().count(), 1);
    assert_eq!(n1.discovery().catalog().unsigned_peers().count(), 0);

    let catalog = n1.discovery().catalog();
    let (known, own) = (
        catalog.get(&n0.local().id()).expect("it is known"),
        n0.discovery().me(),
    );
    assert_eq!(known.update_version(), own.update_version());
    assert!(!known.is_newer_than(&own));
    assert_eq!(PeerId::from(known), n0.local().id());
    assert_eq!(known.started_at(), own.update_version().started_at());
    assert!(known.updated_at() >= known.started_at() && known.uptime() < Duration::from_mins(1));
    n0.discovery().add_tags(["tag3", "tag4"]);
    assert!(n0.discovery().me().is_newer_than(known));
    until("all tags are known", || {
        let catalog = n1.discovery().catalog();
        catalog
            .get(&n0.local().id())
            .is_some_and(|peer| peer.tags().len() == 4)
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn networks_are_apart() -> TestResult {
    let (one, other) = (NetworkId::random(), NetworkId::random());
    let (n0, n1, n2) = tokio::try_join!(Network::new(one), Network::new(one), Network::new(other))?;
    discover_all([&n0, &n1]).await;
    assert!(n0.discovery().sync_with(n2.local().addr()).await.is_err());
    assert!(n2.discovery().sync_with(n1.local().addr()).await.is_err());
    assert!(!n2.discovery().feed(n0.discovery().me()));
    assert_eq!(n0.discovery().catalog().peers_count(), 1);
    assert!(n1.discovery().catalog().get(&n0.local().id()).is_some());
    assert_eq!(n2.discovery().catalog().peers_count(), 0);
    Ok(())
}

#[tokio::test]
async fn peers_that_come_and_go_are_told_of() -> TestResult {
    let network_id = NetworkId::random();
    let (n0, n1) = tokio::try_join!(Network::new(network_id), Network::new(network_id))?;
    let mut events = n0.discovery().events();
    discover_all([&n0, &n1]).await;
    match within("an event", events.recv()).await? {
        discovery::Event::PeerDiscovered(entry) => assert_eq!(*entry.id(), n1.local().id()),
        other => panic!("expected a discovery, not {}", Short(&other)),
    }
    let n1_id = n1.local().id();
    n1.shutdown().await;
    let departed = async {
        while events.recv().await? != discovery::Event::PeerDeparted(n1_id) {}
        Ok::<_, tokio::sync::broadcast::error::RecvError>(())
    };
    within("its departure", departed).await?;
    assert_eq!(n0.discovery().catalog().peers_count(), 0);
    Ok(())
}

#[tokio::test]
async fn what_was_told_can_be_taken_back() -> TestResult {
    let network_id = NetworkId::random();
    let (n0, n1) = tokio::try_join!(Network::new(network_id), Network::new(network_id))?;
    let entry = n1.discovery().me().into_unsigned();
    assert!(n0.discovery().insert(&entry));
    assert!(n0.discovery().remove(&entry));
    assert!(n0.discovery().insert(entry));
    assert!(n0.discovery().clear_unsigned() && !n0.discovery().clear_unsigned());
    assert!(
        !n0.discovery().insert(n0.discovery().me()),
        "its own entry is its own"
    );
    Ok(())
}

#[tokio::test]
async fn an_identity_may_be_given() -> TestResult {
    let key = SecretKey::from(Digest::from("not a secret"));
    let node = Network::builder("named")
        .with_secret_key(key.clone())
        .with_addresses(BTreeSet::from(["127.0.0.1:0".parse()?]))
        .with_streams(streams::Config::builder().build()?)
        .build()
        .await?;
    assert_eq!(node.local().id(), key.public());
    assert_eq!(node.network_id(), unique_id!("named"));
    // The displayed id can be given to others.
    let shown = node.local().id().to_string();
    assert_eq!(shown.parse::<PeerId>()?, key.public());
    assert!(node.local().to_string().contains(&shown));
    node.online().await;
    Ok(())
}
