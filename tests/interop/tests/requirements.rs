//! What either side requires of the other: tags, and tickets.

use std::time::{Duration, Instant, SystemTime};

use mosaik_streams::{
    Consumer, Network, Producer, Tag,
    consumer::Phase,
    network::CloseReason,
    tickets::{Expiration, Hs256, Jwt, JwtTicketBuilder},
};
use serde_json::{Value, json};

use crate::common::{
    Peer, STREAM, consume, hex, ours, reading::Reading, until, until_connected, within,
};

const KEY: [u8; 32] = [0x5a; 32];

/// The rule, as a Mosaik node is configured with it.
fn rule() -> Value {
    json!({"issuer": "desk", "hs256": "5a".repeat(32)})
}

/// The same rule, for a node of ours.
fn validator() -> Jwt {
    Jwt::with_key(Hs256::new(KEY)).allow_issuer("desk")
}

fn carry_ticket(network: &Network, valid_for: Duration) {
    let expiration = Expiration::At((SystemTime::now() + valid_for).into());
    let issue = JwtTicketBuilder::new(Hs256::new(KEY)).issuer("desk");
    network
        .discovery()
        .add_ticket(issue.build(&network.local().id(), expiration));
}

async fn until_refused(consumer: &Consumer<Reading>) {
    until("it is refused", || {
        consumer.attempts().iter().any(|attempt| {
            attempt.phase == Phase::Resting && attempt.last_close == Some(CloseReason::NotAllowed)
        })
    })
    .await;
}

fn connected(producer: &Producer<Reading>) -> usize {
    producer
        .consumers()
        .filter(mosaik_streams::status::ChannelInfo::is_connected)
        .count()
}

