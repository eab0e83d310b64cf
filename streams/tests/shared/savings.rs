//! Figures: what sharing saves.

use super::*;

/// Two readers with and without sharing: the records they receive of a stream that starts with the first of them, and
/// the bytes on the network.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it prints figures"]
async fn what_sharing_saves() {
    for is_shared in [false, true] {
        let a = first().await;
        let producer = producer(&a)
            .disconnect_lagging(DisconnectLagging::Wait)
            .build()
            .unwrap();
        let sending = tokio::spawn(async move {
            let started = Instant::now();
            send_numbers(&producer, 0..6000).await;
            send_numbers(&producer, 6000..300_000).await;
            (producer.consumers().len(), producer.finish().await, started)
        });
        let b = joined(&a).await;
        let hold = b.streams().hold_subscriptions();
        let readings = [(); 2].map(|()| {
            let alone = b.streams().consumer_frames(STREAM);
            let builder = if is_shared { sharing(&b) } else { alone };
            read_slowly(builder.build().unwrap(), Duration::ZERO)
        });
        drop(hold);
        let (connections, report, started) = sending.await.unwrap();
        let mut missed = 0;
        for reading in readings {
            missed += 300_000 - reading.await.unwrap().0.len();
        }
        println!(
            "shared {is_shared}: {connections} connections, {} bytes sent, {missed} records missed, {:.2?}",
            report.stats.sent_bytes,
            started.elapsed()
        );
    }
}
