//! Peers with handwritten frames, like another implementation: subscriptions, retries, and the answers to protocol
//! violations.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::attack::{Attacker, Line, STREAMS, SYNC, code, entry::now_ms, frame};
use crate::common::*;
use mosaik_streams::{
    Criteria, StreamId, Tag,
    streams::{
        backoff::ExponentialBackoff, backoff::ExponentialBackoffBuilder,
        producer::DisconnectLagging,
    },
};
use tokio::sync::mpsc;

/// A handshake, or the answer to one, without extensions.
fn plain() -> Vec<u8> {
    let ids = ["test", STREAM].map(|text| *StreamId::from(text).as_bytes());
    ids.concat()
}

/// A handshake of this implementation's consumer, with this process and name.
fn ours(process: u8, consumer: u8) -> Vec<u8> {
    let ids = [[process; 16], [consumer; 16]].concat();
    [&plain()[..], b"MSX1\0\0\0\x26\0\x03\0\0\0\x20", &ids].concat()
}

/// Attempts every few milliseconds, for less than 100 ms.
fn short() -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_millis(2))
        .with_max_interval(Duration::from_millis(5))
        .with_max_elapsed_time(Some(Duration::from_millis(60)))
        .build()
}

fn close(line: &Line, code: u32) {
    line.conn.close(code.into(), b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_counts_before_it_hears_so_and_bytes_before_they_arrive() {
    let node = first().await;
    let producer = producer(&node).build().unwrap();
    let peer = Attacker::new();
    peer.join(&node, &peer.entry("test")).await;
    let mut line = peer.say(&node, STREAMS, &frame(&plain())).await;
    let start = within("the answer", line.answer()).await.unwrap();
    // A plain peer receives only what it supports.
    assert_eq!(start, plain());
    assert!(producer.consumers().len() == 1 && producer.is_online());
    producer.send_frames(numbered(0..3)).await.unwrap();
    let mut bytes = 0;
    for _ in 0..3 {
        bytes += within("a record", line.answer()).await.unwrap().len() as u64;
        let sent = producer.stats();
        assert!(
            sent.sent_datums >= 1 && sent.sent_bytes >= bytes,
            "{sent:?} after {bytes} bytes"
        );
    }
    assert_eq!(producer.stats().sent_bytes, bytes, "payload alone");
    // It will never be known whether they were taken.
    assert_eq!(producer.stats().unconfirmed, 3);
    // Closing ends its subscription.
    close(&line, 204);
    until("it is gone", || producer.consumers().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_goodbye_does_not_remove_a_successor() {
    let node = first().await;
    let producer = producer(&node)
        .disconnect_lagging(DisconnectLagging::Wait)
        .build()
        .unwrap();
    let peer = Attacker::new();
    peer.join(&node, &peer.entry("test")).await;
    let subscribe = async |hello: Vec<u8>| {
        let mut line = peer.say(&node, STREAMS, &frame(&hello)).await;
        assert!(within("the answer", line.answer()).await.is_some());
        line
    };
    // The same consumer again, then another one of the same process, then one of the next process, and two of a plain
    // peer.
    let old = subscribe(ours(1, 1)).await;
    let again = subscribe(ours(1, 1)).await;
    assert_eq!(within("it is replaced", code(&old.conn)).await, Some(102));
    let other = subscribe(ours(1, 2)).await;
    assert_eq!(producer.consumers().len(), 2);
    let mut next = subscribe(ours(2, 1)).await;
    for line in [again, other] {
        assert_eq!(within("it is replaced", code(&line.conn)).await, Some(102));
        // Its own close arrives after it was replaced.
        close(&line, 204);
    }
    let (mut one, two) = (subscribe(plain()).await, subscribe(plain()).await);
    assert_eq!(producer.consumers().len(), 3);
    close(&two, 204);
    until("one has left", || producer.consumers().len() == 2).await;
    producer.send_frames(numbered(0..1)).await.unwrap();
    for line in [&mut next, &mut one] {
        assert_eq!(
            within("a record", line.answer()).await.as_deref(),
            Some(&b"{\"n\":0}"[..])
        );
    }
    assert!(next.conn.close_reason().is_none() && one.conn.close_reason().is_none());
}

/// A handshake of this implementation's consumer that confirms, with this process.
fn confirming(process: u8) -> Vec<u8> {
    let ids = [[process; 16], [1; 16]].concat();
    let fields = [
        &b"\0\x03\0\0\0\x20"[..],
        &ids,
        b"\0\x08\0\0\0\x20",
        &[9; 32],
    ];
    let fields = fields.concat();
    let len = u32::try_from(fields.len())
        .expect("it is short")
        .to_be_bytes();
    [&plain()[..], b"MSX1", &len, &fields].concat()
}

/// A consumer that confirms: confirmed records are not sent again, and records that were not sent cannot be confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn confirmations_are_heard_and_lies_are_refused() {
    let node = first().await;
    let producer = producer(&node).build().unwrap();
    let peer = Attacker::new();
    peer.join(&node, &peer.entry("test")).await;
    let hello = |process: u8| frame(&confirming(process));
    let entry = |kind: u16, value: &[u8]| frame(&[&kind.to_be_bytes()[..], value].concat());
    let mut line = peer.say(&node, STREAMS, &hello(1)).await;
    assert!(within("the answer", line.answer()).await.unwrap().len() > 64);
    producer.send_frames(numbered(0..3)).await.unwrap();
    for _ in 0..3 {
        within("a record", line.answer()).await.unwrap();
    }
    let mut side = within("a side channel", line.conn.open_uni())
        .await
        .unwrap();
    // One of an unknown kind, and then all before position 2.
    side.write_all(&entry(77, b"?")).await.unwrap();
    side.write_all(&entry(1, &2_u64.to_be_bytes()))
        .await
        .unwrap();
    assert_eq!(producer.stats().redelivered, 0);
    // The next process uses the same name. The last confirmation may still be in flight.
    let mut process = 2;
    let mut next = within("it is heard", async {
        loop {
            let mut line = peer.say(&node, STREAMS, &hello(process)).await;
            let start = within("the answer", line.answer()).await.unwrap();
            // The position is in the third field of the extension, after the epoch.
            if start[64 + 8 + 22..].starts_with(b"\0\x04\0\0\0\x08\0\0\0\0\0\0\0\x02") {
                break line;
            }
            // It came before the confirmation was read, which then counts no more: this one confirms again.
            for _ in 0..3 {
                within("a record", line.answer()).await.unwrap();
            }
            let mut side = within("a side channel", line.conn.open_uni())
                .await
                .unwrap();
            side.write_all(&entry(1, &2_u64.to_be_bytes()))
                .await
                .unwrap();
            side.finish().unwrap();
            let _ = within("it is acknowledged", side.stopped()).await;
            process += 1;
        }
    })
    .await;
    assert_eq!(within("it is replaced", code(&line.conn)).await, Some(102));
    let record = within("the third again", next.answer()).await.unwrap();
    assert_eq!(record, b"{\"n\":2}");
    assert!(producer.stats().redelivered >= 1);
    let mut side = within("a side channel", next.conn.open_uni())
        .await
        .unwrap();
    side.write_all(&entry(1, &4_u64.to_be_bytes()))
        .await
        .unwrap();
    assert_eq!(within("it is refused", code(&next.conn)).await, Some(400));
    until("it is gone", || producer.stats().dropped.lost == 1).await;
}

/// A consumer that ends its side before the producer has sent everything cannot have read everything. Its unconfirmed
/// records are kept for it, and lost when it does not reconnect.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_end_of_its_side_does_not_count_as_having_read_everything() {
    let node = first().await;
    let builder = producer(&node).with_away_limit(Duration::from_millis(300));
    let producer = builder.build().unwrap();
    let peer = Attacker::new();
    peer.join(&node, &peer.entry("test")).await;
    let mut line = peer.say(&node, STREAMS, &frame(&confirming(1))).await;
    within("the answer", line.answer()).await.unwrap();
    producer.send_frames(numbered(0..3)).await.unwrap();
    for _ in 0..3 {
        within("a record", line.answer()).await.unwrap();
    }
    line.tx.finish().unwrap();
    let _ = within("its end is received", line.tx.stopped()).await;
    // Also read, on a machine that is not too slow.
    tokio::time::sleep(Duration::from_millis(100)).await;
    close(&line, 102);
    until("they are lost", || producer.stats().dropped.lost == 3).await;
}

/// A producer that does not read cannot be told of other criteria, and would go on selecting by the previous ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_does_not_read_changed_criteria_is_connected_to_again() {
    let node = first().await;
    let consumer = node.streams().consumer_frames(STREAM).build().unwrap();
    let peer = Attacker::new();
    let (tell, mut hellos) = mpsc::unbounded_channel();
    peer.serve(move |mut line| {
        let tell = tell.clone();
        async move {
            if line.alpn().as_deref() != Some(STREAMS) {
                return;
            }
            let _ = tell.send(line.answer().await);
            let (epoch, position) = (b"\0\x03\0\0\0\x10", b"\0\x04\0\0\0\x08");
            let fields = [&epoch[..], &[7; 16], &position[..], &[0; 8]].concat();
            let len = u32::try_from(fields.len()).unwrap().to_be_bytes();
            let start = frame(&[&plain()[..], b"MSX1", &len, &fields].concat());
            line.tx.write_all(&start).await.unwrap();
            line.conn.closed().await;
        }
    });
    peer.join(&node, &peer.entry("test").with_stream(STREAM))
        .await;
    within("a handshake", hellos.recv()).await.unwrap();
    let control = consumer.control();
    // More than fits into the flow-control window.
    let changes = async {
        for number in 0.. {
            let long = format!("{number} {}", "x".repeat(50_000));
            control.set_criteria(Criteria::field("a").eq(long)).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = changes => {}
        hello = within("another handshake", hellos.recv()) => {
            let hello = hello.flatten().expect("it is whole");
            assert!(hello.len() > 50_000, "with the current criteria: {}", hello.len());
        }
    }
}

/// Plain Mosaik would not retry after a refusal.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_consumer_that_is_here_before_word_of_its_tag_is_let_in() {
    let node = first().await;
    let trusted = Tag::from("trusted");
    let producer = producer(&node).require(move |peer| peer.tags().contains(&trusted));
    let producer = producer.build().unwrap();
    let peer = Attacker::new();
    let mut entry = peer.entry("test");
    peer.join(&node, &entry).await;
    let line = peer.say(&node, STREAMS, &frame(&plain())).await;
    assert_eq!(within("it is refused", code(&line.conn)).await, Some(10403));
    let mut line = peer.say(&node, STREAMS, &frame(&plain())).await;
    entry.updated_ms += 1;
    entry.tags.push("trusted".into());
    peer.join(&node, &entry).await;
    assert_eq!(within("the answer", line.answer()).await, Some(plain()));
    assert!(producer.is_online());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_alone_resets_the_back_off() {
    let node = first().await;
    let consumer = node.streams().consumer_frames(STREAM).with_backoff(short());
    let consumer = consumer.build().unwrap();
    let peer = Attacker::new();
    let attempts = Arc::new(AtomicU64::new(0));
    let counter = attempts.clone();
    peer.serve(move |mut line| {
        let counter = counter.clone();
        async move {
            if line.answer().await.is_some() {
                counter.fetch_add(1, Ordering::Relaxed);
                // Fails if the consumer has given up.
                let _ = line.tx.write_all(&frame(&plain())).await;
                // The start is read before the end.
                let _ = tokio::time::timeout(Duration::from_millis(20), line.conn.closed()).await;
            }
            close(&line, 102);
        }
    });
    peer.join(&node, &peer.entry("test").with_stream(STREAM))
        .await;
    // The time limit without a success would be reached after about 20 of them.
    until("it tries as often as it takes", || {
        attempts.load(Ordering::Relaxed) > 60
    })
    .await;
    assert_eq!(consumer.stats().datums, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_consumer_tries_again_at_news_of_either_side_and_at_no_others() {
    for refusal in [10403, 10404] {
        let node = first().await;
        let consumer = node.streams().consumer_frames(STREAM).build().unwrap();
        let peer = Attacker::new();
        let (tx, mut dialled) = mpsc::unbounded_channel();
        let own =
            crate::attack::snapshot(&[peer.entry("test").with_stream(STREAM).signed(&peer.key)]);
        peer.serve(move |mut line| {
            let (tx, own) = (tx.clone(), own.clone());
            async move {
                let hello = line.answer().await.unwrap_or_default();
                if line.alpn().as_deref() == Some(STREAMS) {
                    let _ = tx.send(hello);
                    return close(&line, refusal);
                }
                // A sync is answered, so that this is not the reason.
                let _ = line.tx.write_all(&frame(&own)).await;
                line.conn.closed().await;
            }
        });
        peer.join(&node, &peer.entry("test").with_stream(STREAM))
            .await;
        assert!(within("it tries", dialled.recv()).await.is_some());
        if refusal == 10403 {
            // After the entry was renewed, the peer is asked once more.
            assert!(within("it tries", dialled.recv()).await.is_some());
        }
        // Other peers join and depart.
        for _ in 0..3 {
            let other = Attacker::new();
            other
                .join(&node, &other.entry("test").with_stream("another"))
                .await;
        }
        // Its own entry and the peer's are new.
        let later = peer.entry("test").with_stream(STREAM);
        let later = later.dated(now_ms() + 5, now_ms() + 5);
        peer.join(&node, &later).await;
        assert!(within("it tries again", dialled.recv()).await.is_some());
        until("it is refused", || consumer.producers().is_empty()).await;
        let early = std::iter::from_fn(|| dialled.try_recv().ok()).count();
        assert!(
            early <= usize::from(refusal == 10403),
            "{refusal}: {early} attempts too many"
        );
        node.discovery().add_tags("news");
        assert!(within("it tries again", dialled.recv()).await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_is_tried_again() {
    let node = first().await;
    let eager = ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_millis(5))
        .with_max_interval(Duration::from_millis(20))
        .build();
    let consumer = node.streams().consumer_frames(STREAM).with_backoff(eager);
    let mut consumer = consumer.build().unwrap();
    let peer = Attacker::new();
    let syncs = Arc::new(AtomicU64::new(0));
    let counter = syncs.clone();
    let own = crate::attack::snapshot(&[peer.entry("test").with_stream(STREAM).signed(&peer.key)]);
    peer.serve(move |mut line| {
        let (counter, own) = (counter.clone(), own.clone());
        async move {
            let is_sync = line.alpn().as_deref() == Some(SYNC);
            let _ = line.answer().await;
            let reply = if is_sync {
                if counter.fetch_add(1, Ordering::Relaxed) < 3 {
                    return close(&line, 103);
                }
                frame(&own)
            } else if counter.load(Ordering::Relaxed) <= 3 {
                // It does not know the consumer until a sync.
                return close(&line, 401);
            } else {
                [frame(&plain()), frame(b"{\"n\":5}")].concat()
            };
            let _ = line.tx.write_all(&reply).await;
            line.conn.closed().await;
        }
    });
    peer.join(&node, &peer.entry("test").with_stream(STREAM))
        .await;
    let seen = within("a record after all", some_numbers(&mut consumer, 1)).await;
    assert_eq!(seen, [5]);
    assert!(syncs.load(Ordering::Relaxed) > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datum_that_is_too_large_ends_the_subscription_with_400_for_good() {
    let node = first().await;
    let build = node.streams().consumer_frames(STREAM).with_backoff(short());
    let consumer = build.with_max_datum_len(1000).build().unwrap();
    let peer = Attacker::new();
    let (tx, mut closed) = mpsc::unbounded_channel();
    peer.serve(move |mut line| {
        let tx = tx.clone();
        async move {
            if line.alpn().as_deref() != Some(STREAMS) {
                return;
            }
            let _ = line.answer().await;
            let said = [frame(&plain()), frame(b"{\"n\":1}"), frame(&[b' '; 1001])].concat();
            let _ = line.tx.write_all(&said).await;
            let _ = tx.send(code(&line.conn).await);
        }
    });
    peer.join(&node, &peer.entry("test").with_stream(STREAM))
        .await;
    assert_eq!(within("the end", closed.recv()).await, Some(Some(400)));
    until("what came before is there", || consumer.queued().0 == 1).await;
    // Records count when they are returned, and none was yet.
    assert_eq!(
        (consumer.stats().datums, consumer.stats().dropped.too_large),
        (0, 1)
    );
    // It ignores other peers that join and depart, and reacts to changes of this peer.
    let other = Attacker::new();
    other.join(&node, &other.entry("test")).await;
    assert!(closed.try_recv().is_err() && consumer.producers().is_empty());
    let later = peer.entry("test").with_stream(STREAM);
    peer.join(&node, &later.dated(now_ms() + 5, now_ms() + 5))
        .await;
    assert_eq!(within("the end", closed.recv()).await, Some(Some(400)));
}
