//! Killed readers, restarts, and lost connections.

use super::*;

/// A node with a fast and a slow consumer that share. Each reports the records it takes.
struct Reader {
    taken: [mpsc::UnboundedReceiver<Vec<u64>>; 2],
    held: (Network, [JoinHandle<FramesConsumer>; 2]),
}

async fn reader(life: &Process, key: &SecretKey, to: &Network) -> Reader {
    let (key, knows) = (key.clone(), to.local().addr());
    let made = life.spawn(async move {
        let node = node(&key, &knows).await;
        let hold = node.streams().hold_subscriptions();
        let read = [0, 4].map(|pause| {
            let builder = sharing(&node).with_taken(Taken::WorkedOff);
            let mut consumer = builder.build().expect("it wants all");
            let (tell, taken) = mpsc::unbounded_channel();
            let reading = tokio::spawn(async move {
                while let Some(frames) = consumer.recv_frames(100).await {
                    if tell.send(numbers(&frames)).is_err() {
                        break;
                    }
                    tokio::time::sleep(pause * MS).await;
                }
                consumer
            });
            (taken, reading)
        });
        drop(hold);
        (node, read)
    });
    let (node, [one, two]) = within("a life", made).await.expect("it starts");
    Reader {
        taken: [one.0, two.0],
        held: (node, [one.1, two.1]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_reader_loses_nothing_of_what_either_has_not_taken() {
    let (a, producer) = patient().await;
    let (stop, key) = (Arc::new(AtomicBool::new(false)), SecretKey::generate());
    let sending = send_until(producer, stop.clone());
    let mut seen = [Vec::new(), Vec::new()];
    for life_number in 0..6 {
        let mut life = Process::start();
        let mut reader = reader(&life, &key, &a).await;
        for (seen, taken) in seen.iter_mut().zip(&mut reader.taken) {
            seen.extend(within("records", taken.recv()).await.expect("it reads"));
        }
        if life_number < 5 {
            tokio::time::sleep(150 * MS).await;
            life.kill();
            std::mem::forget(reader.held);
            for (seen, taken) in seen.iter_mut().zip(&mut reader.taken) {
                while let Some(more) = taken.recv().await {
                    seen.extend(more);
                }
            }
            continue;
        }
        stop.store(true, Ordering::Relaxed);
        let (sent, producer) = within("the last", async { sending.await.unwrap() }).await;
        let ending = tokio::spawn(producer.finish());
        let mut twice = 0;
        for (seen, taken) in seen.iter_mut().zip(&mut reader.taken) {
            while let Some(more) = within("the end", taken.recv()).await {
                seen.extend(more);
            }
            let all = seen.len();
            seen.sort_unstable();
            seen.dedup();
            twice += all - seen.len();
            assert_all(seen, 0..sent);
        }
        let report = within("the report", ending).await.unwrap();
        println!("{sent} records, {twice} taken twice, {:?}", report.stats);
        assert_eq!(report.stats.dropped.total(), 0);
        // A record that one receives twice, the other may receive twice as well.
        assert!(twice as u64 <= 2 * report.stats.redelivered);
        assert!(report.stats.redelivered > 0);
        return;
    }
}

/// Reads until stopped, and then to the end of the received records.
fn read_until(
    mut consumer: FramesConsumer,
    stop: CancellationToken,
    pause: Duration,
) -> JoinHandle<Vec<u64>> {
    tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            let frames = tokio::select! {
                frames = consumer.recv_frames(100) => frames,
                () = stop.cancelled() => break,
            };
            seen.extend(numbers(&frames.expect("it goes on")));
            tokio::time::sleep(pause).await;
        }
        consumer.stop_receiving();
        seen.extend(all_numbers(&mut consumer).await);
        assert_eq!(consumer.close().dropped.total(), 0);
        seen
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_in_order_goes_on_for_all_in_its_next_life() {
    let (a, producer) = patient().await;
    let key = SecretKey::generate();
    let (stop, observer) = (Arc::new(AtomicBool::new(false)), producer.clone());
    let sending = send_until(producer, stop.clone());
    let mut seen = [Vec::new(), Vec::new()];
    for life in 0..4 {
        let b = joined_as(&a, key.clone()).await;
        let hold = b.streams().hold_subscriptions();
        let stops = [CancellationToken::new(), CancellationToken::new()];
        let readings = [0, 3].map(|pause| {
            let consumer = sharing(&b).with_taken(Taken::WorkedOff).build().unwrap();
            read_until(consumer, stops[usize::from(pause > 0)].clone(), pause * MS)
        });
        drop(hold);
        let before = observer.stats().sent_datums;
        until("records come", || {
            observer.stats().sent_datums > before + 3000
        })
        .await;
        if life == 3 {
            stop.store(true, Ordering::Relaxed);
            tokio::time::sleep(500 * MS).await;
        }
        // The stages are notified one after the other.
        stops[life % 2].cancel();
        tokio::time::sleep(100 * MS).await;
        stops[1 - life % 2].cancel();
        for (seen, reading) in seen.iter_mut().zip(readings) {
            seen.extend(within("what was received", reading).await.unwrap());
        }
        within("the end of a life", b.shutdown()).await;
    }
    let (sent, _producer) = within("the last record", sending).await.unwrap();
    for seen in &seen {
        assert_all(seen, 0..sent);
    }
    assert_eq!(observer.stats().dropped.total(), 0);
}

/// Longer than the idle timeout of a connection.
const CUT: Duration = Duration::from_secs(35);

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_goes_on_where_it_was_for_all() {
    let relay = Relay::start(Profile::default(), 7).await;
    let a = relay.node().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .online_when(|subscribed| subscribed.minimum_of(2))
        .build()
        .unwrap();
    let b = joined(&a).await;
    let [one, two] = [(); 2].map(|()| sharing(&b).build().unwrap());
    within("two consumers", producer.when().online()).await;
    let (one, two) = (read_slowly(one, MS), read_slowly(two, 3 * MS));
    let (stop, observer) = (Arc::new(AtomicBool::new(false)), producer.clone());
    let sending = send_until(producer, stop.clone());
    until("records flow", || observer.stats().sent_datums > 2000).await;
    relay.carried.is_cut.store(true, Ordering::Relaxed);
    tokio::time::sleep(CUT).await;
    assert!(observer.consumers().is_empty(), "QUIC has given it up");
    relay.carried.is_cut.store(false, Ordering::Relaxed);
    until("it is back", || shares(&observer) == [2]).await;
    stop.store(true, Ordering::Relaxed);
    drop(observer);
    let (sent, producer) = within("the last record", sending).await.unwrap();
    let report = within("the end", producer.finish()).await;
    for reading in [one, two] {
        let (seen, consumer) = within("all records", reading).await.unwrap();
        assert_all(&seen, 0..sent);
        assert_eq!(consumer.stats().dropped.total(), 0);
    }
    let stats = report.stats;
    assert_eq!((stats.dropped.total(), stats.redelivered), (0, 0));
}
