//! Every code with which a Mosaik node closes a connection to ours, or is closed by ours, and what either side does next.

use std::time::Duration;

use mosaik_streams::{
    Consumer, Network, PeerId, Producer,
    consumer::Phase,
    discovery::{PeerEntry, SyncError},
    network::CloseReason,
};
use serde_json::json;

use crate::common::{
    Peer, STREAM, addr_of, consume, ours, reading::Reading, until, until_connected, within,
};

fn produce(network: &Network) -> Producer<Reading> {
    let builder = network.streams().producer().with_stream_id(STREAM);
    builder.build().expect("the stream has no other producer")
}

async fn until_closed_with(consumer: &Consumer<Reading>, peer: PeerId, reason: CloseReason) {
    until("the reason is told", || {
        consumer
            .attempts()
            .iter()
            .any(|attempt| attempt.producer == peer && attempt.last_close == Some(reason))
    })
    .await;
}

/// Leaves the peer knowing our node, which does not know the peer.
async fn meet_and_forget(network: &Network, peer: &mut Peer) {
    peer.ask(json!({"sync": {"peer": addr_of(network)}})).await;
    within("it forgets the peer", async {
        // What is on its way when the peer is forgotten brings it back.
        while network.discovery().catalog().get(&peer.id()).is_some() {
            network.discovery().remove(peer.id());
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
}

/// The entry that the user of our node adds for a peer: it produces the stream.
fn said_to_produce(network: &Network, peer: &Peer) {
    let entry = PeerEntry::new(*network.network_id(), peer.addr()).add_stream(STREAM);
    assert!(network.discovery().insert(entry));
}

#[tokio::test]
async fn theirs_401_is_answered_by_a_sync() {
    let mut peer = Peer::start("theirs-401").await;
    peer.ask(json!({"produce": {"stream": STREAM}})).await;
    let network = Network::new("theirs-401")
        .await
        .expect("it works on loopback");
    said_to_produce(&network, &peer);
    let consumer = consume(&network);
    until_closed_with(&consumer, peer.id(), CloseReason::UnknownPeer).await;
    until_connected(&consumer).await;
    peer.ask(json!({"connected": {"stream": STREAM, "count": 1}}))
        .await;
}

#[tokio::test]
async fn ours_401_is_answered_by_a_sync() {
    let mut peer = Peer::start("ours-401").await;
    let network = Network::new("ours-401")
        .await
        .expect("it works on loopback");
    let producer = produce(&network);
    meet_and_forget(&network, &mut peer).await;
    peer.ask(json!({"consume": {"stream": STREAM}})).await;
    peer.ask(json!({"logged": {"text": "producer is not recognizing this consumer"}}))
        .await;
    within("it is admitted", producer.when().online()).await;
}

#[tokio::test]
async fn theirs_10404_waits_for_news() {
    let mut peer = Peer::start("theirs-10404").await;
    let network = Network::new("theirs-10404")
        .await
        .expect("it works on loopback");
    meet_and_forget(&network, &mut peer).await;
    said_to_produce(&network, &peer);
    let consumer = consume(&network);
    until_closed_with(&consumer, peer.id(), CloseReason::StreamNotFound).await;
}

#[tokio::test]
async fn theirs_10403_holds_until_this_node_changes() {
    let mut peer = Peer::start("theirs-10403").await;
    peer.ask(json!({"produce": {"stream": STREAM, "require_tags": ["trusted"]}}))
        .await;
    let network = ours("theirs-10403", &peer).await;
    let consumer = consume(&network);
    until("it is refused", || {
        consumer.attempts().iter().any(|attempt| {
            attempt.phase == Phase::Resting && attempt.last_close == Some(CloseReason::NotAllowed)
        })
    })
    .await;
    network.discovery().add_tags("trusted");
    until_connected(&consumer).await;
}

#[tokio::test]
async fn theirs_10509_is_tried_again() {
    let mut peer = Peer::start("theirs-10509").await;
    peer.ask(json!({"produce": {"stream": STREAM, "max_consumers": 1}}))
        .await;
    let network = ours("theirs-10509", &peer).await;
    let first = consume(&network);
    until_connected(&first).await;
    let second = consume(&network);
    until_closed_with(&second, peer.id(), CloseReason::NoCapacity).await;
    drop(first);
    until_connected(&second).await;
}

/// A Mosaik producer detects that it must disconnect us only when its write continues.
#[tokio::test]
async fn theirs_10413_comes_once_we_read_again() {
    const LEN: usize = 200_000;
    let mut peer = Peer::start("theirs-10413").await;
    peer.ask(json!({"produce": {"stream": STREAM, "buffer_size": 4}}))
        .await;
    let network = ours("theirs-10413", &peer).await;
    let mut consumer: Consumer<Reading> = network
        .streams()
        .consumer()
        .with_stream_id(STREAM)
        .with_buffer_size(1)
        .build();
    until_connected(&consumer).await;
    // More than the windows of QUIC and both buffers hold.
    peer.ask(json!({"send": {"stream": STREAM, "from": 0, "count": 200, "padding": LEN}}))
        .await;
    let reading = within("it arrives", consumer.recv()).await;
    assert!(reading == Some(Reading::nth(0, LEN)));
    until("it is cut", || {
        while consumer.try_recv().is_ok() {}
        is_cut(&consumer)
    })
    .await;
}

fn is_cut(consumer: &Consumer<Reading>) -> bool {
    let last = consumer
        .attempts()
        .first()
        .and_then(|attempt| attempt.last_close);
    last == Some(CloseReason::TooSlow)
}

#[tokio::test]
async fn ours_10403_and_10509_are_understood() {
    let mut peer = Peer::start("ours-refusals").await;
    let network = ours("ours-refusals", &peer).await;
    let builder = network
        .streams()
        .producer::<Reading>()
        .with_stream_id("guarded");
    let trusted = mosaik_streams::tag!("trusted");
    let _guarded = builder
        .require(move |peer| peer.tags().contains(&trusted))
        .build();
    peer.ask(json!({"consume": {"stream": "guarded"}})).await;
    peer.ask(json!({"logged": {"text": "not allowed"}})).await;
    peer.ask(json!({"connected": {"stream": "guarded", "count": 0}}))
        .await;

    let builder = network
        .streams()
        .producer::<Reading>()
        .with_stream_id("full");
    let _full = builder.with_max_consumers(0).build();
    peer.ask(json!({"consume": {"stream": "full"}})).await;
    peer.ask(json!({"logged": {"text": "NoCapacity"}})).await;
}

#[tokio::test]
async fn ours_10404_is_understood() {
    let mut peer = Peer::start("ours-10404").await;
    let network = Network::new("ours-10404")
        .await
        .expect("it works on loopback");
    // The test introduces each node to the other, so that neither syncs.
    said_to_produce(&network, &peer);
    let claimed = PeerEntry::new(*network.network_id(), network.local().addr()).add_stream(STREAM);
    let claimed = postcard::to_stdvec(&claimed).expect("it can be encoded");
    peer.ask(json!({"told": {"entry": claimed}})).await;
    peer.ask(json!({"consume": {"stream": STREAM}})).await;
    peer.ask(json!({"logged": {"text": "producer does not have the requested stream"}}))
        .await;
}

#[tokio::test]
async fn a_stopped_mosaik_consumer_is_cut_with_10413_and_comes_back() {
    const LEN: usize = 100_000;
    let mut peer = Peer::start("ours-10413").await;
    peer.ask(json!({"consume": {"stream": STREAM}})).await;
    let network = ours("ours-10413", &peer).await;
    let builder = network
        .streams()
        .producer::<Reading>()
        .with_stream_id(STREAM);
    let producer = builder
        .with_buffer_size(16)
        .build()
        .expect("it is the first");
    within("it is connected", producer.when().online()).await;
    peer.signal("STOP");
    let mut seq = 0;
    until("it is cut", || {
        if producer.try_send(Reading::nth(seq, LEN)).is_ok() {
            seq += 1;
        }
        producer.consumers().count() == 0
    })
    .await;
    assert!(producer.stats().dropped.lagging > 0);
    peer.signal("CONT");
    peer.ask(json!({"logged": {"text": "connection lost"}}))
        .await;
    within("it is back", producer.when().online()).await;
}

#[tokio::test]
async fn another_network_is_refused_with_101_by_either_side() {
    let mut peer = Peer::start("their-network").await;
    let network = Network::new("our-network")
        .await
        .expect("it works on loopback");
    let error = within("it is refused", network.discovery().sync_with(peer.addr())).await;
    assert!(
        matches!(error, Err(SyncError::DifferentNetwork)),
        "{error:?}"
    );
    let error = peer
        .try_ask(json!({"sync": {"peer": addr_of(&network)}}))
        .await;
    assert!(error.is_err(), "{error:?}");
    assert_eq!(network.discovery().catalog().peers_count(), 0);
    assert_eq!(peer.ask(json!({"catalog": {}})).await, json!([]));
}

#[tokio::test]
async fn leaving_is_told_with_102_or_204() {
    let mut peer = Peer::start("theirs-leaves").await;
    peer.ask(json!({"produce": {"stream": STREAM}})).await;
    let network = ours("theirs-leaves", &peer).await;
    let consumer = consume(&network);
    until_connected(&consumer).await;
    peer.ask(json!({"leave": {}})).await;
    until("the reason is told", || {
        let reason = consumer
            .attempts()
            .first()
            .and_then(|attempt| attempt.last_close);
        matches!(
            reason,
            None | Some(CloseReason::Cancelled | CloseReason::GracefulShutdown)
        ) && consumer.producers().all(|channel| !channel.is_connected())
    })
    .await;
}

#[tokio::test]
async fn our_leaving_ends_their_subscription() {
    let mut peer = Peer::start("ours-leaves").await;
    peer.ask(json!({"consume": {"stream": STREAM}})).await;
    let network = ours("ours-leaves", &peer).await;
    let producer = produce(&network);
    within("it is connected", producer.when().online()).await;
    within("it ends", network.shutdown()).await;
    peer.ask(json!({"logged": {"text": "stream subscription terminated"}}))
        .await;
    peer.ask(json!({"connected": {"stream": STREAM, "count": 0}}))
        .await;
}

#[tokio::test]
async fn a_datum_over_the_limit_is_answered_with_400() {
    let mut peer = Peer::start("ours-400").await;
    peer.ask(json!({"produce": {"stream": STREAM}})).await;
    let network = ours("ours-400", &peer).await;
    let mut consumer = network
        .streams()
        .consumer_frames(STREAM)
        .with_max_datum_len(1000)
        .build()
        .expect("it has no criteria");
    peer.ask(json!({"send": {"stream": STREAM, "from": 0, "count": 1}}))
        .await;
    let frames = within("it arrives", consumer.recv_frames(1)).await;
    assert_eq!(frames.map(|frames| frames.count()), Some(1));
    peer.ask(json!({"send": {"stream": STREAM, "from": 1, "count": 1, "padding": 2000}}))
        .await;
    until("it is refused", || consumer.stats().dropped.too_large == 1).await;
    peer.ask(json!({"connected": {"stream": STREAM, "count": 0}}))
        .await;
    let attempts = consumer.attempts();
    assert_eq!(attempts[0].last_close, Some(CloseReason::ProtocolViolation));
}
