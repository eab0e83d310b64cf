//! What Mosaik nodes and ours know of each other, and for how long.

use std::time::Duration;

use futures::future::join_all;
use mosaik_streams::{Network, Tag, discovery::Event};
use serde_json::json;

use crate::common::{Peer, addr_of, hex, ours, until, within};

fn knows(network: &Network, peer: &Peer) -> bool {
    network.discovery().catalog().get(&peer.id()).is_some()
}

#[tokio::test]
async fn a_sync_that_ours_starts_fills_both_catalogs() {
    let mut peer = Peer::start_with(json!({"network": "sync-ours", "tags": ["desk"]})).await;
    let network = Network::new("sync-ours")
        .await
        .expect("it works on loopback");
    network.discovery().add_tags("feed");
    let mut events = network.discovery().events();
    within("they sync", network.discovery().sync_with(peer.addr()))
        .await
        .expect("it works");
    let entry = network
        .discovery()
        .catalog()
        .get(&peer.id())
        .cloned()
        .expect("it is known");
    assert_eq!(
        entry.tags().iter().copied().collect::<Vec<_>>(),
        [Tag::from("desk")]
    );
    assert_eq!(entry.protocol_version().to_string(), "0.3.13");
    assert!(matches!(events.try_recv(), Ok(Event::PeerDiscovered(found)) if found == entry));
    peer.ask(json!({"peer": {"id": hex(&network), "known": true, "tags": ["feed"]}}))
        .await;
}

#[tokio::test]
async fn a_sync_that_theirs_starts_fills_both_catalogs() {
    let mut peer = Peer::start_with(json!({"network": "sync-theirs", "tags": ["desk"]})).await;
    let network = Network::new("sync-theirs")
        .await
        .expect("it works on loopback");
    network.discovery().add_tags("feed");
    peer.ask(json!({"sync": {"peer": addr_of(&network)}})).await;
    peer.ask(json!({"peer": {"id": hex(&network), "known": true, "tags": ["feed"]}}))
        .await;
    until("it is known", || knows(&network, &peer)).await;
}

/// Our node passes on the signed entries of Mosaik nodes that never met.
#[tokio::test]
async fn mosaik_nodes_meet_through_ours() {
    let mut peers = join_all((0..2).map(|_| Peer::start("through-ours"))).await;
    let network = ours("through-ours", &peers[0]).await;
    until("the first is known", || knows(&network, &peers[0])).await;
    let (first, second) = (peers[0].hex(), peers[1].hex());
    peers[1]
        .ask(json!({"sync": {"peer": addr_of(&network)}}))
        .await;
    peers[1]
        .ask(json!({"peer": {"id": first, "known": true}}))
        .await;
    peers[0]
        .ask(json!({"peer": {"id": second, "known": true}}))
        .await;
}

#[tokio::test]
async fn tags_arrive_both_ways_at_once() {
    let mut peer = Peer::start("tags").await;
    let network = ours("tags", &peer).await;
    until("it is known", || knows(&network, &peer)).await;
    peer.ask(json!({"peer": {"id": hex(&network), "known": true}}))
        .await;
    network.discovery().add_tags(["a", "b"]);
    network.discovery().remove_tags("a");
    peer.ask(json!({"peer": {"id": hex(&network), "known": true, "tags": ["b"]}}))
        .await;
}

/// A Mosaik node removes a peer without news for `purge_after`; ours renews its entry in time.
#[tokio::test]
async fn ours_is_kept_past_their_purge_time() {
    const PURGE: Duration = Duration::from_secs(4);
    let mut peer = Peer::start_with(json!({"network": "purge", "purge_after_ms": 4_000})).await;
    let config = mosaik_streams::discovery::Config::builder()
        .with_bootstrap(peer.addr())
        .with_announce_interval(Duration::from_secs(1));
    let kept = Network::builder("purge")
        .with_discovery(config)
        .build()
        .await;
    let kept = kept.expect("it works on loopback");
    peer.ask(json!({"peer": {"id": hex(&kept), "known": true}}))
        .await;
    // One that does not renew its entry goes, which shows that the time is really so short.
    let config = mosaik_streams::discovery::Config::builder()
        .with_bootstrap(peer.addr())
        .with_announce_interval(Duration::from_mins(5))
        .with_purge_after(Duration::from_mins(50));
    let silent = Network::builder("purge")
        .with_discovery(config)
        .build()
        .await;
    let silent = silent.expect("it works on loopback");
    peer.ask(json!({"peer": {"id": hex(&silent), "known": true}}))
        .await;
    let since = std::time::Instant::now();
    peer.ask(json!({"peer": {"id": hex(&silent), "known": false}}))
        .await;
    assert!(since.elapsed() < 3 * PURGE, "{:?}", since.elapsed());
    let catalog = peer.ask(json!({"catalog": {}})).await;
    let ids: Vec<_> = catalog
        .as_array()
        .expect("a list")
        .iter()
        .map(|peer| &peer["id"])
        .collect();
    assert_eq!(ids, [&json!(hex(&kept))]);
}

/// Without a word that it leaves, a node would be known until the purge time, 300 s.
#[tokio::test]
async fn ours_tells_by_gossip_that_it_leaves() {
    let mut peer = Peer::start("we-leave").await;
    for is_dropped in [false, true] {
        let network = ours("we-leave", &peer).await;
        let id = hex(&network);
        peer.ask(json!({"peer": {"id": id, "known": true}})).await;
        peer.ask(json!({"logged": {"text": "New gossip neighbor connected"}}))
            .await;
        if is_dropped {
            drop(network);
        } else {
            within("it leaves", network.shutdown()).await;
        }
        peer.ask(json!({"peer": {"id": id, "known": false}})).await;
    }
}

#[tokio::test]
async fn ours_hears_by_gossip_that_theirs_leaves() {
    let mut peer = Peer::start("they-leave").await;
    let network = ours("they-leave", &peer).await;
    until("it is known", || knows(&network, &peer)).await;
    peer.ask(json!({"logged": {"text": "New gossip neighbor connected"}}))
        .await;
    peer.ask(json!({"leave": {}})).await;
    until("it is forgotten", || !knows(&network, &peer)).await;
}
