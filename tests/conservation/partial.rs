//! Tests instances that answer in parts and fail before the last one: no part is duplicated, and
//! lost records are counted.

use std::{fs, path::Path, time::Duration};

use rustix::process::Signal;

use super::ledger::{Ledger, up};
use crate::support::{guest::Guest, root, write};

/// Keeps its records, and answers the end of its input and each tick with the records 1, 2, 3 and
/// 4, one part each. It fails at the third part: always, or until it has a state to start from. It
/// fails by a trap, but all other failures are handled in the same way.
fn guest(folder: &Path, always: bool, of_tick: bool) {
    let restored = if always { "0" } else { "1" };
    let fields = r#"(global $part (mut i32) (i32.const 0))
        (global $restored (mut i32) (i32.const 0))
        (data (i32.const 512) "\00\00\00\011\00\00\00\012\00\00\00\013\00\00\00\014")
        (func $begin (result i32) (global.set $part (i32.const 0)) (call $next))
        (func $next (result i32) (local $at i32)
            (local.set $at (global.get $part))
            (if (i32.and (i32.eq (local.get $at) (i32.const 2)) (i32.eqz (global.get $restored))) (then unreachable))
            (global.set $part (i32.add (local.get $at) (i32.const 1)))
            (call $answer (i32.const 0) (i32.add (i32.const 512) (i32.mul (local.get $at) (i32.const 5)))
                (i32.const 5) (i32.lt_u (local.get $at) (i32.const 3))))"#;
    let restore = format!(
        "(global.set $restored (i32.const {restored})) {}",
        Guest::FINE
    );
    let (tick, finish) = if of_tick {
        ("(call $begin)", Guest::NOTHING)
    } else {
        (Guest::NOTHING, "(call $begin)")
    };
    let guest = Guest {
        process: Guest::NOTHING,
        resume: "(call $next)",
        restore: &restore,
        tick,
        finish,
        fields,
        ..Guest::default()
    };
    write(folder, "guest.wasm", guest.module());
}

const RECORDS: u64 = 100;

fn manifest(folder: &Path, source: &str, settings: &str) -> std::path::PathBuf {
    let text = format!(
        "mosaik: v1\nstreams: {{a: {{}}, b: {{}}}}\n\
         producers:\n  read: {{from: {source}, to: a}}\n\
         operators:\n  op: {{wasm: guest.wasm, from: a, to: b, {settings}}}\n\
         consumers:\n  write: {{from: b, to: {{file: {{path: out.jsonl}}}}}}\n"
    );
    write(folder, "m.yaml", text)
}

fn out(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("out.jsonl")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

const SOURCE: &str = "{generate: {count: 100, rate: 1000}}";

#[test]
fn an_end_that_fails_halfway_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    guest(folder, false, false);
    let ledger = Ledger::of(up(&manifest(folder, SOURCE, "checkpoint: 1ms")).wait());
    assert_eq!((ledger.exit, ledger.lost), (Some(0), 0), "{}", ledger.log);
    assert_eq!(out(folder), ["1", "2", "3", "4"], "{}", ledger.log);
    assert!(
        ledger.count("operator op", "restarts") > 0,
        "{}",
        ledger.log
    );
}

#[test]
fn an_end_that_always_fails_halfway_counts_its_kept_records_as_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    guest(folder, true, false);
    let ledger = Ledger::of(up(&manifest(folder, SOURCE, "checkpoint: 1ms")).wait());
    assert_eq!(
        (ledger.exit, ledger.lost),
        (Some(5), RECORDS),
        "{}",
        ledger.log
    );
    assert_eq!(ledger.count("operator op", "forgotten"), RECORDS);
    assert_eq!(out(folder), ["1", "2"], "{}", ledger.log);
}

