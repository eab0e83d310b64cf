//! Streams defined by `stream!`: the accepted forms, and the side that each key applies to.

use std::time::Duration;

use crate::common::*;
use mosaik_streams::{
    Criteria, Datum, Network, Scope, StreamConsumer, StreamId, StreamProducer, Tag, declare,
    futures::SinkExt,
    network::CloseReason,
    stream,
    streams::backoff::ExponentialBackoffBuilder,
    streams::producer::DisconnectLagging,
    tag,
    tickets::{Expiration, Hs256, Jwt, JwtTicketBuilder},
    unique_id,
};

const TRUSTED: Tag = tag!("trusted");

// By type, text, hex digits, constant, path, and expression.
declare::stream!(pub(crate) ByType = u64);
stream!(ByText = u64, "oracle.price");
stream!(
    ByHex = u64,
    "0707070707070707070707070707070707070707070707070707070707070707"
);
const ID: StreamId = unique_id!("by.constant");
stream!(ByConstant = u64, ID,);
stream!(ByPath = u64, ids::BY_PATH, scope: Scope::Node);
mod ids {
    pub(super) const BY_PATH: mosaik_streams::StreamId = mosaik_streams::StreamId::from_u8(1);
}
stream!(ByExpression = u64, ID.derive("more"));
stream!(
    /// As many streams as there are types.
    #[derive(Debug, Default, Clone)]
    pub Typed<T: Datum> = T
);
stream!(
    /// Never compiled, and so without its traits too.
    #[cfg(any())]
    pub(crate) Absent = u64
);

/// A definition in the caller's macro: names and types come from its arguments.
macro_rules! feed {
    ($name:ident: $datum:ty, $id:expr, $room:literal) => {
        stream!(pub(crate) producer $name = $datum, $id, buffer_size: $room);
    };
}
feed!(ThroughMacro: (u8, String), "through.macro", 7);

stream!(
    Everything = Reading, "everything",
    max_consumers: 3,
    buffer_size: 16,
    buffer_bytes: 4096,
    max_datum_len: 1024,
    disconnect_lagging: Duration::from_secs(5),
    linger: Duration::from_millis(2),
    batch_size: 5,
    criteria: Criteria::field("celsius").gte(30),
    backoff: ExponentialBackoffBuilder::new()
        .with_max_elapsed_time(None)
        .build(),
    consumer buffer_size: 8,
    consumer buffer_bytes: 2048,
    consumer max_datum_len: 512,
    producer online_when: |c| c.minimum_of(2),
    consumer online_when: |c| c.minimum_of(1),
    require: |_| true,
    require: |peer| !peer.tags().contains(&TRUSTED),
    scope: Scope::Node,
    local: true,
);

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Reading {
    celsius: i64,
}

#[tokio::test]
async fn ids_are_derived_hashed_decoded_or_given() {
    let network = unbound().await;
    assert_eq!(
        ByType::producer(&network).stream_id(),
        u64::derived_stream_id()
    );
    assert_eq!(
        ByText::producer(&network).stream_id(),
        StreamId::from("oracle.price")
    );
    assert_eq!(
        ByText::consumer(&network).stream_id(),
        unique_id!("oracle.price")
    );
    assert_eq!(
        ByHex::consumer(&network).stream_id(),
        StreamId::from_bytes([7; 32])
    );
    assert_eq!(ByConstant::consumer(&network).stream_id(), ID);
    assert_eq!(ByPath::consumer(&network).stream_id(), ids::BY_PATH);
    assert_eq!(
        ByExpression::consumer(&network).stream_id(),
        ID.derive("more")
    );
    assert_eq!(
        Typed::<u8>::producer(&network).stream_id(),
        u8::derived_stream_id()
    );
    assert!(format!("{:?}", Typed::<u8>::default().clone()).starts_with("Typed"));
    let through_macro = ThroughMacro::producer(&network);
    assert_eq!(through_macro.stream_id(), unique_id!("through.macro"));
    assert_eq!(through_macro.config().buffer_size, 7);
}

#[tokio::test]
async fn every_key_reaches_its_side() {
    let network = unbound().await;
    let producer = Everything::producer(&network);
    let config = producer.config();
    assert_eq!((config.max_consumers, config.max_datum_len), (3, 1024));
    assert_eq!((config.buffer_size, config.buffer_bytes), (16, 4096));
    assert_eq!(
        config.disconnect_lagging,
        DisconnectLagging::After(Duration::from_secs(5))
    );
    assert_eq!(config.linger, Duration::from_millis(2));
    assert_eq!(config.scope, Scope::Node);

    let mut warm = Everything::consumer(&network);
    let config = warm.config();
    assert_eq!((config.buffer_size, config.buffer_bytes), (8, 2048));
    assert_eq!((config.max_datum_len, config.local), (512, true));
    assert_eq!(config.batch_size, 5);
    assert_eq!(config.criteria, Criteria::field("celsius").gte(30));
    assert_eq!(
        config.backoff,
        ExponentialBackoffBuilder::new()
            .with_max_elapsed_time(None)
            .build()
    );
    assert_eq!(config.scope, Scope::Node);

    // Two make the producer online, one the consumer.
    within("a producer", warm.when().online()).await;
    assert!(!producer.is_online());
    let second = within("a second one", Everything::online_consumer(&network)).await;
    within("both", producer.when().online()).await;
    producer.try_send(Reading { celsius: 21 }).unwrap();
    producer.try_send(Reading { celsius: 31 }).unwrap();
    assert_eq!(
        within("a warm one", warm.recv()).await,
        Some(Reading { celsius: 31 })
    );
    drop(second);
    within("one left", producer.when().offline()).await;
}

