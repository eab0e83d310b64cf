//! Streams that require tickets: admission, its duration, and refused nodes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use crate::common::tickets::*;
use crate::common::*;
use mosaik_streams::{
    Network, PeerId, SecretKey,
    discovery::PeerEntry,
    tickets::{
        EdDsaSigningKey, Expiration, Hs256, InvalidTicket, Jwt, JwtTicketBuilder, Ticket,
        TicketClass, TicketValidator,
    },
};

/// Counts the validations per peer.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<BTreeMap<PeerId, usize>>>);

impl Asked {
    fn ask(&self) -> impl Fn(&PeerEntry) -> bool + Send + Sync + 'static {
        let asked = self.clone();
        move |peer| {
            *asked.lock().entry(*peer.id()).or_default() += 1;
            true
        }
    }

    fn times(&self, peer: &Network) -> usize {
        let id = peer.local().id();
        self.lock().get(&id).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerId, usize>> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

/// Gives nodes invalid tickets: none, an expired one, one with another key, one of another issuer, and one of another
/// peer.
fn give_bad_tickets(nodes: &[Network; 5], other: &Network) {
    let [_, over, forged, foreign, stolen] = nodes;
    let past = Expiration::from(SystemTime::now() - Duration::from_secs(1));
    over.discovery()
        .add_ticket(issuer().build(&over.local().id(), past));
    let other_key = JwtTicketBuilder::new(Hs256::new([2; 32])).issuer("tests");
    forged
        .discovery()
        .add_ticket(other_key.build(&forged.local().id(), Expiration::after(HOUR)));
    let other_issuer = issuer().issuer("others");
    foreign
        .discovery()
        .add_ticket(other_issuer.build(&foreign.local().id(), Expiration::after(HOUR)));
    stolen.discovery().add_ticket(ticket_for(other));
}

async fn five_joined(to: &Network) -> [Network; 5] {
    [
        joined(to).await,
        joined(to).await,
        joined(to).await,
        joined(to).await,
        joined(to).await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_lets_in_only_who_shows_a_good_ticket() {
    let a = first().await;
    let asked = Asked::default();
    let producer = producer(&a)
        .require(asked.ask())
        .require_ticket(validator())
        .build()
        .unwrap();
    let good = joined(&a).await;
    good.discovery().add_ticket(ticket_for(&good));
    let bad = five_joined(&a).await;
    give_bad_tickets(&bad, &good);

    let mut consumer = good.streams().consumer_frames(STREAM).build().unwrap();
    let refused = bad
        .each_ref()
        .map(|node| node.streams().consumer_frames(STREAM).build().unwrap());
    within("the one with a ticket", producer.when().online()).await;
    for (node, consumer) in bad.iter().zip(&refused) {
        until("it is refused, also after a sync", || {
            asked.times(node) >= 2 && consumer.producers().is_empty()
        })
        .await;
    }
    producer.send_frames(numbered(0..10)).await.unwrap();
    assert_all(
        &within("records", some_numbers(&mut consumer, 10)).await,
        0..10,
    );
    let ids: Vec<_> = producer
        .consumers()
        .iter()
        .map(|channel| *channel.consumer_id())
        .collect();
    assert_eq!(ids, [good.local().id()]);
    assert_eq!(producer.stats().sent_datums, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_listens_only_to_who_shows_a_good_ticket() {
    let b = first().await;
    let asked = Asked::default();
    let mut consumer = b
        .streams()
        .consumer_frames(STREAM)
        .require(asked.ask())
        .require_ticket(validator())
        .build()
        .unwrap();
    let good = joined(&b).await;
    good.discovery().add_ticket(ticket_for(&good));
    let bad = five_joined(&b).await;
    give_bad_tickets(&bad, &good);
    let ignored = bad.each_ref().map(|node| producer(node).build().unwrap());
    let producer = producer(&good).build().unwrap();
    within("a consumer", producer.when().online()).await;
    for node in &bad {
        until("it is looked at", || asked.times(node) >= 1).await;
    }
    producer.send_frames(numbered(0..10)).await.unwrap();
    assert_all(
        &within("records", some_numbers(&mut consumer, 10)).await,
        0..10,
    );
    let ids: Vec<_> = consumer
        .producers()
        .iter()
        .map(|channel| *channel.producer_id())
        .collect();
    assert_eq!(ids, [good.local().id()]);
    assert!(
        ignored
            .iter()
            .all(|producer| producer.consumers().is_empty())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tickets_are_asked_for() {
    let key = EdDsaSigningKey::random();
    let a = first().await;
    let asked = Asked::default();
    let producer = producer(&a)
        .require(asked.ask())
        .require_ticket(validator())
        .require_ticket(Jwt::with_key(key.verifying_key()))
        .build()
        .unwrap();
    let b = joined(&a).await;
    b.discovery().add_ticket(ticket_for(&b));
    let consumer = b.streams().consumer_frames(STREAM).build().unwrap();
    until("one ticket is not enough", || {
        asked.times(&b) >= 2 && consumer.producers().is_empty()
    })
    .await;
    assert!(producer.consumers().is_empty());
    let second = JwtTicketBuilder::new(key).build(&b.local().id(), Expiration::after(HOUR));
    b.discovery().add_ticket(second);
    within("both tickets", producer.when().online()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_consumer_reconnects_with_a_ticket() {
    let a = first().await;
    let (of_consumers, of_producers) = (Asked::default(), Asked::default());
    let producer = producer(&a)
        .require(of_consumers.ask())
        .require_ticket(validator())
        .build()
        .unwrap();
    let b = joined(&a).await;
    let mut consumer = b
        .streams()
        .consumer_frames(STREAM)
        .require(of_producers.ask())
        .require_ticket(validator())
        .build()
        .unwrap();
    until("the producer is ignored", || of_producers.times(&a) >= 1).await;
    assert_eq!(of_consumers.times(&b), 0);
    a.discovery().add_ticket(ticket_for(&a));
    until("the consumer is refused", || {
        of_consumers.times(&b) >= 2 && consumer.producers().is_empty()
    })
    .await;
    b.discovery().add_ticket(ticket_for(&b));
    within("a consumer", producer.when().online()).await;
    producer.send_frames(numbered(0..10)).await.unwrap();
    assert_all(
        &within("records", some_numbers(&mut consumer, 10)).await,
        0..10,
    );
}

/// Panics on tickets that say so, and accepts all others.
struct Faulty;

impl TicketValidator for Faulty {
    fn class(&self) -> TicketClass {
        "faulty".into()
    }

    fn signature(&self) -> TicketClass {
        self.class()
    }

    fn validate(&self, ticket: &[u8], _: &PeerEntry) -> Result<Expiration, InvalidTicket> {
        assert_ne!(ticket, b"panic", "as the ticket says");
        Ok(Expiration::Never)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_panics_refuses_that_peer_alone() {
    let a = first().await;
    let (of_consumers, of_producers) = (Asked::default(), Asked::default());
    let producers = producer(&a)
        .require(of_consumers.ask())
        .require_ticket(Faulty)
        .build()
        .unwrap();
    let mut consumer = a
        .streams()
        .consumer_frames("back")
        .require(of_producers.ask())
        .require_ticket(Faulty)
        .build()
        .unwrap();
    let (bad, good) = (joined(&a).await, joined(&a).await);
    let ticket = |data: &'static [u8]| Ticket::new("faulty", data);
    bad.discovery().add_ticket(ticket(b"panic"));
    let refused = bad.streams().consumer_frames(STREAM).build().unwrap();
    let ignored = bad.streams().producer_frames("back").build().unwrap();
    until("it is refused and ignored", || {
        of_consumers.times(&bad) >= 2
            && of_producers.times(&bad) >= 1
            && refused.producers().is_empty()
    })
    .await;

    good.discovery().add_ticket(ticket(b"fine"));
    let mut taken = good.streams().consumer_frames(STREAM).build().unwrap();
    let heard = good.streams().producer_frames("back").build().unwrap();
    within("both ways", async {
        producers.send_frames(numbered(0..5)).await.unwrap();
        heard.send_frames(numbered(0..5)).await.unwrap();
        assert_all(&some_numbers(&mut taken, 5).await, 0..5);
        assert_all(&some_numbers(&mut consumer, 5).await, 0..5);
    })
    .await;
    assert!(ignored.consumers().is_empty());

    // The refused peer is admitted once its ticket has changed.
    bad.discovery().remove_tickets_of("faulty");
    bad.discovery().add_ticket(ticket(b"fine"));
    within("let in", producers.when().subscribed().minimum_of(2)).await;
}

/// The typed builders, and that consumers on the same node need no ticket.
#[tokio::test(flavor = "multi_thread")]
async fn typed_streams_ask_for_tickets_and_their_own_node_needs_none() {
    let key = SecretKey::generate();
    let a = first().await;
    let producer = a
        .streams()
        .producer::<u64>()
        .require_ticket(validator())
        .build()
        .unwrap();
    let mut own = a
        .streams()
        .consumer::<u64>()
        .with_local(true)
        .require_ticket(validator())
        .build();
    let b = joined_as(&a, key.clone()).await;
    b.discovery()
        .add_ticket(issuer().build(&key.public(), Expiration::after(HOUR)));
    let mut consumer = b.streams().consume::<u64>();
    within("both", producer.when().subscribed().minimum_of(2)).await;
    producer.try_send(7).unwrap();
    assert_eq!(within("a record", consumer.recv()).await, Some(7));
    assert_eq!(within("a record", own.recv()).await, Some(7));
}
