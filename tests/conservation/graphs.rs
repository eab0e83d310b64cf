//! Tests a branched graph of built-in operators while nothing happens, a signal stops the node, or
//! the manifest is reloaded repeatedly. Each record that the source has read is written exactly
//! once, and every edge delivers all records of its writer.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use super::{
    ledger::{Ledger, up},
    random::Random,
    seeds,
};
use crate::support::{Node, root, write};

pub(super) const RECORDS: u64 = 60_000;

/// Returns JSON lines with a number and a time.
pub(super) fn numbered(records: u64) -> String {
    let record = |id| format!("{{\"id\":{id},\"at\":1700000000000}}\n");
    (0..records).map(record).collect()
}

/// Ids pass through a map and are split by their size; the small ones are deduplicated and counted.
pub(super) fn manifest(folder: &Path, instances: u64, generation: u64) -> PathBuf {
    let text = format!(
        "mosaik: v1
streams: {{read: {{}}, mapped: {{}}, small: {{}}, large: {{}}, once: {{}}, counts: {{}}}}
producers:
  read: {{from: {{file: {{path: in.jsonl}}}}, to: read}}
operators:
  map: {{wasm: 'builtin:jq', from: read, to: mapped, instances: {instances}, config: {{filter: '. + {{generation: {generation}}}'}}}}
  divide: {{wasm: 'builtin:split', from: mapped, to: {{a: small, other: large}}, config: {{routes: [{{to: a, when: {{id: {{lt: 30000}}}}}}]}}}}
  once: {{wasm: 'builtin:dedupe', from: small, to: once, config: {{by: id}}}}
  count: {{wasm: 'builtin:window', from: once, to: counts, config: {{time: at, every: 1d, aggregate: {{n: count}}}}}}
consumers:
  large: {{from: large, to: {{file: {{path: large.jsonl}}}}}}
  once: {{from: once, to: {{file: {{path: once.jsonl}}}}}}
  counts: {{from: counts, to: {{file: {{path: counts.jsonl}}}}}}
"
    );
    write(folder, "m.yaml", text)
}

pub(super) fn values(folder: &Path, file: &str, field: &str) -> Vec<u64> {
    let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
    let value = |line: &str| serde_json::from_str::<Value>(line).unwrap()[field].as_u64();
    text.lines().map(|line| value(line).unwrap()).collect()
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Nothing,
    Stop,
    Reloads,
}

/// Causes the fault while the node runs.
fn happen(fault: Fault, folder: &Path, node: &Node, random: &mut Random) {
    match fault {
        Fault::Nothing => {}
        Fault::Stop => {
            node.logged("generation 1 runs");
            thread::sleep(Duration::from_millis(random.below(300)));
            node.signal(Signal::TERM);
        }
        Fault::Reloads => {
            // The manifest is written in place, so a start could find it empty.
            node.logged("generation 1 runs");
            for generation in 2..2 + random.below(8) {
                let instances = 1 + random.below(3);
                manifest(folder, instances, generation);
                thread::sleep(Duration::from_millis(random.below(200)));
            }
        }
    }
}

#[test]
fn every_record_read_is_written_once() {
    for seed in 0..seeds() {
        for fault in [Fault::Nothing, Fault::Stop, Fault::Reloads] {
            let mut random = Random::seeded(seed);
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            write(folder, "in.jsonl", numbered(RECORDS));
            let manifest = manifest(folder, 1 + random.below(3), 1);
            let node = up(&manifest);
            happen(fault, folder, &node, &mut random);
            let ledger = Ledger::of(node.wait_within(Duration::from_mins(3)));

            let context = format!("seed {seed}, {fault:?}\n{}", ledger.log);
            assert_eq!((ledger.exit, ledger.lost), (Some(0), 0), "{context}");
            for (writer, reader) in [
                ("producer read", "operator map"),
                ("operator map", "operator divide"),
                ("operator once", "operator count"),
                ("operator once", "consumer once"),
                ("operator count", "consumer counts"),
            ] {
                ledger.flows(writer, reader);
            }
            let read = ledger.count("producer read", "datums_in");
            let (once, large) = (
                values(folder, "once.jsonl", "id"),
                values(folder, "large.jsonl", "id"),
            );
            let all: BTreeSet<u64> = once.iter().chain(&large).copied().collect();
            assert_eq!((once.len() + large.len()) as u64, read, "{context}");
            assert_eq!(all, (0..read).collect(), "{context}");
            let counted: u64 = values(folder, "counts.jsonl", "n").iter().sum();
            assert_eq!(counted, once.len() as u64, "{context}");
        }
    }
}

/// Checks the examples that finish, or are stopped.
#[test]
fn the_examples_add_up() {
    let ledger = Ledger::of(up(&root().join("manifests/quickstart.yaml")).wait());
    assert_eq!((ledger.exit, ledger.lost), (Some(0), 0), "{}", ledger.log);
    for (writer, reader) in [
        ("producer stocks", "operator yearly"),
        ("operator yearly", "operator tidy"),
        ("operator tidy", "consumer print"),
    ] {
        ledger.flows(writer, reader);
    }

    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(root().join("manifests/follow.yaml")).unwrap();
    let data = write(
        folder.path(),
        "live.jsonl",
        "{\"city\":\"Lisbon\",\"celsius\":21.5}\n",
    );
    let text = text.replace("data/live.jsonl", &data.display().to_string());
    let node = up(&write(folder.path(), "m.yaml", text));
    node.stdout_lines(1);
    node.signal(Signal::TERM);
    let ledger = Ledger::of(node.wait());
    assert_eq!((ledger.exit, ledger.lost), (Some(0), 0), "{}", ledger.log);
}
