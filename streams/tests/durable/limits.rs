//! Slow readers, retention, damage, and who may use a log.

use super::*;

/// Records of 10 KB, so that the log exceeds what is kept in memory.
fn large(range: std::ops::Range<u64>) -> Frames {
    range
        .map(|n| format!("{n:010}{}", "x".repeat(10_000)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_delays_no_one_and_joins_the_others_when_it_has_caught_up() {
    let folder = folder();
    let writer = Writer::start(&SecretKey::generate(), folder.path()).await;
    let (node_fast, node_slow) = (
        writer.reader(&SecretKey::generate()).await,
        writer.reader(&SecretKey::generate()).await,
    );
    let (mut fast, mut slow) = (built(consumer(&node_fast)), built(consumer(&node_slow)));
    until("both", || writer.producer.consumers().len() == 2).await;
    let reading = tokio::spawn(async move {
        let mut next = 0;
        while next < 6000 {
            let frames = fast.recv_frames(100).await.expect("the stream goes on");
            for record in &frames {
                assert_eq!(&record[..10], format!("{next:010}").as_bytes());
                next += 1;
            }
        }
    });
    // 60 MB, of which the slow one takes nothing for now.
    for from in (0..6000).step_by(100) {
        let sent = writer.producer.send_frames(large(from..from + 100)).await;
        sent.expect("the stream is open");
    }
    within("the fast one", reading).await.expect("it reads all");
    let mut next = 0;
    while next < 6000 {
        let frames = within("the slow one", slow.recv_frames(100)).await;
        for record in &frames.expect("the stream goes on") {
            assert_eq!(&record[..10], format!("{next:010}").as_bytes());
            next += 1;
        }
    }
    let sent = writer.producer.send_frames(large(6000..6001)).await;
    sent.expect("the stream is open");
    let last = within("the live record", slow.recv_frames(100)).await;
    assert_eq!(last.map(|frames| frames.count()), Some(1));
    assert_eq!(writer.producer.stats().dropped.total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_removes_is_counted_by_the_reader_that_misses_it() {
    let folder = folder();
    let config = DurableConfig {
        retain_bytes: 4_000_000,
        ..DurableConfig::default()
    };
    let writer = Writer::start_from(&SecretKey::generate(), folder.path(), config, None).await;
    let key = SecretKey::generate();
    let reader = writer.reader(&key).await;
    let mut first = built(consumer(&reader));
    writer
        .producer
        .send_frames(large(0..10))
        .await
        .expect("the stream is open");
    let _ = within("a record", first.recv_frames(1)).await;
    let positions = first.positions();
    drop(first);
    within("shutdown", reader.shutdown()).await;
    for from in (10..1000).step_by(10) {
        let sent = writer.producer.send_frames(large(from..from + 10)).await;
        sent.expect("the stream is open");
    }
    until("the oldest are removed", || {
        writer.log.status().expired > 500
    })
    .await;
    let reader = writer.reader(&key).await;
    let mut second = built(consumer(&reader).with_positions(positions));
    let mut count = 0;
    until("everything is read or counted", || {
        while let Some(frames) = second.try_recv_frames(100) {
            count += frames.count() as u64;
        }
        count + second.stats().dropped.lost == 999
    })
    .await;
    let lost = second.stats().dropped.lost;
    assert_eq!((count + lost, lost > 500), (999, true), "{count} {lost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_costs_its_batch_which_the_reader_counts() {
    let (folder, key) = (folder(), SecretKey::generate());
    let writer = Writer::start(&key, folder.path()).await;
    for from in (0..1000).step_by(10) {
        let sent = writer.producer.send_frames(numbered(from..from + 10)).await;
        sent.expect("the stream is open");
        until("the log", || writer.log.position().position == from + 10).await;
    }
    writer.stop().await;
    let segment = folder.path().join("00000000000000000000.log");
    let mut bytes = std::fs::read(&segment).expect("the segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).expect("the segment");

    let (log, recovered) =
        DurableLog::open(folder.path(), DurableConfig::default(), None, STREAM).expect("it opens");
    assert_eq!(recovered.damaged.len(), 1, "{recovered:?}");
    drop(log);
    let writer = Writer::start(&key, folder.path()).await;
    let reader = writer.reader(&SecretKey::generate()).await;
    let mut consumer = built(consumer(&reader));
    let mut seen = Vec::new();
    let mut lost = 0;
    until("everything is read or counted", || {
        while let Some(frames) = consumer.try_recv_frames(100) {
            seen.extend(numbers(&frames));
        }
        lost = consumer.stats().dropped.lost;
        seen.len() as u64 + lost == 1000
    })
    .await;
    let gap = recovered.damaged[0];
    assert_eq!(lost, gap.to - gap.from);
    assert!(seen.into_iter().eq((0..gap.from).chain(gap.to..1000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_log_has_one_user_and_one_identity() {
    let (folder, other) = (folder(), folder());
    let config = DurableConfig::default();
    let (log, _) = DurableLog::open(folder.path(), config, None, STREAM).expect("it is new");
    let again = DurableLog::open(folder.path(), config, None, STREAM);
    assert_eq!(
        again.expect_err("it is in use").to_string(),
        "the log is in use by another process"
    );
    let from = LogPosition {
        log: log.id(),
        position: 3,
    };
    let (second, _) = DurableLog::open(other.path(), config, None, STREAM).expect("it is new");
    assert_ne!(second.id(), log.id());
    drop((log, second));
    for (folder, message) in [
        (
            &folder,
            "the log ends at 0, before the position 3 at which to continue",
        ),
        (&other, "the position is one of log"),
    ] {
        let opened = DurableLog::open(folder.path(), config, Some(from), STREAM);
        let error = opened.expect_err("it does not match").to_string();
        assert!(error.starts_with(message), "{error}");
    }
}
