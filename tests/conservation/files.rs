//! Tests a log that is rotated while it is followed, and an output file that is rotated or
//! temporarily unwritable: every line is written exactly once.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use super::{
    ledger::{Ledger, up},
    random::Random,
    seeds,
};
use crate::support::{LIMIT, Node, write};

const LINES: u64 = 4000;
/// Number of times that lines are appended.
const ROUNDS: u64 = 20;

/// A log that is rotated like those of ordinary programs.
struct Log {
    path: PathBuf,
    rotations: u32,
}

impl Log {
    fn append(&self, ids: std::ops::Range<u64>) {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .unwrap();
        let lines: Vec<_> = ids.map(|id| format!("{{\"id\":{id}}}\n")).collect();
        file.write_all(lines.concat().as_bytes()).unwrap();
    }

    /// Renames the log and, if `is_made_anew` is true, creates it again immediately.
    fn rotate(&mut self, is_made_anew: bool) {
        self.rotations += 1;
        let old = self.path.with_extension(self.rotations.to_string());
        fs::rename(&self.path, old).unwrap();
        if is_made_anew {
            self.append(0..0);
        }
    }
}

/// Returns the ids in all files whose names start with `name`, sorted.
fn ids(folder: &Path, name: &str) -> Vec<u64> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(name)
        {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64();
        ids.extend(text.lines().map(|line| id(line).unwrap()));
    }
    ids.sort_unstable();
    ids
}

/// The fault of the output file.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Nothing,
    /// It is renamed, and the node may be notified.
    Rotated,
    /// A file temporarily replaces its folder.
    Blocked,
}

fn happen(fault: Fault, folder: &Path, node: &Node, round: u64, random: &mut Random) {
    let out = folder.join("out/out.jsonl");
    match fault {
        Fault::Rotated if out.exists() => {
            fs::rename(&out, folder.join(format!("out/out.{round}"))).unwrap();
            if random.below(2) == 0 {
                node.signal(Signal::HUP);
            }
        }
        Fault::Blocked if round == 3 => {
            fs::rename(folder.join("out"), folder.join("moved")).unwrap();
            fs::write(folder.join("out"), "").unwrap();
        }
        Fault::Blocked if round == 12 => {
            fs::remove_file(folder.join("out")).unwrap();
            fs::rename(folder.join("moved"), folder.join("out")).unwrap();
        }
        Fault::Nothing | Fault::Rotated | Fault::Blocked => {}
    }
}

#[test]
fn lines_that_a_followed_file_ends_with_are_counted_although_no_record_follows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let manifest = "mosaik: v1
streams: {lines: {encoding: text}}
producers: {read: {from: {file: {path: log, follow: true}}, to: lines}}
consumers: {write: {from: lines, to: {file: {path: out}}}}
";
    fs::write(folder.join("log"), "good\n").unwrap();
    let node = up(&write(folder, "m.yaml", manifest));
    let until = Instant::now() + LIMIT;
    while fs::read_to_string(folder.join("out")).unwrap_or_default() != "good\n" {
        assert!(Instant::now() < until, "nothing was written");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut log = fs::OpenOptions::new()
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    log.write_all(b"\xff\nnot whole").unwrap();
    node.logged("is not UTF-8");
    node.signal(Signal::TERM);
    let ledger = Ledger::of(node.wait());
    assert_eq!((ledger.exit, ledger.lost), (Some(5), 1), "{}", ledger.log);
    for said in ["1 invalid", "unfinished=1 normal"] {
        assert!(ledger.log.contains(said), "{said}: {}", ledger.log);
    }
}

#[test]
fn every_line_of_a_rotated_log_comes_out_once() {
    for seed in 0..seeds().div_ceil(3) {
        for fault in [Fault::Nothing, Fault::Rotated, Fault::Blocked] {
            let mut random = Random::seeded(seed);
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            let mut log = Log {
                path: folder.join("log.jsonl"),
                rotations: 0,
            };
            log.append(0..0);
            let manifest = "mosaik: v1
streams: {lines: {}, some: {}}
producers: {read: {from: {file: {path: log.jsonl, follow: true}}, to: lines}}
operators: {pass: {wasm: 'builtin:jq', from: lines, to: some, config: {filter: .}}}
consumers: {write: {from: some, to: {file: {path: out/out.jsonl}}}}
";
            let node = up(&write(folder, "m.yaml", manifest));
            node.logged("generation 1 runs");
            for round in 0..ROUNDS {
                let part = LINES / ROUNDS;
                let (first, last) = (round * part, (round + 1) * part);
                let mut from = first;
                // Rotate several times in a row, which leaves empty files in between.
                for _ in 0..random.below(4) {
                    let to = from + random.below(last - from);
                    log.append(from..to);
                    log.rotate(true);
                    from = to;
                }
                log.append(from..last);
                if random.below(3) == 0 {
                    log.rotate(random.below(2) == 0);
                }
                happen(fault, folder, &node, round, &mut random);
                std::thread::sleep(Duration::from_millis(20 + random.below(80)));
            }
            let until = Instant::now() + LIMIT;
            while (ids(&folder.join("out"), "out").len() as u64) < LINES && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(20));
            }
            node.signal(Signal::TERM);
            let ledger = Ledger::of(node.wait());
            let context = format!("seed {seed}, {fault:?}\n{}", ledger.log);
            assert_eq!((ledger.exit, ledger.lost), (Some(0), 0), "{context}");
            let of = |stage| ledger.count(stage, "datums_out");
            let flow = ["producer read", "operator pass", "consumer write"].map(of);
            assert_eq!(flow, [LINES; 3], "{context}");
            let all: Vec<_> = (0..LINES).collect();
            assert_eq!(ids(folder, "log"), all, "{context}");
            assert_eq!(ids(&folder.join("out"), "out"), all, "{context}");
        }
    }
}
