//! Tests two nodes whose stages share one subscription to a shared stream. Each stage receives
//! every matching record from the first one on, even if other stages read slowly, are removed and
//! added again by a reload, or die with their node.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use super::{ledger::Ledger, random::Random, seeds};
use crate::support::{
    Node, eventually, free_ports, identity,
    socket::{alone, ask},
    write,
};

/// A node that writes `ticks`, and one that reads it.
struct Pair {
    folder: tempfile::TempDir,
    feed: PathBuf,
    desk_head: String,
}

impl Pair {
    /// Creates the manifest of the feed with the settings `stream` and `generate`.
    fn new(stream: &str, generate: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [feed_port, desk_port] = free_ports();
        let [(feed_key, feed_id), (desk_key, desk_id)] = [identity(), identity()];
        let head = |key: &str, port: u16, peer: &str, peer_port: u16| {
            format!(
                "mosaik: v1\nnetwork: conservation\nnode: {{secret_key: '{key}', listen: ['127.0.0.1:{port}'], \
                 bootstrap: ['{peer}@127.0.0.1:{peer_port}']}}\n"
            )
        };
        let feed = head(&feed_key, feed_port, &desk_id, desk_port)
            + &format!(
                "streams: {{ticks: {{scope: network, disconnect_lagging: wait, {stream}}}}}\n\
                 producers: {{clock: {{from: {{generate: {{{generate}}}}}, to: ticks}}}}\n"
            );
        Self {
            feed: write(folder.path(), "feed.yaml", feed),
            desk_head: head(&desk_key, desk_port, &feed_id, feed_port),
            folder,
        }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the desk's manifest with `rest` appended to its head.
    fn desk(&self, rest: &str) -> PathBuf {
        let text = format!("{}{rest}", self.desk_head);
        write(self.folder(), "desk.yaml", text)
    }

    fn up(&self, manifest: &Path, more: &[&str]) -> Node {
        let mut command = alone(self.folder());
        command.args(["up", "--log", "json", "--no-watch"]);
        command.args(more).arg(manifest);
        let node = Node::spawn(command);
        node.logged("generation 1 runs");
        node
    }

    fn status(&self, manifest: &Path) -> Value {
        let done = ask(
            self.folder(),
            &["status", manifest.to_str().unwrap(), "--json"],
        );
        serde_json::from_str(&done.stdout).unwrap_or_default()
    }

    /// Returns the number of stages that share each connection to the feed.
    fn shares(&self) -> Vec<u64> {
        let status = self.status(&self.feed);
        let consumers = status["streams"][0]["consumers"].as_array().cloned();
        let mut consumers = consumers.unwrap_or_default();
        consumers.retain(|consumer| consumer["state"] == "connected");
        let stages = consumers.iter().map(|c| c["consumers"].as_u64().unwrap());
        stages.collect()
    }

    /// Returns the numbers in a file, in file order. Ignores a line that a kill has cut off.
    fn seqs(&self, file: &str) -> Vec<u64> {
        let text = fs::read_to_string(self.folder().join(file)).unwrap_or_default();
        let records = text.split("{\"seq\":").skip(1);
        let whole = records.filter(|record| record.contains('}'));
        whole
            .map(|record| record.split(',').next().unwrap().parse().unwrap())
            .collect()
    }
}

const STAGES: &str = "streams: {ticks: {scope: network}, passed: {}}
operators:
  slow: {wasm: 'builtin:jq', from: {stream: ticks, buffer_size: 4}, to: passed, config: {filter: '.'}}
consumers:
  all: {from: ticks, to: {file: {path: all.jsonl}}}
  part: {from: {stream: ticks, criteria: {seq: {lt: 1000}}}, to: {file: {path: part.jsonl}}}
  passed: {from: passed, to: {file: {path: passed.jsonl}}}
";

#[test]
fn stages_that_read_one_stream_all_get_its_first_record_over_one_connection() {
    const RECORDS: u64 = 6000;
    for seed in 0..seeds() {
        // One stage is enough for the feed to start, and none may miss its first records.
        let wanted = if seed % 2 == 0 { 1 } else { 3 };
        let online = format!("online_when: {{producer: {{minimum_of: {wanted}}}}}");
        let pair = Pair::new(&online, &format!("count: {RECORDS}"));
        let feed = pair.up(&pair.feed, &[]);
        let desk = pair.up(&pair.desk(STAGES), &["--exit-when-done"]);
        let desk = Ledger::of(desk.wait_within(Duration::from_mins(2)));
        assert_eq!((desk.exit, desk.lost), (Some(0), 0), "{}", desk.log);
        assert!(pair.seqs("all.jsonl").into_iter().eq(0..RECORDS));
        assert!(pair.seqs("passed.jsonl").into_iter().eq(0..RECORDS));
        assert!(pair.seqs("part.jsonl").into_iter().eq(0..1000));
        feed.signal(Signal::TERM);
        let feed = Ledger::of(feed.wait());
        assert_eq!(feed.stream("ticks", "sent_remote"), RECORDS);
        assert_eq!((feed.exit, feed.lost), (Some(0), 0), "{}", feed.log);
        assert_eq!(feed.count("producer clock", "datums_out"), RECORDS);
    }
}

#[test]
fn a_stage_keeps_reading_while_others_are_removed_and_added() {
    let pair = Pair::new("online_when: {producer: {minimum_of: 1}}", "rate: 5000");
    for seed in 0..seeds().min(20) {
        let mut random = Random::seeded(seed);
        let feed = pair.up(&pair.feed, &[]);
        let manifest = pair.desk(STAGES);
        let desk = pair.up(&manifest, &[]);
        eventually("three stages share", || pair.shares() == [3]);
        let edge = |stage: &str| {
            let edges = pair.status(&manifest)["edges"].clone();
            let mut edges = edges.as_array().unwrap().iter();
            let found = edges.find(|edge| edge["stage"] == stage);
            found.unwrap()["producers"][0]["connection"].clone()
        };
        let connection = edge("consumer all");
        assert!(connection.is_u64());
        assert_eq!(edge("operator slow"), connection);
        let without_part = STAGES.replace("  part:", "  #part:");
        let with_more = STAGES.to_owned()
            + "  more: {from: {stream: ticks, criteria: {seq: {gte: 100}}}, to: {file: {path: more.jsonl}}}\n";
        let other_code = STAGES.replace("filter: '.'", "filter: '. + {x: 1}'");
        for (rest, shares) in [
            (without_part, 2),
            (with_more, 4),
            (other_code, 3),
            (STAGES.replace("lt: 1000", "gte: 1000"), 3),
        ] {
            thread::sleep(Duration::from_millis(random.below(300)));
            pair.desk(&rest);
            let done = ask(pair.folder(), &["reload", manifest.to_str().unwrap()]);
            assert!(done.status.success(), "{done:?}");
            eventually("those that are there share", || pair.shares() == [shares]);
        }
        assert_eq!(
            edge("consumer all"),
            connection,
            "it has another connection"
        );
        // The records that the feed has sent before it stops are read.
        feed.signal(Signal::TERM);
        let feed = Ledger::of(feed.wait());
        let sent = feed.count("producer clock", "datums_out");
        assert_eq!((feed.exit, feed.lost), (Some(0), 0), "{}", feed.log);
        desk.signal(Signal::TERM);
        let desk = Ledger::of(desk.wait());
        for stage in ["consumer all", "operator slow", "consumer passed"] {
            assert_eq!(desk.count(stage, "lost"), 0, "{stage}\n{}", desk.log);
        }
        // The removed stages may have held records that no other stage receives; these are counted.
        let removed = ["consumer part", "consumer more"].map(|stage| desk.count(stage, "lost"));
        assert_eq!(desk.lost, removed.iter().sum::<u64>(), "{}", desk.log);
        let all = pair.seqs("all.jsonl");
        assert!(all.iter().copied().eq(0..sent), "{} of {sent}", all.len());
        assert_eq!(sent, desk.count("consumer all", "datums_in"));
        let passed = pair.seqs("passed.jsonl");
        assert!(passed.iter().copied().eq(0..sent));
        for file in ["part.jsonl", "more.jsonl"] {
            let seqs = pair.seqs(file);
            assert!(seqs.is_sorted_by(|a, b| a < b), "{file} has repeats");
        }
        for file in ["all", "passed", "part", "more"] {
            let _ = fs::remove_file(pair.folder().join(format!("{file}.jsonl")));
        }
    }
}

/// Only sinks: the unwritten output of an operator is lost with its node.
const SINKS: &str = "streams: {ticks: {scope: network}}
consumers:
  all: {from: ticks, to: {file: {path: all.jsonl}}}
  small: {from: {stream: ticks, buffer_size: 4, batch_size: 4}, to: {file: {path: small.jsonl}}}
  part: {from: {stream: ticks, criteria: {seq: {lt: 1000}}}, to: {file: {path: part.jsonl}}}
";

#[test]
fn a_restarted_reader_resumes_after_the_slowest_of_its_stages() {
    const RECORDS: u64 = 20_000;
    for seed in 0..seeds() {
        let mut random = Random::seeded(seed);
        let settings = format!("rate: 10000, count: {RECORDS}");
        let pair = Pair::new("online_when: {producer: {minimum_of: 2}}", &settings);
        let feed = pair.up(&pair.feed, &[]);
        let mut manifest = pair.desk(SINKS);
        for _ in 0..3 {
            let before = pair.seqs("all.jsonl").len();
            let desk = pair.up(&manifest, &[]);
            eventually("records come", || {
                pair.seqs("all.jsonl").len() > before + 100
            });
            thread::sleep(Duration::from_millis(random.below(200)));
            if random.below(2) == 0 {
                desk.kill();
            } else {
                desk.signal(Signal::TERM);
                let desk = Ledger::of(desk.wait());
                assert_eq!((desk.exit, desk.lost), (Some(0), 0), "{}", desk.log);
            }
            // After the restart, the node has other stages beside those.
            manifest = pair.desk(&SINKS.replace("  part:", "  other:"));
        }
        let desk = pair.up(&manifest, &["--exit-when-done"]);
        let desk = Ledger::of(desk.wait_within(Duration::from_mins(2)));
        assert_eq!((desk.exit, desk.lost), (Some(0), 0), "{}", desk.log);
        let mut repeats = 0;
        for file in ["all.jsonl", "small.jsonl"] {
            let seqs = pair.seqs(file);
            let distinct: BTreeSet<u64> = seqs.iter().copied().collect();
            repeats += (seqs.len() - distinct.len()) as u64;
            let missing: Vec<u64> = (0..RECORDS).filter(|seq| !distinct.contains(seq)).collect();
            assert!(
                missing.is_empty() && distinct.len() as u64 == RECORDS,
                "{file} lacks {} records: {:?} to {:?}",
                missing.len(),
                missing.first(),
                missing.last()
            );
        }
        feed.signal(Signal::TERM);
        let feed = Ledger::of(feed.wait());
        let redelivered = feed.stream("ticks", "redelivered");
        assert!(repeats <= 2 * redelivered, "{repeats} of {redelivered}");
        assert_eq!((feed.exit, feed.lost), (Some(0), 0), "{}", feed.log);
        println!("seed {seed}: {repeats} repeats, {redelivered} redelivered");
    }
}
