//! Streams over a network that loses, duplicates, delays, reorders and cuts: every record arrives once and in order
//! while the connection exists, and records lost with a connection are counted.

use std::time::{Duration, Instant};

use crate::common::{
    relay::{Profile, Relay},
    *,
};
use mosaik_streams::streams::producer::DisconnectLagging;

/// Allows for a few connections that fail consecutively when 30 % of datagrams are lost. Usually it takes seconds.
const LIMIT: Duration = Duration::from_mins(3);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Sends `count` records over a network with this profile.
#[expect(clippy::print_stdout, reason = "figures that are worth seeing")]
async fn carry(name: &str, profile: Profile, count: u64) {
    let relay = Relay::start(profile, 7).await;
    let a = relay.node().await;
    let producer = producer(&a)
        .disconnect_lagging(DisconnectLagging::Wait)
        .build()
        .expect("the first");
    let b = joined(&a).await;
    let mut consumer = b
        .streams()
        .consumer_frames(STREAM)
        .build()
        .expect("it wants all");
    let started = Instant::now();
    let all = async {
        consumer.when().subscribed().await;
        let connected = started.elapsed();
        let reader = async {
            let mut seen = Vec::new();
            // The next connection reports the losses of a failed one.
            while seen.len() as u64 + consumer.stats().dropped.lost < count {
                let taken = tokio::time::timeout(ms(100), consumer.recv_frames(1000)).await;
                if let Ok(frames) = taken {
                    seen.extend(numbers(&frames.expect("the stream has not ended")));
                }
            }
            seen
        };
        let writer = async {
            // Slow enough to include some cuts of each direction.
            let parts = if profile.cuts.is_some() { 8 } else { 1 };
            let mut pace = profile
                .cuts
                .map(|(every, _)| tokio::time::interval(every * 3 / 4));
            for part in 0..parts {
                send_numbers(&producer, count / parts * part..count / parts * (part + 1)).await;
                if let Some(pace) = &mut pace {
                    pace.tick().await;
                }
            }
        };
        let (seen, ()) = tokio::join!(reader, writer);
        (seen, connected)
    };
    let (seen, connected) = tokio::time::timeout(LIMIT, all)
        .await
        .unwrap_or_else(|_| panic!("{name}: {:?} after {LIMIT:?}", relay.carried.numbers()));
    let (passed, lost) = relay.carried.numbers();
    println!(
        "{name}: {count} records in {:.1?}, connected after {connected:.1?}; of {} datagrams {lost} were lost",
        started.elapsed().saturating_sub(connected),
        passed + lost
    );
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
    let (sent, received) = (producer.stats(), consumer.stats());
    assert_eq!(received.datums, seen.len() as u64, "{name}");
    assert_eq!(received.datums + received.dropped.total(), count, "{name}");
    // With a loss of 30 %, a connection may time out.
    if profile.loss < 0.3 {
        assert_all(&seen, 0..count);
        // It was a single connection, so each record was sent once.
        assert_eq!(
            (sent.sent_datums, sent.dropped.total()),
            (count, 0),
            "{name}"
        );
    }
    let is_lossy = profile.loss > 0.0 || profile.bursts.0 > 0.0 || profile.cuts.is_some();
    assert_eq!(lost > 0, is_lossy, "{name}");
    assert!(passed > count / 1000, "{name}: it did not go by the relay");
}

#[tokio::test(flavor = "multi_thread")]
async fn single_losses() {
    for (loss, count) in [(0.001, 200_000), (0.01, 200_000), (0.05, 200_000)] {
        let profile = Profile {
            loss,
            ..Profile::default()
        };
        carry(&format!("{} % lost", loss * 100.0), profile, count).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_losses() {
    for loss in [0.1, 0.3] {
        let profile = Profile {
            loss,
            ..Profile::default()
        };
        carry(&format!("{} % lost", loss * 100.0), profile, 20_000).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bursts_of_losses() {
    let profile = Profile {
        bursts: (0.003, 8),
        ..Profile::default()
    };
    carry("bursts of 8 lost", profile, 200_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_and_copies() {
    let reordered = Profile {
        reordered: (0.2, ms(5)),
        ..Profile::default()
    };
    carry("a fifth out of order", reordered, 200_000).await;
    let duplicates = Profile {
        duplicates: 0.3,
        ..Profile::default()
    };
    carry("three in ten twice", duplicates, 200_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delays() {
    let profile = Profile {
        delay: (ms(15), ms(10)),
        ..Profile::default()
    };
    carry("15 to 25 ms late", profile, 200_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_of_one_direction() {
    let profile = Profile {
        delay: (ms(5), ms(0)),
        cuts: Some((ms(330), ms(150))),
        ..Profile::default()
    };
    carry("one direction cut 150 of 330 ms", profile, 200_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_at_once() {
    let profile = Profile {
        loss: 0.01,
        bursts: (0.001, 8),
        duplicates: 0.1,
        reordered: (0.05, ms(2)),
        delay: (ms(2), ms(1)),
        // Not synchronous with the retries of a handshake.
        cuts: Some((ms(730), ms(50))),
    };
    carry("all at once", profile, 200_000).await;
}
