//! A ticket keeps a connection open until it expires, unless another one is presented.

use std::time::{Duration, SystemTime};

use crate::common::tickets::*;
use crate::common::*;
use mosaik_streams::{
    Frames, Network,
    streams::{producer::DisconnectLagging, status::ChannelInfo},
    tickets::{EdDsaSigningKey, Jwt, JwtTicketBuilder, Ticket},
};

/// The maximum time to disconnect a peer after its ticket has expired. The guarantee is one second.
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// A ticket that is valid for two to three seconds, and its exact expiry.
fn short_ticket_for(peer: &Network) -> (Ticket, SystemTime) {
    let ends = SystemTime::now() + Duration::from_secs(3);
    let since = ends
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("it is after 1970");
    let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs());
    (issuer().build(&peer.local().id(), ends.into()), ends)
}

/// Waits for the end of a channel, and asserts that it came directly after `ends`.
async fn assert_cut(what: &'static str, channel: &ChannelInfo, ends: SystemTime) {
    within(what, channel.disconnected()).await;
    let after = SystemTime::now()
        .duration_since(ends)
        .expect("it is not cut off before the ticket's end");
    assert!(after < CUT_WITHIN, "{what}: it took {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_several_tickets_to_expire_counts() {
    let key = EdDsaSigningKey::random();
    let a = first().await;
    let producer = producer(&a)
        .require_ticket(Jwt::with_key(key.verifying_key()))
        .require_ticket(validator())
        .build()
        .unwrap();
    let b = joined(&a).await;
    let (_, ends) = short_ticket_for(&b);
    let second = JwtTicketBuilder::new(key).build(&b.local().id(), ends.into());
    b.discovery().add_ticket(ticket_for(&b));
    b.discovery().add_ticket(second);
    let consumer = b.streams().consumer_frames(STREAM).build().unwrap();
    within("both tickets", producer.when().online()).await;
    let channel = producer.consumers()[0].clone();
    assert_cut("the second ticket", &channel, ends).await;
    until("it is gone", || {
        producer.consumers().is_empty() && consumer.producers().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_consumer_is_cut_off_when_its_ticket_expires() {
    let a = first().await;
    let producer = producer(&a).require_ticket(validator()).build().unwrap();
    let b = joined(&a).await;
    let (ticket, ends) = short_ticket_for(&b);
    b.discovery().add_ticket(ticket);
    let consumer = b.streams().consumer_frames(STREAM).build().unwrap();
    within("a consumer", producer.when().online()).await;
    let (ours, theirs) = (
        producer.consumers()[0].clone(),
        within("connected", async {
            consumer.when().subscribed().await;
            consumer.producers()[0].clone()
        })
        .await,
    );
    tokio::join!(
        assert_cut("seen by the producer", &ours, ends),
        assert_cut("seen by the consumer", &theirs, ends)
    );
    until("it is gone", || {
        producer.consumers().is_empty() && consumer.producers().is_empty()
    })
    .await;
    assert!(!producer.is_online());
}

/// Records large enough to fill the windows of a connection soon.
fn large() -> Frames {
    Frames::single(&vec![7; 100_000])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_does_not_read_is_cut_off_too() {
    let a = first().await;
    let producer = producer(&a)
        .require_ticket(validator())
        .disconnect_lagging(DisconnectLagging::Wait)
        .with_buffer_size(4)
        .build()
        .unwrap();
    let b = joined(&a).await;
    let (ticket, ends) = short_ticket_for(&b);
    b.discovery().add_ticket(ticket);
    let stalled = b
        .streams()
        .consumer_frames(STREAM)
        .with_buffer_size(1)
        .build()
        .unwrap();
    within("a consumer", producer.when().online()).await;
    let channel = producer.consumers()[0].clone();
    let sending = tokio::spawn({
        let producer = producer.clone();
        async move { while producer.send_frames(large()).await.is_ok() {} }
    });
    until("it is held up", || {
        producer.queued().0 >= 4 && producer.stats().sent_datums > 0
    })
    .await;
    assert_cut("a blocked write", &channel, ends).await;
    until("it is gone", || producer.consumers().is_empty()).await;
    sending.abort();
    // The task's handle would keep the producer open.
    let _ = sending.await;
    assert_eq!(producer.stats().dropped.lagging, 0);
    assert!(stalled.queued().0 <= 1);
    // Records that it has not taken are retained in case it reconnects with another ticket, and are lost when the
    // producer ends.
    let report = producer.close_within(Duration::ZERO).await;
    assert!(report.stats.dropped.lost > 0, "{:?}", report.stats);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_is_left_when_its_ticket_expires() {
    let b = first().await;
    let mut idle = b
        .streams()
        .consumer_frames(STREAM)
        .require_ticket(validator())
        .build()
        .unwrap();
    let mut full = b
        .streams()
        .consumer_frames(STREAM)
        .require_ticket(validator())
        .with_buffer_size(1)
        .build()
        .unwrap();
    let a = joined(&b).await;
    let (ticket, ends) = short_ticket_for(&a);
    a.discovery().add_ticket(ticket);
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .build()
        .unwrap();
    within("two consumers", producer.when().subscribed().minimum_of(2)).await;
    producer.send_frames(numbered(0..100)).await.unwrap();
    assert_all(
        &within("records", some_numbers(&mut idle, 100)).await,
        0..100,
    );
    let channels = [idle.producers()[0].clone(), full.producers()[0].clone()];
    until("the other has received and not queued", || {
        channels[1].stats().datums() == 100 && full.queued().0 == 1
    })
    .await;
    tokio::join!(
        assert_cut("an idle one", &channels[0], ends),
        assert_cut("one whose queue is full", &channels[1], ends)
    );
    until("they are gone", || {
        producer.consumers().is_empty()
            && idle.producers().is_empty()
            && full.producers().is_empty()
    })
    .await;
    // Queued records are returned, and the others are counted.
    assert_eq!(
        within("the one that was queued", some_numbers(&mut full, 1)).await,
        [0]
    );
    assert_eq!(full.stats().dropped.closed, 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_renewed_in_time_loses_nothing() {
    let a = first().await;
    let producer = producer(&a)
        .require_ticket(validator())
        .disconnect_lagging(DisconnectLagging::Wait)
        .build()
        .unwrap();
    let b = joined(&a).await;
    let mut consumer = b
        .streams()
        .consumer_frames(STREAM)
        .require_ticket(validator())
        .build()
        .unwrap();
    let mut ends = SystemTime::UNIX_EPOCH;
    let mut first_tickets = Vec::new();
    for node in [&a, &b] {
        let (ticket, until) = short_ticket_for(node);
        first_tickets.push(ticket.id());
        node.discovery().add_ticket(ticket);
        ends = ends.max(until);
    }
    within("a consumer", producer.when().online()).await;
    let channel = producer.consumers()[0].clone();
    let renewing = async {
        for (node, old) in [&a, &b].into_iter().zip(first_tickets) {
            node.discovery().add_ticket(ticket_for(node));
            node.discovery().remove_ticket(old);
        }
    };
    let over = ends + CUT_WITHIN;
    let sending = async move {
        let mut next = 0;
        while SystemTime::now() < over {
            producer
                .send_frames(numbered(next..next + 10))
                .await
                .unwrap();
            next += 10;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (next, producer.finish().await)
    };
    let ((sent, report), seen, ()) = within("all records", async {
        tokio::join!(sending, all_numbers(&mut consumer), renewing)
    })
    .await;
    assert!(sent > 100);
    assert_all(&seen, 0..sent);
    assert_eq!(
        channel.stats().datums() as u64,
        sent,
        "all over one connection"
    );
    assert_eq!(report.stats.dropped.total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_ends_the_connection_on_either_side() {
    let a = first().await;
    let producer = producer(&a)
        .require(|peer| peer.tags().contains(&"trusted".into()))
        .require_ticket(validator())
        .build()
        .unwrap();
    let b = joined(&a).await;
    let consumer = b
        .streams()
        .consumer_frames(STREAM)
        .require(|peer| peer.tags().contains(&"trusted".into()))
        .require_ticket(validator())
        .build()
        .unwrap();
    let tickets = [&a, &b].map(ticket_for);
    let connected = async || {
        within("connected", async {
            producer.when().online().await;
            consumer.when().subscribed().await;
            producer.consumers()[0].clone()
        })
        .await
    };
    for (node, ticket) in [&a, &b].into_iter().zip(&tickets) {
        node.discovery().add_tags("trusted");
        node.discovery().add_ticket(ticket.clone());
    }
    for (node, ticket) in [&a, &b].into_iter().zip(&tickets) {
        let channel = connected().await;
        node.discovery().remove_ticket(ticket.id());
        within("the ticket is taken back", channel.disconnected()).await;
        until("it is gone", || {
            producer.consumers().is_empty() && consumer.producers().is_empty()
        })
        .await;
        node.discovery().add_ticket(ticket.clone());

        let channel = connected().await;
        node.discovery().remove_tags("trusted");
        within("the tag is taken off", channel.disconnected()).await;
        node.discovery().add_tags("trusted");
    }
    connected().await;
}
