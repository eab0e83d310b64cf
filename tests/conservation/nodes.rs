//! Tests two processes, a feed and a desk. The desk is killed, stopped and started again, or
//! suspended for a while. The desk's file must contain each record of the feed, and the feed must
//! have counted the duplicates in it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use super::{
    ledger::{Ledger, up},
    random::Random,
    seeds,
};
use crate::support::{Done, Node, eventually, free_ports, identity, write};

const RECORDS: u64 = 30_000;
/// Records per second.
const RATE: u64 = 6000;

/// The fault of the desk, or of the feed.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// SIGKILL, then a new start.
    Kill,
    /// SIGTERM, then a new start.
    Stop,
    /// SIGSTOP, and SIGCONT after a while: to the feed or the desk.
    Halt { feed: bool },
}

fn manifests(folder: &Path) -> [PathBuf; 2] {
    let [feed_port, desk_port] = free_ports();
    let [(feed_key, feed_id), (desk_key, desk_id)] = [identity(), identity()];
    let head = |key: &str, port: u16, peer: &str, peer_port: u16| {
        format!(
            "mosaik: v1\nnetwork: conservation\nnode:\n  secret_key: \"{key}\"\n  listen: [\"127.0.0.1:{port}\"]\n  \
             bootstrap: [\"{peer}@127.0.0.1:{peer_port}\"]\n"
        )
    };
    let feed = format!(
        "{}streams: {{ids: {{scope: network, online_when: {{producer: {{minimum_of: 1}}}}}}}}\n\
         producers: {{make: {{from: {{generate: {{count: {RECORDS}, rate: {RATE}}}}}, to: ids}}}}\n",
        head(&feed_key, feed_port, &desk_id, desk_port)
    );
    let desk = format!(
        "{}streams: {{ids: {{scope: network}}}}\n\
         consumers: {{write: {{from: ids, to: {{file: {{path: out.jsonl}}}}}}}}\n",
        head(&desk_key, desk_port, &feed_id, feed_port)
    );
    [
        write(folder, "feed.yaml", feed),
        write(folder, "desk.yaml", desk),
    ]
}

/// Returns each id in the desk's file, with its number of occurrences.
fn written(folder: &Path) -> BTreeMap<u64, u64> {
    let text = fs::read_to_string(folder.join("out.jsonl")).unwrap_or_default();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        // The start of a line that a kill has cut off.
        let record = &line[line.rfind('{').unwrap_or(0)..];
        if let Ok(record) = serde_json::from_str::<Value>(record) {
            *found.entry(record["seq"].as_u64().unwrap()).or_default() += 1;
        }
    }
    found
}

/// Returns a figure that the feed logs at its end.
fn logged(done: &Done, field: &str) -> u64 {
    let lines = done.stderr.lines();
    let fields = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let stream = fields.filter(|line| line["stream"] == "ids" && line["message"] == "summary");
    stream.filter_map(|line| line[field].as_u64()).sum()
}

fn happen(
    fault: Fault,
    feed: &Node,
    desk: Node,
    manifest: &Path,
    random: &mut Random,
) -> (Node, u64) {
    match fault {
        Fault::Kill => {
            desk.kill();
            (start(manifest), 0)
        }
        Fault::Stop => {
            desk.signal(Signal::TERM);
            let ledger = Ledger::of(desk.wait());
            (
                start(manifest),
                ledger.count("consumer write", "undelivered") + ledger.lost,
            )
        }
        Fault::Halt { feed: of_feed } => {
            let halted = if of_feed { feed } else { &desk };
            halted.signal(Signal::STOP);
            thread::sleep(Duration::from_millis(200 + random.below(3000)));
            halted.signal(Signal::CONT);
            (desk, 0)
        }
    }
}

/// Starts a desk.
fn start(manifest: &Path) -> Node {
    let desk = up(manifest);
    desk.logged("generation 1 runs");
    desk
}

/// A feed that is stopped while it does not know yet that its reader is dead does not use up the
/// time that it would leave a living one.
#[test]
fn a_feed_stops_soon_after_its_reader_has_died() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [feed_manifest, desk_manifest] = manifests(folder);
    let feed = up(&feed_manifest);
    let desk = start(&desk_manifest);
    eventually("records flow", || !written(folder).is_empty());
    desk.kill();
    let stopped = Instant::now();
    feed.signal(Signal::TERM);
    let ledger = Ledger::of(feed.wait());
    let took = stopped.elapsed();
    assert!(took < Duration::from_secs(20), "it took {took:?}");
    let made = ledger.count("producer make", "datums_out");
    let lost = made - written(folder).len() as u64;
    assert!(ledger.lost >= lost, "{} counted, {lost} lost", ledger.lost);
}

#[test]
fn a_reader_gets_every_record_despite_failures() {
    for seed in 0..seeds().div_ceil(3) {
        for fault in [
            Fault::Kill,
            Fault::Stop,
            Fault::Halt { feed: false },
            Fault::Halt { feed: true },
        ] {
            let mut random = Random::seeded(seed);
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            let [feed_manifest, desk_manifest] = manifests(folder);
            let feed = up(&feed_manifest);
            let mut desk = start(&desk_manifest);
            let mut left = 0;
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(300 + random.below(1000)));
                let lost;
                (desk, lost) = happen(fault, &feed, desk, &desk_manifest, &mut random);
                left += lost;
            }
            feed.logged("all inputs have ended");
            feed.signal(Signal::TERM);
            let done = feed.wait();
            desk.signal(Signal::TERM);
            let ledger = Ledger::of(desk.wait());
            let context = format!(
                "seed {seed}, {fault:?}\nfeed:\n{}\ndesk:\n{}",
                done.stderr, ledger.log
            );
            assert_eq!(
                (done.status.code(), ledger.exit),
                (Some(0), Some(0)),
                "{context}"
            );

            let found = written(folder);
            let missing = (0..RECORDS).filter(|id| !found.contains_key(id)).count();
            assert_eq!((missing, left), (0, 0), "{context}");
            let twice: u64 = found.values().map(|times| times - 1).sum();
            let redelivered = logged(&done, "redelivered");
            match fault {
                Fault::Kill => assert!(twice <= redelivered, "{twice} of {redelivered}\n{context}"),
                Fault::Stop | Fault::Halt { .. } => assert_eq!(twice, 0, "{context}"),
            }
        }
    }
}
