//! Durable streams: consumers on other nodes read the log, exactly and over restarts of either side.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use crate::common::*;
use mosaik_streams::{
    Criteria, Frames, FramesConsumer, FramesProducer, Network, SecretKey,
    consumer::{FramesConsumerBuilder, Taken},
    durable::{DurableConfig, DurableLog, LogMarks, LogPosition, SourcePosition, StartAt, Visible},
};
use tempfile::TempDir;

/// A node that writes the stream into a log.
struct Writer {
    node: Network,
    log: DurableLog,
    marks: LogMarks,
    producer: FramesProducer,
}

impl Writer {
    async fn start(key: &SecretKey, folder: &Path) -> Self {
        Self::start_from(key, folder, DurableConfig::default(), None).await
    }

    async fn start_from(
        key: &SecretKey,
        folder: &Path,
        config: DurableConfig,
        from: Option<LogPosition>,
    ) -> Self {
        let (log, _) = DurableLog::open(folder, config, from, STREAM).expect("the log is usable");
        let node = Network::builder("test").with_secret_key(key.clone());
        let node = node.build().await.expect("it works on loopback");
        let producer = producer(&node)
            .with_log(log.clone())
            .online_when(|conditions| conditions.minimum_of(0))
            .build()
            .expect("it is the only one");
        Self {
            node,
            marks: log.marks(),
            log,
            producer,
        }
    }

    /// Stops without ending the stream.
    async fn stop(self) {
        within(
            "closing",
            self.producer.close_within(Duration::from_secs(30)),
        )
        .await;
        within("shutdown", self.node.shutdown()).await;
    }

    async fn reader(&self, key: &SecretKey) -> Network {
        node(key, &self.node.local().addr()).await
    }
}

fn consumer(node: &Network) -> FramesConsumerBuilder {
    let consumer = node.streams().consumer_frames(STREAM).with_name("reader");
    consumer
        .with_taken(Taken::WorkedOff)
        .with_start(StartAt::Earliest)
}

fn built(consumer: FramesConsumerBuilder) -> FramesConsumer {
    consumer.build().expect("the criteria can be evaluated")
}

