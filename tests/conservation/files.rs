//! Tests a log that is rotated, truncated or torn while it is followed, and an output file that is
//! rotated, deleted or temporarily not writable: every line is written exactly once.

mod log;
mod output;

use std::{
    fs,
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use self::{
    log::{Input, Log},
    output::{Fault, Output},
};
use super::{
    ledger::{Ledger, up},
    random::Random,
    seeds,
};
use crate::support::{LIMIT, eventually, mounted::NOT_MOUNTED, write};

const LINES: u64 = 4000;
/// Number of times that lines are appended.
const ROUNDS: u64 = 18;

#[test]
fn trailing_bad_lines_of_a_followed_file_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let manifest = "mosaik: v1
streams: {lines: {encoding: text}}
producers: {read: {from: {file: {path: log, follow: true}}, to: lines}}
consumers: {write: {from: lines, to: {file: {path: out}}}}
";
    fs::write(folder.join("log"), "good\n").unwrap();
    let node = up(&write(folder, "m.yaml", manifest));
    eventually("something is written", || {
        fs::read_to_string(folder.join("out")).is_ok_and(|out| out == "good\n")
    });
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

/// Writes and rotates a log beside a node that copies it, and compares the output with the log.
#[expect(clippy::print_stdout, reason = "a test reports what it skips")]
fn run(input: Input, fault: Fault, seed: u64) {
    let mut random = Random::seeded(seed);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut log = Log::new(folder.join("log.jsonl"));
    let Some(mut output) = Output::new(folder, fault) else {
        println!("skipped {fault:?}: {NOT_MOUNTED}");
        return;
    };
    let manifest = "mosaik: v1
streams: {lines: {}, some: {}}
producers: {read: {from: {file: {path: log.jsonl, follow: true}}, to: lines}}
operators: {pass: {wasm: 'builtin:jq', from: lines, to: some, config: {filter: .}}}
consumers: {write: {from: some, to: {file: {path: out/out.jsonl}}}}
";
    let node = up(&write(folder, "m.yaml", manifest));
    node.logged("generation 1 runs");
    for round in 0..ROUNDS {
        let (first, end) = (LINES * round / ROUNDS, LINES * (round + 1) / ROUNDS);
        log.write(input, first..end, &mut random, |written| {
            output.settle(written);
        });
        output.happen(&node, round, end, &mut random);
        thread::sleep(Duration::from_millis(40 + random.below(120)));
    }
    log.end(input);
    let until = Instant::now() + LIMIT;
    while (output.contents().distinct() as u64) < LINES && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
    if input == Input::Torn {
        // The torn line brings no record.
        eventually("the torn line is read", || log.is_read_by(node.pid()));
    }
    node.signal(Signal::TERM);
    let ledger = Ledger::of(node.wait());
    let context = format!("seed {seed}, {input:?}, {fault:?}\n{}", ledger.log);
    assert_eq!((ledger.exit, ledger.lost), (Some(0), 0), "{context}");
    let of = |stage| ledger.count(stage, "datums_out");
    let flow = ["producer read", "operator pass", "consumer write"].map(of);
    assert_eq!(flow, [LINES; 3], "{context}");
    let torn = if input == Input::Torn {
        "unfinished=1 normal"
    } else {
        ""
    };
    assert_eq!(ledger.counters("producer read"), torn, "{context}");
    output.assert_has_each_once(LINES, &context);
}

/// Runs all cases at the same time, since they mostly wait.
fn run_all(cases: &[(Input, Fault)]) {
    for seed in 0..seeds().div_ceil(3) {
        thread::scope(|scope| {
            for &(input, fault) in cases {
                scope.spawn(move || run(input, fault, seed));
            }
        });
    }
}

#[test]
fn every_line_of_a_rotated_log_comes_out_once() {
    run_all(&[
        (Input::Renamed, Fault::None),
        (Input::Truncated, Fault::None),
        (Input::Torn, Fault::None),
    ]);
}

#[test]
fn an_output_that_is_rotated_or_deleted_has_every_line_once() {
    run_all(&[
        (Input::Renamed, Fault::Renamed),
        (Input::Renamed, Fault::RenamedAndTold),
        (Input::Torn, Fault::Deleted),
        (Input::Renamed, Fault::DeletedInFlight),
        (Input::Truncated, Fault::FolderRenamed),
        (Input::Renamed, Fault::FolderDeleted),
    ]);
}

#[test]
fn an_output_that_cannot_be_written_for_a_while_has_every_line_once() {
    run_all(&[
        (Input::Renamed, Fault::FolderReplaced),
        (Input::Renamed, Fault::DiskFull),
        (Input::Torn, Fault::DiskFullAndRenamed),
        (Input::Renamed, Fault::Torn),
    ]);
}
