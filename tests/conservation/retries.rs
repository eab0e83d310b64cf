//! Tests a failed batch that is retried record by record, and which counts are repeated.

use std::{fs, path::Path};

use super::ledger::{Ledger, up};
use crate::support::{guest::Guest, write};

/// Runs lines through a guest to its end.
fn run(folder: &Path, guest: &Guest<'_>, lines: &str, settings: &str) -> (Ledger, Vec<String>) {
    write(folder, "guest.wasm", guest.module());
    write(folder, "in.txt", lines);
    let text = format!(
        "mosaik: v1\nstreams: {{a: {{encoding: text}}, b: {{encoding: text}}}}\n\
         producers:\n  read: {{from: {{file: {{path: in.txt, format: lines}}}}, to: a}}\n\
         operators:\n  op: {{wasm: guest.wasm, from: a, to: b, on_error: skip, {settings}}}\n\
         consumers:\n  write: {{from: b, to: {{file: {{path: out.txt}}}}}}\n"
    );
    let ledger = Ledger::of(up(&write(folder, "m.yaml", text)).wait());
    let out = fs::read_to_string(folder.join("out.txt")).unwrap_or_default();
    let out = out.lines().map(str::to_owned).collect();
    (ledger, out)
}

/// A record of 1 byte takes 5 bytes: its length and its contents.
const IS_BATCH: &str = "(i32.gt_u (local.get $len) (i32.const 5))";
const FIRST: &str = "(i32.load8_u offset=4 (local.get $ptr))";

/// The first record is rejected and counted in the first part of an answer whose second part fails.
#[test]
fn counters_for_a_rejected_record_are_added_once() {
    let folder = tempfile::tempdir().unwrap();
    let process = format!(
        "(if (i32.eq {FIRST} (i32.const 0x72)) (then
            (call $count (i32.const 16) (i32.const 2) (i64.const 1))
            (drop (call $nothing))
            (i32.store (i32.const 600) (i32.const 0))
            (i64.store (i32.const 604) (i64.const 0x3_0000_0020))
            (i64.store (i32.const 332) (i64.const 0x1_0000_0258))
            (i32.store8 (i32.const 340) {IS_BATCH})
            (return (i32.const 320))))
        (call $answer (local.get $port) (local.get $ptr) (local.get $len) (i32.const 0))"
    );
    let guest = Guest {
        process: &process,
        resume: "unreachable",
        ..Guest::default()
    };
    let (ledger, out) = run(folder.path(), &guest, "r\na\nb\n", "limits: {time: 5s}");
    let of = |figure| ledger.count("operator op", figure);
    assert_eq!(
        (of("rejected"), of("failed"), of("taken")),
        (1, 0, 2),
        "{}",
        ledger.log
    );
    assert_eq!(out, ["a", "b"], "{}", ledger.log);
    assert_eq!(
        ledger.counters("operator op"),
        "in=1 normal",
        "{}",
        ledger.log
    );
}

/// Restoring the instance takes longer than the limit for all failing records together. No good
/// record is lost because of that.
#[test]
fn a_slow_restart_of_an_instance_loses_no_good_record() {
    const BAD: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let process = format!(
        "(if (i32.or {IS_BATCH} (i32.eq {FIRST} (i32.const 0x58))) (then unreachable))
        (call $answer (local.get $port) (local.get $ptr) (local.get $len) (i32.const 0))"
    );
    let restore = format!(
        "(local $turns i32)
        (loop $spin
            (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
            (br_if $spin (i32.lt_u (local.get $turns) (i32.const 40000000))))
        {}",
        Guest::FINE
    );
    let guest = Guest {
        process: &process,
        restore: &restore,
        ..Guest::default()
    };
    let lines = "a\nX\n".repeat(BAD);
    let (ledger, out) = run(
        folder.path(),
        &guest,
        &lines,
        "checkpoint: 1ms, limits: {time: 10ms}",
    );
    assert_eq!(
        ledger.count("operator op", "failed"),
        BAD as u64,
        "{}",
        ledger.log
    );
    assert_eq!(out.len(), BAD, "{}", ledger.log);
}
