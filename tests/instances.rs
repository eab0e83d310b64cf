//! Tests several instances of one operator: order, keys, failures, and a change of their number.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fs, path::Path};

use crate::support::{Node, guest::Guest, write};
use serde_json::Value;

const COUNT: u64 = 20_000;

/// Writes a manifest that passes numbered records through `op` into a file.
fn manifest(folder: &Path, op: &str) -> std::path::PathBuf {
    write(
        folder,
        "m.yaml",
        format!(
            "mosaik: v1\nnetwork: instances\nstreams: {{a: {{}}, b: {{}}}}\n\
             producers:\n  numbers: {{from: {{generate: {{count: {COUNT}}}}}, to: a}}\n\
             operators:\n  op: {{from: a, to: b, limits: {{time: 10s}}, {op}}}\n\
             consumers:\n  out: {{from: b, to: {{file: {{path: out.jsonl}}}}}}\n"
        ),
    )
}

fn out(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("out.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn without_a_key_the_order_is_as_with_one_instance() {
    let folder = tempfile::tempdir().unwrap();
    // Some records take far longer than others.
    let filter = "if .seq % 500 == 0 then ([range(20000)] | add) as $sum | .seq else .seq end";
    let op = format!("wasm: 'builtin:jq', instances: 4, config: {{filter: '{filter}'}}");
    let done = Node::up(&manifest(folder.path(), &op)).wait();
    assert!(done.status.success(), "{}", done.stderr);
    let expected: Vec<Value> = (0..COUNT).map(Value::from).collect();
    assert_eq!(out(folder.path()), expected);
}

#[test]
fn with_a_key_each_keys_order_is_kept_and_nothing_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let op = "wasm: 'builtin:jq', instances: 3, key: value, config: {filter: '[.value, .seq]'}";
    let done = Node::up(&manifest(folder.path(), op)).wait();
    assert!(done.status.success(), "{}", done.stderr);
    let mut by_key: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for pair in out(folder.path()) {
        let key = by_key.entry(pair[0].to_string()).or_default();
        key.push(pair[1].as_u64().unwrap());
    }
    assert!(by_key.len() > 900, "{}", by_key.len());
    assert!(by_key.values().all(|seqs| seqs.is_sorted()));
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>() as u64, COUNT);
}

#[test]
fn an_instance_that_stops_ends_the_stage() {
    let folder = tempfile::tempdir().unwrap();
    let filter = "if .seq == 7000 then error(\"no\") else .seq end";
    let op =
        format!("wasm: 'builtin:jq', instances: 3, on_error: stop, config: {{filter: '{filter}'}}");
    let done = Node::up(&manifest(folder.path(), &op)).wait();
    assert!(!done.status.success(), "{}", done.stderr);
    assert!(
        done.stderr.contains("rejected a record: no"),
        "{}",
        done.stderr
    );
    // All earlier records are there, in order.
    let seqs: Vec<u64> = out(folder.path())
        .iter()
        .map(|seq| seq.as_u64().unwrap())
        .collect();
    assert!(seqs.is_sorted() && !seqs.contains(&7000));
}

#[test]
fn a_trapped_instance_does_not_affect_the_others() {
    let folder = tempfile::tempdir().unwrap();
    // The first record of a batch is {"seq":0,…: the guest traps on batches whose first number
    // starts with 9, and then on each such record.
    let trap = "(if (i32.eq (i32.load8_u (i32.add (local.get $ptr) (i32.const 11))) (i32.const 57)) (then unreachable))
        (call $answer (local.get $port) (local.get $ptr) (local.get $len) (i32.const 0))";
    let guest = Guest {
        process: trap,
        ..Guest::default()
    };
    write(folder.path(), "op.wasm", guest.module());
    let done = Node::up(&manifest(
        folder.path(),
        "wasm: op.wasm, instances: 3, on_error: skip",
    ))
    .wait();
    assert!(done.status.success(), "{}", done.stderr);
    let seqs: Vec<u64> = out(folder.path())
        .iter()
        .map(|datum| datum["seq"].as_u64().unwrap())
        .collect();
    assert!(seqs.is_sorted());
    let summary = done
        .stderr
        .lines()
        .find(|line| line.contains(" restarts, "));
    let failed = summary.and_then(|line| line.strip_suffix(" failed")?.rsplit(' ').next());
    let failed: u64 = failed.unwrap().parse().unwrap();
    assert_eq!(seqs.len() as u64 + failed, COUNT, "{}", done.stderr);
}

#[test]
fn a_state_without_keys_is_not_repartitioned() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "op.wasm", Guest::default().module());
    let text = |instances: u32, state: &str| {
        format!(
            "mosaik: v1\nnetwork: instances\nstreams: {{a: {{}}, b: {{}}}}\n\
             producers:\n  tail: {{from: {{file: {{path: in.jsonl, follow: true}}}}, to: a}}\n\
             operators:\n  op: {{wasm: op.wasm, from: a, to: b, instances: {instances}, key: k, state: {state}}}\n\
             consumers:\n  out: {{from: b, to: {{stdout: {{}}}}}}\n"
        )
    };
    write(folder.path(), "in.jsonl", "");
    let path = write(folder.path(), "m.yaml", text(1, "carry"));
    let node = Node::up(&path);
    node.logged("generation 1");
    fs::write(&path, text(3, "carry")).unwrap();
    node.logged("its state cannot move from 1 to 3 instances: its state is not kept by key");
    fs::write(folder.path().join("in.jsonl"), "{\"k\":1}\n").unwrap();
    node.stdout_line("the datum", |line| line == "{\"k\":1}");
    fs::write(&path, text(3, "reset")).unwrap();
    node.logged("generation 2");
    node.signal(rustix::process::Signal::INT);
    assert!(node.wait().status.success());
}
