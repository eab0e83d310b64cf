//! Tests that a node with checkpoints that is killed writes each record of its source exactly once, as if nothing had
//! happened.

use std::{collections::BTreeSet, fs, path::Path, thread, time::Duration};

use super::{
    graphs::{RECORDS, manifest, numbered, values},
    ledger::{Ledger, up},
    random::Random,
    seeds,
};
use crate::support::write;

/// Adds checkpoints to a manifest of the branched graph, which follows its input until the last start.
fn with_checkpoints(folder: &Path, random: &mut Random, is_last: bool) -> std::path::PathBuf {
    let path = manifest(folder, 1 + random.below(3), 1);
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace(
        "mosaik: v1",
        "mosaik: v1\ncheckpoint: {every: 50ms, path: state}",
    );
    let follow = format!("{{path: in.jsonl, follow: {}}}", !is_last);
    write(folder, "m.yaml", text.replace("{path: in.jsonl}", &follow))
}

#[test]
fn a_killed_node_writes_every_record_once() {
    for seed in 0..seeds() {
        let mut random = Random::seeded(seed);
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write(folder, "in.jsonl", numbered(RECORDS));
        let mut logs = String::new();
        for _ in 0..2 + random.below(6) {
            let node = up(&with_checkpoints(folder, &mut random, false));
            node.logged("generation 1 runs");
            thread::sleep(Duration::from_millis(random.below(250)));
            logs += &node.kill_running();
        }
        let node = up(&with_checkpoints(folder, &mut random, true));
        let ledger = Ledger::of(node.wait_within(Duration::from_mins(3)));
        let context = format!("seed {seed}\n{logs}\n{}", ledger.log);
        assert_eq!((ledger.exit, ledger.lost), (Some(0), 0), "{context}");
        assert!(logs.contains("goes on from checkpoint"), "{context}");
        let (once, large) = (
            values(folder, "once.jsonl", "id"),
            values(folder, "large.jsonl", "id"),
        );
        assert_eq!((once.len() + large.len()) as u64, RECORDS, "{context}");
        let all: BTreeSet<u64> = once.iter().chain(&large).copied().collect();
        assert_eq!(all, (0..RECORDS).collect(), "{context}");
        let counted: u64 = values(folder, "counts.jsonl", "n").iter().sum();
        assert_eq!(counted, once.len() as u64, "{context}");
    }
}