#[tokio::test]
async fn the_second_producer_of_a_definition_is_the_first() {
    let network = unbound().await;
    let first = network
        .streams()
        .producer::<u64>()
        .with_stream_id("oracle.price")
        .with_buffer_size(9)
        .build()
        .unwrap();
    let second = ByText::producer(&network);
    assert_eq!(second.config().buffer_size, 9);
    drop(first);
    let third = ByText::producer(&network);
    assert_eq!(third.config().buffer_size, 9);
}

#[tokio::test]
async fn nothing_is_awaited_when_it_is_online_already() {
    stream!(producer Unasked = u64, "unasked", online_when: |c| c.minimum_of(0));
    let network = unbound().await;
    let online = Unasked::online_producer(&network);
    // The future borrows nothing.
    let producer = within("online", tokio::spawn(online)).await.unwrap();
    assert!(producer.is_online());
    let consumer = within("online", ByType::online_consumer(&network)).await;
    assert!(consumer.is_online());
}

/// One producer and two consumers, each on its own node, that know each other.
async fn three_nodes() -> (Network, Network, Network) {
    let a = first().await;
    let (b, c) = (joined(&a).await, joined(&a).await);
    (a, b, c)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_consumers_must_satisfy_is_checked_by_the_producer() {
    stream!(
        Guarded = u64, "guarded",
        consumer require: |peer| peer.tags().contains(&TRUSTED),
    );
    let (a, b, c) = three_nodes().await;
    // It need not be trusted itself.
    let mut producer = Guarded::producer(&a);
    let stranger = Guarded::consumer(&c);
    let mut friend = Guarded::consumer(&b);
    b.discovery().add_tags(TRUSTED);
    within("the trusted one", producer.when().online()).await;
    within("a record", producer.send(7)).await.unwrap();
    assert_eq!(within("a record", friend.recv()).await, Some(7));
    until("the other one is refused", || {
        let attempts = stranger.attempts();
        attempts.first().and_then(|attempt| attempt.last_close) == Some(CloseReason::NotAllowed)
    })
    .await;
    let inside: Vec<_> = producer.consumers().map(|c| *c.consumer_id()).collect();
    assert_eq!(inside, [b.local().id()]);
    c.discovery().add_tags(TRUSTED);
    within("the other one", stranger.when().subscribed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_producers_must_satisfy_is_checked_by_consumers() {
    stream!(
        Sourced = u64, "sourced",
        producer require: |peer| peer.tags().contains(&TRUSTED),
    );
    let (a, b, c) = three_nodes().await;
    let stranger = Sourced::producer(&a);
    let mut friend = Sourced::producer(&b);
    // It need not be trusted itself.
    let mut consumer = Sourced::consumer(&c);
    b.discovery().add_tags(TRUSTED);
    within("the trusted one", friend.send(7)).await.unwrap();
    assert_eq!(within("a record", consumer.recv()).await, Some(7));
    let sources: Vec<_> = consumer.producers().map(|c| *c.producer_id()).collect();
    assert_eq!(sources, [b.local().id()]);
    assert!(!stranger.is_online());
    a.discovery().add_tags(TRUSTED);
    within("the other one", stranger.when().online()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_side_is_checked_by_both() {
    stream!(Mutual = u64, "mutual", require: |peer| peer.tags().contains(&TRUSTED));
    let (a, b, c) = three_nodes().await;
    let producer = Mutual::producer(&a);
    let (one, other) = (Mutual::consumer(&b), Mutual::consumer(&c));
    // The consumer is trusted, the producer is not yet.
    b.discovery().add_tags(TRUSTED);
    until("the producer knows", || {
        let catalog = a.discovery().catalog();
        catalog
            .get(&b.local().id())
            .is_some_and(|peer| peer.tags().contains(&TRUSTED))
    })
    .await;
    assert!(one.producers().next().is_none() && !producer.is_online());
    a.discovery().add_tags(TRUSTED);
    within("both are", one.when().subscribed()).await;
    assert!(!other.when().subscribed().is_condition_met());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ticket_that_is_asked_for_must_be_shown() {
    const KEY: Hs256 = Hs256::new([7; 32]);
    stream!(
        Ticketed = u64, "ticketed",
        consumer require_ticket: Jwt::with_key(KEY).allow_issuer("one"),
        consumer require_ticket: Jwt::with_key(KEY).allow_issuer("other"),
    );
    let a = first().await;
    let b = joined(&a).await;
    let ticket = |issuer: &str| {
        JwtTicketBuilder::new(KEY)
            .issuer(issuer)
            .build(&b.local().id(), Expiration::after(Duration::from_hours(1)))
    };
    // The producer needs no ticket.
    let mut producer = Ticketed::producer(&a);
    b.discovery().add_ticket(ticket("one"));
    let mut consumer = Ticketed::consumer(&b);
    until("it is refused", || {
        let attempts = consumer.attempts();
        attempts.first().and_then(|attempt| attempt.last_close) == Some(CloseReason::NotAllowed)
    })
    .await;
    b.discovery().add_ticket(ticket("other"));
    within("a record", producer.send(7)).await.unwrap();
    assert_eq!(within("a record", consumer.recv()).await, Some(7));
}
