//! Runs large jobs of the built-in operators on a busy machine: with the default settings, no
//! record is lost.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;

use super::ledger::{Ledger, up};
use crate::support::{run, write};

/// Time limit of one job in a debug build beside the busy loops: 4 minutes.
const LIMIT: Duration = Duration::from_mins(4);

/// Threads that compute without purpose until this is dropped.
struct Loops {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Loops {
    fn start(count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..count).map(|_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn lines(folder: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn manifest(folder: &Path, operator: &str) -> std::path::PathBuf {
    let text = format!(
        "mosaik: v1\nstreams: {{in: {{}}, out: {{}}}}\n\
         producers: {{in: {{from: {{file: {{path: in.jsonl}}}}, to: in}}}}\n\
         operators: {{op: {{from: in, to: out, {operator}}}}}\n\
         consumers: {{out: {{from: out, to: {{file: {{path: out.jsonl}}}}}}}}\n"
    );
    let path = write(folder, "m.yaml", text);
    // Compile before the machine is busy.
    let checked = run(["check".as_ref(), path.as_os_str()]);
    assert!(checked.status.success(), "{}", checked.stderr);
    path
}

/// Runs a graph to its end beside this number of loops, and checks that it lost no records.
#[track_caller]
fn run_beside(loops: usize, manifest: &Path) -> Ledger {
    let loops = Loops::start(loops);
    let ledger = Ledger::of(up(manifest).wait_within(LIMIT));
    drop(loops);
    assert_eq!((ledger.exit, ledger.lost), (Some(0), 0), "{}", ledger.log);
    ledger
}

#[test]
fn windows_of_many_keys_are_whole() {
    const RECORDS: u64 = 200_000;
    const KEYS: u64 = 50_000;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut text = String::new();
    let mut sums: BTreeMap<u64, u64> = BTreeMap::new();
    for id in 0..RECORDS {
        let key = id * 7919 % KEYS;
        *sums.entry(key).or_default() += id;
        writeln!(
            text,
            r#"{{"id":{id},"key":{key},"at":{}}}"#,
            1_700_000_000_000 + id
        )
        .unwrap();
    }
    write(folder, "in.jsonl", text);
    let operator = "wasm: 'builtin:window', config: {by: key, time: at, every: 1d, aggregate: {sum: {sum: id}, n: count}}";
    let ledger = run_beside(16, &manifest(folder, operator));
    assert_eq!(ledger.count("operator op", "absorbed"), RECORDS);
    let found: BTreeMap<u64, u64> = lines(folder, "out.jsonl")
        .iter()
        .map(|window| {
            assert_eq!(window["n"], RECORDS / KEYS);
            // Sums are numbers such as `14.0`.
            let sum = window["sum"].to_string();
            let sum = sum.strip_suffix(".0").unwrap_or(&sum).parse().unwrap();
            (window["key"].as_u64().unwrap(), sum)
        })
        .collect();
    assert_eq!(found.len() as u64, KEYS);
    assert_eq!(found, sums);
}

#[test]
fn a_duplicate_never_passes() {
    const RECORDS: u64 = 300_000;
    const KEYS: u64 = 180_000;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut text = String::new();
    for id in 0..RECORDS {
        writeln!(text, r#"{{"key":{}}}"#, id * 7919 % KEYS).unwrap();
    }
    write(folder, "in.jsonl", text);
    let operator = "wasm: 'builtin:dedupe', limits: {memory: 256MiB}, config: {by: key, max_keys: 1000000, max_bytes: 64MiB}";
    let ledger = run_beside(8, &manifest(folder, operator));
    let of = |figure| ledger.count("operator op", figure);
    assert_eq!([of("answered"), of("filtered")], [KEYS, RECORDS - KEYS]);
    assert_eq!(lines(folder, "out.jsonl").len() as u64, KEYS);
}

#[test]
fn a_filter_sees_every_record() {
    const RECORDS: u64 = 30_000;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut text = String::new();
    for id in 0..RECORDS {
        writeln!(text, r#"{{"id":{id},"price":{},"qty":2}}"#, id % 100).unwrap();
    }
    write(folder, "in.jsonl", text);
    let operator = "wasm: 'builtin:jq', config: {filter: 'select(.price < 50) | {id, total: (.price * .qty)}'}";
    let ledger = run_beside(16, &manifest(folder, operator));
    let of = |figure| ledger.count("operator op", figure);
    assert_eq!([of("answered"), of("filtered")], [RECORDS / 2, RECORDS / 2]);
    let expected: Vec<_> = (0..RECORDS)
        .filter(|id| id % 100 < 50)
        .map(|id| serde_json::json!({"id": id, "total": id % 100 * 2}))
        .collect();
    assert_eq!(lines(folder, "out.jsonl"), expected);
}
