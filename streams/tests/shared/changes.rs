//! Consumers that join, leave, and differ in their settings.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn others_come_and_go_while_one_reads_on() {
    let a = first().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .build()
        .unwrap();
    let b = joined(&a).await;
    let staying = sharing(&b).build().unwrap();
    let connection = {
        within("a connection", staying.when().subscribed()).await;
        staying.producers()[0].number()
    };
    let control = staying.control();
    let staying = read_slowly(staying, Duration::ZERO);
    let stop = Arc::new(AtomicBool::new(false));
    let observer = producer.clone();
    let sending = send_until(producer, stop.clone());
    for round in 0..5 {
        // One that wants all, one that wants a part, and one that reads nothing and holds up the others.
        let mut all = sharing(&b).build().unwrap();
        let mut part = wanting(&b, Criteria::field("n").gte(u64::from(u32::MAX)));
        let stuck = sharing(&b).with_buffer_size(1).build().unwrap();
        until("it is full", || stuck.queued().0 == 1).await;
        until("all are counted", || shares(&observer) == [4]).await;
        drop(stuck);
        let seen = within("some", some_numbers(&mut all, 500)).await;
        let first = seen[0];
        assert_all(&seen, first..first + 500);
        assert!(round == 0 || first > 0);
        assert!(part.try_recv_frames(1).is_none());
        let stats = all.close();
        assert_eq!(stats.dropped.total(), stats.dropped.closed);
    }
    until("the others have left", || shares(&observer) == [1]).await;
    assert_eq!(control.read().unwrap().producers[0].number(), connection);
    stop.store(true, Ordering::Relaxed);
    let (sent, producer) = within("the last record", sending).await.unwrap();
    drop(observer);
    let report = within("the end", producer.finish()).await;
    let (seen, consumer) = within("all records", staying).await.unwrap();
    assert_all(&seen, 0..sent);
    assert_eq!(report.stats.dropped.total(), 0);
    assert_eq!(consumer.stats().dropped.total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crosses_the_network_follows_who_is_there() {
    let (a, producer) = patient().await;
    let b = joined(&a).await;
    let mut low = wanting(&b, Criteria::field("n").lt(1000));
    within("a connection", low.when().subscribed()).await;
    let high = wanting(&b, Criteria::field("n").gte(5000));
    within("two consumers", producer.when().online()).await;
    let send = async |range| within("sending", send_numbers(&producer, range)).await;
    let crossed = || producer.stats().sent_datums;
    send(990..5010).await;
    until("the union is sent", || crossed() == 20).await;
    assert_all(
        &within("its part", some_numbers(&mut low, 10)).await,
        990..1000,
    );
    until("it has its part", || high.queued().0 == 10).await;
    let control = high.control();
    control
        .set_criteria(Criteria::field("n").gte(5005))
        .unwrap();
    // The producer receives the change at some point.
    let mut others = 0;
    within("it selects by that", async {
        loop {
            let before = crossed();
            send(5000..5005).await;
            others += 5;
            until("they are handled", || {
                producer.stats().filtered + crossed() >= 4020 + others
            })
            .await;
            if crossed() == before {
                break;
            }
        }
    })
    .await;
    assert_eq!(high.queued().0, 10);
    drop(high);
    until("one has left", || shares(&producer) == [1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_differ_in_what_must_be_alike_have_subscriptions_of_their_own() {
    let (a, producer) = patient().await;
    let b = joined(&a).await;
    let json = |builder: FramesConsumerBuilder| builder.with_encoding(Encoding::default());
    let consumers = [
        sharing(&b),
        sharing(&b),
        json(sharing(&b)),
        json(sharing(&b)),
        sharing(&b).with_max_datum_len(1000),
        sharing(&b).with_shared_subscription("others"),
        b.streams().consumer_frames(STREAM),
        b.streams().consumer_frames(STREAM),
    ];
    let mut consumers = consumers.map(|builder| builder.build().unwrap());
    until("all are there", || {
        shares(&producer).iter().sum::<usize>() == 8
    })
    .await;
    let mut shares = shares(&producer);
    shares.sort_unstable();
    assert_eq!(shares, [1, 1, 1, 1, 2, 2]);
    within("sending", send_numbers(&producer, 0..100)).await;
    for consumer in &mut consumers {
        assert_all(&within("all", some_numbers(consumer, 100)).await, 0..100);
    }
    assert_eq!(producer.stats().sent_datums, 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_share_count_each_for_the_bound_on_consumers() {
    let a = first().await;
    let producer = producer(&a).with_max_consumers(2).build().unwrap();
    let b = joined(&a).await;
    let _sharing = [(); 2].map(|()| sharing(&b).build().unwrap());
    until("both are counted", || shares(&producer) == [2]).await;
    let refused = b.streams().consumer_frames(STREAM).build().unwrap();
    until("another one tries", || {
        refused
            .attempts()
            .iter()
            .any(|attempt| attempt.last_close.is_some())
    })
    .await;
    assert_eq!(shares(&producer), [2]);
}