/// Waits until a Mosaik consumer that was refused is let in. It tries again only when its catalog changes, and not while an
/// earlier attempt is still being refused.
async fn admitted(network: &Network, producer: &Producer<Reading>) {
    within("it is admitted", async {
        for nudge in 0.. {
            network
                .discovery()
                .add_tags(format!("nudge-{nudge}").as_str());
            let online = tokio::time::timeout(Duration::from_millis(300), producer.when().online());
            if online.await.is_ok() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn our_producer_asks_mosaik_consumers_for_tags() {
    let mut peer = Peer::start("tags-ours").await;
    peer.ask(json!({"consume": {"stream": STREAM}})).await;
    let network = ours("tags-ours", &peer).await;
    let builder = network
        .streams()
        .producer::<Reading>()
        .with_stream_id(STREAM);
    let trusted = Tag::from("trusted");
    let producer = builder
        .require(move |peer| peer.tags().contains(&trusted))
        .build();
    let producer = producer.expect("it is the first");
    peer.ask(json!({"logged": {"text": "not allowed"}})).await;
    peer.ask(json!({"tags": {"add": ["trusted"]}})).await;
    admitted(&network, &producer).await;
}

#[tokio::test]
async fn our_consumer_asks_mosaik_producers_for_tags() {
    let mut peer = Peer::start("tags-theirs").await;
    peer.ask(json!({"produce": {"stream": STREAM}})).await;
    let network = ours("tags-theirs", &peer).await;
    let primary = Tag::from("primary");
    let consumer: Consumer<Reading> = network
        .streams()
        .consumer()
        .with_stream_id(STREAM)
        .require(move |peer| peer.tags().contains(&primary))
        .build();
    until("it is known", || {
        network.discovery().catalog().get(&peer.id()).is_some()
    })
    .await;
    assert_eq!(consumer.attempts(), []);
    peer.ask(json!({"tags": {"add": ["primary"]}})).await;
    until_connected(&consumer).await;
}

/// A Mosaik consumer that wants something of producers: a node of ours is nothing to it until it complies.
async fn asks_ours(name: &str, wanted: Value, comply: impl FnOnce(&Network)) {
    let mut peer = Peer::start(name).await;
    let mut consume = wanted;
    consume["stream"] = json!(STREAM);
    peer.ask(json!({ "consume": consume })).await;
    let network = ours(name, &peer).await;
    let builder = network
        .streams()
        .producer::<Reading>()
        .with_stream_id(STREAM);
    let producer = builder.build().expect("it is the first");
    peer.ask(json!({"peer": {"id": hex(&network), "known": true}}))
        .await;
    assert_eq!(connected(&producer), 0);
    comply(&network);
    within("it is connected", producer.when().online()).await;
}

#[tokio::test]
async fn a_mosaik_consumer_asks_ours_for_tags() {
    let wanted = json!({"require_tags": ["primary"]});
    asks_ours("tags-consumer", wanted, |network| {
        network.discovery().add_tags("primary");
    })
    .await;
}

#[tokio::test]
async fn a_mosaik_producer_asks_ours_for_a_ticket() {
    let mut peer = Peer::start("ticket-theirs").await;
    peer.ask(json!({"produce": {"stream": STREAM, "require_jwt": rule()}}))
        .await;
    let network = ours("ticket-theirs", &peer).await;
    let mut consumer = consume(&network);
    until_refused(&consumer).await;
    carry_ticket(&network, Duration::from_mins(10));
    until_connected(&consumer).await;
    peer.ask(json!({"send": {"stream": STREAM, "from": 0, "count": 1}}))
        .await;
    let reading = within("it arrives", consumer.recv()).await;
    assert_eq!(reading, Some(Reading::nth(0, 0)));
}

/// Mosaik cuts at the expiry of the ticket that it saw at the beginning, whatever has been renewed since; our consumer
/// comes back at once with the new one.
#[tokio::test]
async fn a_mosaik_producer_cuts_an_expired_ticket_and_takes_the_renewed_one() {
    let mut peer = Peer::start("ticket-expiry").await;
    peer.ask(json!({"produce": {"stream": STREAM, "require_jwt": rule()}}))
        .await;
    let network = ours("ticket-expiry", &peer).await;
    carry_ticket(&network, Duration::from_secs(4));
    let mut consumer = consume(&network);
    until_connected(&consumer).await;
    carry_ticket(&network, Duration::from_mins(10));
    until("the first has expired", || {
        consumer
            .attempts()
            .iter()
            .any(|attempt| attempt.last_close == Some(CloseReason::NotAllowed))
    })
    .await;
    until_connected(&consumer).await;
    peer.ask(json!({"send": {"stream": STREAM, "from": 0, "count": 1}}))
        .await;
    assert!(within("it arrives", consumer.recv()).await.is_some());
}

#[tokio::test]
async fn our_producer_asks_a_mosaik_consumer_for_a_ticket_and_cuts_it_at_expiry() {
    let mut peer = Peer::start("ticket-ours").await;
    peer.ask(json!({"consume": {"stream": STREAM}})).await;
    let network = ours("ticket-ours", &peer).await;
    let builder = network
        .streams()
        .producer::<Reading>()
        .with_stream_id(STREAM);
    let producer = builder
        .require_ticket(validator())
        .build()
        .expect("it is the first");
    peer.ask(json!({"logged": {"text": "not allowed"}})).await;
    // Somebody else's ticket is none.
    let stranger = format!("{:?}", mosaik_streams::SecretKey::generate().public());
    let others = json!({"jwt": rule(), "expires_in_ms": 60_000, "subject": stranger});
    peer.ask(json!({"ticket": others})).await;
    let held = 8_000;
    peer.ask(json!({"ticket": {"jwt": rule(), "expires_in_ms": held}}))
        .await;
    let since = Instant::now();
    admitted(&network, &producer).await;
    until("it is cut", || connected(&producer) == 0).await;
    // A token's times are whole seconds.
    let cut_after = since.elapsed();
    assert!(
        cut_after < Duration::from_millis(held + 1_000),
        "{cut_after:?}"
    );
}

#[tokio::test]
async fn our_consumer_asks_a_mosaik_producer_for_a_ticket() {
    let mut peer = Peer::start("ticket-of-producer").await;
    peer.ask(json!({"produce": {"stream": STREAM}})).await;
    let network = ours("ticket-of-producer", &peer).await;
    let consumer: Consumer<Reading> = network
        .streams()
        .consumer()
        .with_stream_id(STREAM)
        .require_ticket(validator())
        .build();
    until("it is known", || {
        network.discovery().catalog().get(&peer.id()).is_some()
    })
    .await;
    assert_eq!(consumer.attempts(), []);
    peer.ask(json!({"ticket": {"jwt": rule(), "expires_in_ms": 4_000}}))
        .await;
    until_connected(&consumer).await;
    until("it is let go at expiry", || {
        consumer.producers().next().is_none()
    })
    .await;
}

#[tokio::test]
async fn a_mosaik_consumer_asks_ours_for_a_ticket() {
    let wanted = json!({"require_jwt": rule()});
    asks_ours("ticket-of-ours", wanted, |network| {
        carry_ticket(network, Duration::from_mins(10));
    })
    .await;
}
