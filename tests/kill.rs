//! Kills a node with checkpoints at random moments, again and again, and compares its output with
//! that of a run that nothing has disturbed.
//!
//! A number of kills is spread over the seeds of `MOSAIK_KILLS`, 10 by default for each graph.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    conservation::random::Random,
    support::{Done, Node, runner, write},
};

/// Returns the number of times that each graph is killed.
fn kills() -> u64 {
    let kills = std::env::var("MOSAIK_KILLS").ok();
    kills.and_then(|kills| kills.parse().ok()).unwrap_or(10)
}

fn up(manifest: &Path, state: &Path) -> Node {
    let mut command = runner();
    command.env("XDG_STATE_HOME", state);
    command.arg("up").arg("--no-watch").arg(manifest);
    Node::spawn(command)
}

#[track_caller]
fn succeeds(done: &Done) {
    assert!(done.status.success(), "{}", done.stderr);
}

/// Compares outputs that are too long to be shown.
#[track_caller]
fn assert_same(found: &str, expected: &str, log: &str) {
    let lines = |text: &str| text.lines().count();
    let differ = found
        .lines()
        .zip(expected.lines())
        .position(|(one, other)| one != other);
    assert!(
        found == expected,
        "{} lines instead of {}, and line {differ:?} is the first that differs\n{log}",
        lines(found),
        lines(expected)
    );
}

/// A graph, in a folder of its own.
struct Case {
    folder: PathBuf,
    manifest: PathBuf,
}

impl Case {
    fn new(folder: &Path, manifest: &str, input: &str) -> Self {
        fs::create_dir_all(folder).expect("the folder is ours");
        fs::write(folder.join("in.jsonl"), input).expect("the folder is ours");
        Self {
            folder: folder.to_owned(),
            manifest: write(folder, "m.yaml", manifest),
        }
    }

    fn up(&self) -> Node {
        up(&self.manifest, &self.folder.join("state"))
    }

    fn output(&self) -> String {
        fs::read_to_string(self.folder.join("out.jsonl")).unwrap_or_default()
    }
}

/// Kills a node at random moments, and lets the last one end. Returns its log.
fn storm(case: &Case, kills: u64, pause_ms: u64, random: &mut Random) -> String {
    for _ in 0..kills {
        let node = case.up();
        thread::sleep(Duration::from_millis(random.below(pause_ms)));
        node.kill();
    }
    let done = case.up().wait();
    succeeds(&done);
    done.stderr
}

/// Records with an id that repeats, and a time.
fn input(records: u64) -> String {
    let mut text = String::new();
    for id in 0..records {
        let (key, at) = (id * 7919 % (records / 2), 1_700_000_000_000 + id * 10);
        let group = id % 50;
        // Writing to a text cannot fail.
        let _ = writeln!(text, r#"{{"id":{key},"at":{at},"group":"g{group}"}}"#);
    }
    text
}

const RECORDS: u64 = 200_000;

/// A file through dedupe and a window to a file.
const CHAIN: &str = "mosaik: v1
checkpoint: {every: 50ms}
streams: {read: {}, once: {}, counts: {}}
producers: {read: {from: {file: {path: in.jsonl}}, to: read}}
operators:
  once: {wasm: 'builtin:dedupe', from: read, to: once, config: {by: id}}
  count: {wasm: 'builtin:window', from: once, to: counts, config: {time: at, every: 1s, by: group, aggregate: {n: count, last: {last: id}}}}
consumers: {out: {from: counts, to: {file: {path: out.jsonl}}}}
";

#[test]
fn a_chain_with_state_writes_what_it_would_have_written() {
    let folder = tempfile::tempdir().unwrap();
    let input = input(RECORDS);
    let undisturbed = Case::new(&folder.path().join("a"), CHAIN, &input);
    succeeds(&undisturbed.up().wait());
    let expected = undisturbed.output();
    assert!(expected.lines().count() > 1000, "{}", expected.len());

    let killed = Case::new(&folder.path().join("b"), CHAIN, &input);
    let log = storm(&killed, kills(), 700, &mut Random::seeded(1));
    assert!(log.contains("goes on from checkpoint"), "{log}");
    assert_same(&killed.output(), &expected, &log);
    // It has ended, so the next start begins from the beginning.
    let again = killed.up().wait();
    succeeds(&again);
    assert_same(&killed.output(), &expected.repeat(2), &again.stderr);
}

#[test]
fn a_stop_is_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let input = input(RECORDS);
    let undisturbed = Case::new(&folder.path().join("a"), CHAIN, &input);
    succeeds(&undisturbed.up().wait());

    let stopped = Case::new(&folder.path().join("b"), CHAIN, &input);
    for pause in [100, 400, 50] {
        let node = stopped.up();
        node.logged("generation 1 runs");
        thread::sleep(Duration::from_millis(pause));
        node.signal(Signal::TERM);
        let done = node.wait();
        succeeds(&done);
        assert!(
            done.stderr.contains("nothing was dropped"),
            "{}",
            done.stderr
        );
    }
    succeeds(&stopped.up().wait());
    assert_same(&stopped.output(), &undisturbed.output(), "");
}

#[test]
fn a_fresh_start_discards_the_checkpoint_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let case = Case::new(folder.path(), CHAIN, &input(20_000));
    let node = case.up();
    node.logged("generation 1 runs");
    node.signal(Signal::TERM);
    succeeds(&node.wait());
    let mut command = runner();
    command.env("XDG_STATE_HOME", case.folder.join("state"));
    command.arg("up").arg("--fresh").arg(&case.manifest);
    let done = Node::spawn(command).wait();
    succeeds(&done);
    assert!(
        done.stderr.contains("discarded checkpoint"),
        "{}",
        done.stderr
    );
    assert!(!done.stderr.contains("goes on from"), "{}", done.stderr);
}
