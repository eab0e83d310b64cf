//! Durable streams: consumers on other nodes read the log, exactly and over restarts of either side.

mod limits;

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

    /// Puts a mark, and returns its position in the log.
    async fn mark(&mut self, mark: u64) -> LogPosition {
        self.producer.put_mark(mark).expect("the stream is open");
        self.marked().await
    }

    /// Returns the position of the next mark in the log.
    async fn marked(&mut self) -> LogPosition {
        let (_, at) = within("the mark", self.marks.next())
            .await
            .expect("it is on the disk");
        at
    }

    /// Tells another node the new address at once, which it would learn from the network in time.
    async fn announce_to(&self, reader: &Network) {
        let synced = reader.discovery().sync_with(self.node.local().addr());
        within("the address", synced)
            .await
            .expect("it is reachable");
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
        writer.stop().await;
        writer = Writer::start(&key, folder.path()).await;
        assert_eq!(writer.log.position().position, from + 3000);
        writer.announce_to(&reader).await;
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
    let stored = || std::fs::read_to_string(folder.path().join("readers.json"));
    until("the readers are stored", || {
        stored().is_ok_and(|readers| readers.contains("\"confirmed\":2000"))
    })
    .await;
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
async fn a_consumer_that_comes_after_the_end_reads_everything_and_then_the_end() {
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
    let mark = writer.marked().await;
    assert_eq!(mark.position, 1000);
    let early = tokio::time::timeout(Duration::from_millis(300), consumer.recv_frames(1));
    assert!(early.await.is_err(), "a record that is not committed");
    writer.log.commit(mark.position);
    expect(&mut consumer, 0..1000).await;
    writer.stop().await;

    // The application makes other records this time.
    let mut writer = Writer::start_from(&key, folder.path(), config, Some(mark)).await;
    writer.announce_to(&reader).await;
    send_numbers(&writer.producer, 5000..5100).await;
    let mark = writer.mark(2).await;

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
    let mark = writer.mark(1).await;

    send_numbers(&writer.producer, 700..1000).await;
    expect(&mut consumer, 0..1000).await;
    writer.stop().await;

    let mut writer = Writer::start_from(&key, folder.path(), config, Some(mark)).await;
    writer.announce_to(&reader).await;
    // A mark among the repeated records has the position that it had.
    send_numbers(&writer.producer, 700..800).await;
    let again = writer.mark(2).await;

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