async fn expect(consumer: &mut FramesConsumer, range: std::ops::Range<u64>) {
    let count = usize::try_from(range.end - range.start).expect("it fits");
    let seen = within("the records", some_numbers(consumer, count)).await;
    assert!(
        seen.iter().copied().eq(range.clone()),
        "{range:?}: {seen:?}"
    );
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_on_where_it_was_when_the_writer_comes_back() {
    let (folder, key) = (folder(), SecretKey::generate());
    let mut writer = Writer::start(&key, folder.path()).await;
    let reader = writer.reader(&SecretKey::generate()).await;
    let mut consumer = built(consumer(&reader));
    for life in 0..4 {
        let from = life * 3000;
        send_numbers(&writer.producer, from..from + 3000).await;
        // Part of it only: the rest waits in the log.
        expect(&mut consumer, from..from + 1000).await;
        let addr = writer.node.local().addr();
        writer.stop().await;
        writer = Writer::start(&key, folder.path()).await;
        assert_eq!(writer.log.position().position, from + 3000);
        // The other node learns the new address at once, as it would from the network.
        let _ = addr;
        reader
            .discovery()
            .sync_with(writer.node.local().addr())
            .await
            .ok();
        expect(&mut consumer, from + 1000..from + 3000).await;
    }
    let stats = consumer.stats();
    assert_eq!((stats.datums, stats.dropped.lost), (12_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_knows_its_position_goes_on_there() {
    let folder = folder();
    let writer = Writer::start(&SecretKey::generate(), folder.path()).await;
    let key = SecretKey::generate();
    let (mut positions, mut next) = (Vec::new(), 0);
    for life in 1..=4 {
        send_numbers(&writer.producer, (life - 1) * 2000..life * 2000).await;
        let reader = writer.reader(&key).await;
        let mut consumer = built(consumer(&reader).with_positions(positions));
        expect(&mut consumer, next..next + 1500).await;
        next += 1500;
        positions = consumer.positions();
        let at = LogPosition {
            log: writer.log.id(),
            position: next,
        };
        let peer = writer.node.local().id();
        assert_eq!(positions, [SourcePosition { peer, at }]);
        // What it takes from here on is not part of its position.
        expect(&mut consumer, next..next + 100).await;
        drop(consumer);
        within("shutdown", reader.shutdown()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_without_a_position_goes_on_where_it_has_confirmed_also_after_a_restart_of_both() {
    let (folder, key) = (folder(), SecretKey::generate());
    let writer = Writer::start(&key, folder.path()).await;
    let reading = SecretKey::generate();
    send_numbers(&writer.producer, 0..3000).await;
    let reader = writer.reader(&reading).await;
    let mut first = built(consumer(&reader));
    expect(&mut first, 0..2000).await;
    let _ = first.positions();
    let confirmed = || writer.log.status().readers[0].position;
    until("the confirmation", || confirmed() == 2000).await;
    assert_eq!(writer.log.status().readers[0].lag, 1000);
    drop(first);
    within("shutdown", reader.shutdown()).await;
    // The readers are stored once a second.
    until("the readers are stored", || {
        folder.path().join("readers.json").exists()
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    writer.stop().await;

    let writer = Writer::start(&key, folder.path()).await;
    let reader = writer.reader(&reading).await;
    let mut second = built(consumer(&reader));
    expect(&mut second, 2000..3000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_reader_begins_where_it_says() {
    let folder = folder();
    let writer = Writer::start(&SecretKey::generate(), folder.path()).await;
    send_numbers(&writer.producer, 0..500).await;
    writer.log.flush().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let time = SystemTime::now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    send_numbers(&writer.producer, 500..900).await;
    until("the log", || writer.log.position().position == 900).await;
    let starts = [
        (StartAt::Earliest, 0),
        (StartAt::Time(time), 500),
        (StartAt::Position(123), 123),
        (StartAt::Latest, 900),
    ];
    let mut consumers = Vec::new();
    for (start, first) in starts {
        let reader = writer.reader(&SecretKey::generate()).await;
        let consumer = built(consumer(&reader).with_start(start));
        within("it is connected", consumer.when().subscribed()).await;
        consumers.push((reader, consumer, first));
    }
    send_numbers(&writer.producer, 900..1000).await;
    for (_, consumer, first) in &mut consumers {
        expect(consumer, *first..1000).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_after_the_end_still_reads_everything_and_then_the_end() {
    let folder = folder();
    let writer = Writer::start(&SecretKey::generate(), folder.path()).await;
    send_numbers(&writer.producer, 0..2000).await;
    let addr = writer.node.local().addr();
    let report = within("the end", writer.producer.finish()).await;
    assert_eq!((report.ended, report.stats.dropped.total()), (true, 0));
    for _ in 0..2 {
        let reader = node(&SecretKey::generate(), &addr).await;
        let mut consumer = built(consumer(&reader));
        let all = within("everything", all_numbers(&mut consumer)).await;
        assert!(all.into_iter().eq(0..2000));
    }
    // Another producer of the stream goes on in the same log.
    let producer = producer(&writer.node).with_log(writer.log.clone()).build();
    let producer = producer.expect("the first one has ended");
    let reader = node(&SecretKey::generate(), &addr).await;
    let mut consumer = built(consumer(&reader));
    within("it is connected", producer.when().subscribed()).await;
    send_numbers(&producer, 2000..2100).await;
    expect(&mut consumer, 0..2100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_seen_before_it_is_committed_and_what_is_not_is_removed() {
    let (folder, key) = (folder(), SecretKey::generate());
    let config = DurableConfig {
        visible: Visible::Committed,
        ..DurableConfig::default()
    };
    let mut writer = Writer::start_from(&key, folder.path(), config, None).await;
    let reader = writer.reader(&SecretKey::generate()).await;
    let mut consumer = built(consumer(&reader));
    send_numbers(&writer.producer, 0..1000).await;
    writer.producer.put_mark(1).expect("the stream is open");
    send_numbers(&writer.producer, 1000..1500).await;
    let (_, mark) = within("the mark", writer.marks.next())
        .await
        .expect("it is on the disk");
    assert_eq!(mark.position, 1000);
    let early = tokio::time::timeout(Duration::from_millis(300), consumer.recv_frames(1));
    assert!(early.await.is_err(), "a record that is not committed");
    writer.log.commit(mark.position);
    expect(&mut consumer, 0..1000).await;
    writer.stop().await;

    // The application makes other records this time.
    let mut writer = Writer::start_from(&key, folder.path(), config, Some(mark)).await;
    reader
        .discovery()
        .sync_with(writer.node.local().addr())
        .await
        .ok();
    send_numbers(&writer.producer, 5000..5100).await;
    writer.producer.put_mark(2).expect("the stream is open");
    let (_, mark) = within("the mark", writer.marks.next())
        .await
        .expect("it is on the disk");
    writer.log.commit(mark.position);
    expect(&mut consumer, 5000..5100).await;
    assert_eq!(consumer.stats().dropped.lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_made_again_are_not_appended_twice() {
    let (folder, key) = (folder(), SecretKey::generate());
    let config = DurableConfig::default();
    let mut writer = Writer::start(&key, folder.path()).await;
    let reader = writer.reader(&SecretKey::generate()).await;
    let mut consumer = built(consumer(&reader));
    send_numbers(&writer.producer, 0..700).await;
    writer.producer.put_mark(1).expect("the stream is open");
    let (_, mark) = within("the mark", writer.marks.next())
        .await
        .expect("it is on the disk");
    send_numbers(&writer.producer, 700..1000).await;
    expect(&mut consumer, 0..1000).await;
    writer.stop().await;

    let mut writer = Writer::start_from(&key, folder.path(), config, Some(mark)).await;
    reader
        .discovery()
        .sync_with(writer.node.local().addr())
        .await
        .ok();
    // A mark among the repeated records has the position that it had.
    send_numbers(&writer.producer, 700..800).await;
    writer.producer.put_mark(2).expect("the stream is open");
    let (_, again) = within("the mark", writer.marks.next())
        .await
        .expect("it is on the disk");
    assert_eq!(again.position, 800);
    send_numbers(&writer.producer, 800..1300).await;
    expect(&mut consumer, 1000..1300).await;
    until("the log", || writer.log.position().position == 1300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_is_exact_for_a_reader_with_criteria() {
    let folder = folder();
    let writer = Writer::start(&SecretKey::generate(), folder.path()).await;
    let key = SecretKey::generate();
    send_numbers(&writer.producer, 0..4000).await;
    // Two runs of the range, with records between them that it does not want.
    let wanted = |n: &u64| (100..1300).contains(n) || (2000..3100).contains(n);
    let criteria = Criteria::field("n")
        .gte(100)
        .and(Criteria::field("n").lt(1300));
    let criteria = criteria.or(Criteria::field("n")
        .gte(2000)
        .and(Criteria::field("n").lt(3100)));
    let (mut positions, mut seen) = (Vec::new(), Vec::new());
    for at_once in [7, 501, 93, 600, 400, 699] {
        let reader = writer.reader(&key).await;
        let builder = consumer(&reader)
            .with_positions(positions)
            .with_criteria(criteria.clone());
        let mut consumer = built(builder.with_batch_size(13));
        let mut numbers = within("the records", some_numbers(&mut consumer, at_once)).await;
        seen.append(&mut numbers);
        positions = consumer.positions();
        // Records that are queued, or taken and not part of the position, come again.
        let more = Duration::from_millis(20);
        drop(tokio::time::timeout(more, consumer.recv_frames(5)).await);
        drop(consumer);
        within("shutdown", reader.shutdown()).await;
    }
    assert!(
        seen.iter().copied().eq((0..4000).filter(wanted)),
        "{} records",
        seen.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_share_a_subscription_each_go_on_at_their_position() {
    let folder = folder();
    let writer = Writer::start(&SecretKey::generate(), folder.path()).await;
    send_numbers(&writer.producer, 0..2000).await;
    until("the log", || writer.log.position().position == 2000).await;
    let peer = writer.node.local().id();
    let at = |position| SourcePosition {
        peer,
        at: LogPosition {
            log: writer.log.id(),
            position,
        },
    };
    let reader = writer.reader(&SecretKey::generate()).await;
    let hold = reader.streams().hold_subscriptions();
    let shared = |positions| {
        let consumer = reader.streams().consumer_frames(STREAM);
        let consumer = consumer
            .with_shared_subscription("stages")
            .with_buffer_size(5000);
        built(consumer.with_positions(positions))
    };
    let (mut early, mut late) = (shared(vec![at(300)]), shared(vec![at(1700)]));
    let mut new = shared(Vec::new());
    drop(hold);
    within("it is connected", new.when().subscribed()).await;
    send_numbers(&writer.producer, 2000..2200).await;
    expect(&mut early, 300..2200).await;
    expect(&mut late, 1700..2200).await;
    // It has no position, so it begins at the end of the log as it was.
    expect(&mut new, 2000..2200).await;
    assert_eq!(early.positions(), [at(2200)]);
}

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