/// The records in the state before a reload are forgotten together with those after it.
#[test]
fn a_carried_over_state_is_forgotten_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    guest(folder, true, false);
    let source = "{file: {path: in.jsonl, follow: true}}";
    let lines = |count: u64| {
        let lines: Vec<_> = (0..count).map(|id| format!("{{\"id\":{id}}}\n")).collect();
        lines.concat()
    };
    write(folder, "in.jsonl", lines(60));
    let node = up(&manifest(folder, source, "config: {}"));
    node.logged("generation 1 runs");
    std::thread::sleep(Duration::from_millis(500));
    manifest(folder, source, "config: {again: 1}");
    node.logged("generation 2: swap");
    write(folder, "in.jsonl", lines(RECORDS));
    std::thread::sleep(Duration::from_millis(500));
    node.signal(Signal::TERM);
    let ledger = Ledger::of(node.wait());
    let read = ledger.count("producer read", "datums_in");
    assert!(read >= 60, "{}", ledger.log);
    assert_eq!(
        ledger.count("operator op", "forgotten"),
        read,
        "{}",
        ledger.log
    );
}

#[test]
fn a_tick_that_fails_halfway_repeats_nothing() {
    for always in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        guest(folder, always, true);
        let ledger =
            Ledger::of(up(&manifest(folder, SOURCE, "checkpoint: 1ms, tick: 20ms")).wait());
        let expected: &[&str] = if always {
            &["1", "2"]
        } else {
            &["1", "2", "3", "4"]
        };
        let out = out(folder);
        assert!(!out.is_empty(), "{}", ledger.log);
        for tick in out.chunks(expected.len()) {
            assert_eq!(tick, expected, "{out:?}\n{}", ledger.log);
        }
        assert_eq!(ledger.lost > 0, always, "{}", ledger.log);
    }
}

/// An input ended long before the failure, in a call that cannot be repeated: the new instance is
/// notified again.
#[test]
fn an_end_among_discarded_calls_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let wasm = root().join("tests/operator/built.wasm");
    let text = format!(
        "mosaik: v1\nstreams: {{orders: {{}}, payments: {{}}, balances: {{}}}}\n\
         producers:\n  orders: {{from: {{file: {{path: orders.jsonl, follow: true}}}}, to: orders}}\n  \
         payments: {{from: {{file: {{path: payments.jsonl}}}}, to: payments}}\n\
         operators:\n  accounts: {{wasm: {wasm}, from: {{orders: orders, payments: payments}}, to: {{balances: balances}}, \
         config: {{least: 1}}, allow: {{random: true}}, checkpoint: 1h, on_error: skip}}\n\
         consumers:\n  balances: {{from: balances, to: {{file: {{path: out.jsonl}}}}}}\n",
        wasm = wasm.display(),
    );
    write(folder, "payments.jsonl", "");
    write(folder, "orders.jsonl", "");
    let node = up(&write(folder, "m.yaml", text));
    node.logged("payments ended");
    let orders = "{\"customer\":\"panic\",\"amount\":7}\n{\"customer\":\"ann\",\"amount\":7}\n";
    fs::write(folder.join("orders.jsonl"), orders).unwrap();
    node.logged("continues with a new instance");
    node.signal(Signal::TERM);
    let ledger = Ledger::of(node.wait());
    assert_eq!((ledger.exit, ledger.lost), (Some(0), 0), "{}", ledger.log);
    let sums = out(folder)
        .iter()
        .filter(|line| line.contains("\"all\""))
        .count();
    assert_eq!(sums, 1, "{}", ledger.log);
}

/// The kept records of an operator that refuses the end of its input are lost, but not before the
/// stage is over.
#[test]
fn a_refused_end_forgets_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let guest = Guest {
        process: Guest::NOTHING,
        finish: "(call $refuse (i32.const 32) (i32.const 3))",
        ..Guest::default()
    };
    write(folder, "guest.wasm", guest.module());
    let ledger = Ledger::of(up(&manifest(folder, SOURCE, "on_error: skip")).wait());
    let of = |figure| ledger.count("operator op", figure);
    assert_eq!(
        (ledger.exit, of("forgotten"), of("restarts")),
        (Some(5), RECORDS, 0),
        "{}",
        ledger.log
    );
}
