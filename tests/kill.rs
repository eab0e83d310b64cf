//! Kills a node with checkpoints at random moments, again and again, and compares its outputs with
//! those of a run that nothing has disturbed.
//!
//! About 100 kills are spread over the graphs. `MOSAIK_KILLS=1000` kills more often, and the input
//! grows with it; `MOSAIK_SEED` chooses other moments. A failure names its seed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changed;
mod feed;
mod storm;
mod two_nodes;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use self::storm::{Graph, Outcome, storm};
use crate::support::{Done, Node, runner, write};

fn number_in(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Returns the share in percent of all kills, and the seed of their moments.
fn kills(share: u64) -> (u64, u64) {
    let kills = number_in("MOSAIK_KILLS").unwrap_or(100);
    let kills = (kills * share / 100).max(1);
    (kills, number_in("MOSAIK_SEED").unwrap_or(1))
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
fn a_graph_that_has_ended_begins_again() {
    let folder = tempfile::tempdir().unwrap();
    let case = Case::new(folder.path(), CHAIN, &input(20_000));
    succeeds(&case.up().wait());
    let once = case.output();
    let again = case.up().wait();
    succeeds(&again);
    assert_same(&case.output(), &once.repeat(2), &again.stderr);
}

/// The chain, which follows its input. Its variants differ in a setting that changes nothing.
const FOLLOWED_CHAIN: Graph = Graph {
    manifest: |variant| {
        let text = CHAIN.replace("{path: in.jsonl}", "{path: in.jsonl, follow: true}");
        let text = text.replace("counts: {}", "counts: {}, letters: {}");
        let to = format!(
            "to: once, on_error: {{to: letters}}, limits: {{time: {}s}},",
            10 + variant
        );
        let letters = "{letters: {from: letters, to: {file: {path: letters.jsonl}}}, out:";
        text.replace("to: once,", &to).replace("{out:", letters)
    },
    variants: 2,
    rotates: false,
    inputs: Vec::new,
    outputs: &["out.jsonl", "letters.jsonl"],
    letters: "letters.jsonl",
};

#[test]
fn a_chain_with_state_writes_what_it_would_have_written() {
    let folder = tempfile::tempdir().unwrap();
    let (kills, seed) = kills(40);
    let outcome = storm(folder.path(), FOLLOWED_CHAIN, kills, seed);
    for (found, expected) in outcome.found.iter().zip(&outcome.expected) {
        assert_same(found, expected, &outcome.context);
    }
}

/// A rotated file through several instances that reject some records, a window and a join with a second file. The
/// variants differ in the number of instances, in an operator's code and in the ticks.
const BRANCHED: Graph = Graph {
    manifest: |variant| {
        let (instances, joined) = (1 + variant % 3, 2 + variant % 2);
        let filter = [".", ". | ."][(variant % 2) as usize];
        format!(
            "mosaik: v1
checkpoint: {{every: 50ms, path: state}}
streams: {{read: {{}}, same: {{}}, once: {{}}, counts: {{}}, limits: {{}}, joined: {{}}, letters: {{}}}}
producers:
  read: {{from: {{file: {{path: in.jsonl, follow: true}}}}, to: read}}
  limits: {{from: {{file: {{path: limits.jsonl}}}}, to: limits}}
operators:
  same: {{wasm: 'builtin:jq', from: read, to: same, on_error: {{to: letters}}, config: {{filter: '{filter}'}}}}
  once: {{wasm: 'builtin:dedupe', from: same, to: once, instances: {instances}, key: id, config: {{by: id, max_keys: 20000}}}}
  count: {{wasm: 'builtin:window', from: once, to: counts, tick: {}ms, config: {{time: at, every: 10s, lateness: 5m, by: group, aggregate: {{n: count, sum: {{sum: id}}}}}}}}
  join: {{wasm: 'builtin:join', from: {{left: counts, right: limits}}, to: joined, instances: {joined}, key: group, config: {{by: group, within: 365d, output: merged}}}}
consumers:
  out: {{from: joined, to: {{file: {{path: out.jsonl}}}}}}
  counts: {{from: counts, to: {{file: {{path: counts.jsonl}}}}}}
  letters: {{from: letters, to: {{file: {{path: letters.jsonl}}}}}}
",
            50 + variant
        )
    },
    variants: 6,
    rotates: true,
    inputs: || vec![("limits.jsonl", feed::groups())],
    outputs: &["out.jsonl", "counts.jsonl", "letters.jsonl"],
    letters: "letters.jsonl",
};

/// Returns the lines of each group, in order. Lines without a group are one group.
fn by_group(text: &str) -> BTreeMap<String, Vec<&str>> {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let group = value["group"].as_str().unwrap_or_default().to_owned();
        groups.entry(group).or_default().push(line);
    }
    groups
}

#[test]
fn a_branched_graph_with_instances_writes_what_it_would_have_written() {
    let folder = tempfile::tempdir().unwrap();
    let (kills, seed) = kills(60);
    let Outcome {
        found,
        expected,
        context,
    } = storm(folder.path(), BRANCHED, kills, seed);
    for (found, expected) in found.iter().zip(&expected) {
        let (found, expected) = (by_group(found), by_group(expected));
        assert_eq!(found.len(), expected.len(), "{context}");
        for (group, lines) in &expected {
            assert_same(&found[group].join("\n"), &lines.join("\n"), &context);
        }
    }
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
