//! Tests records that a sink does not write: each is written or dropped under a reason, and a
//! dead-letter stream has each dropped record once.

use std::{collections::BTreeSet, fmt::Write as _, fs, io::Write as _};

use serde_json::Value;

use super::{
    ledger::{Ledger, up},
    random::Random,
    seeds,
};
use crate::support::{
    eventually,
    socket::{alone, ask, by_name},
    write,
};

const RECORDS: u64 = 5000;

/// Returns the dead-letter records of a text, one per line.
fn letters(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn each_record_is_a_row_or_is_dropped_as_the_policy_says() {
    for seed in 0..seeds() {
        for (policy, exit) in [
            ("", 5),
            (", on_error: skip", 0),
            (", on_error: {to: dead}", 0),
        ] {
            let mut random = Random::seeded(seed);
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            let (mut text, mut rows, mut refused) = (String::new(), Vec::new(), BTreeSet::new());
            for id in 0..RECORDS {
                let (record, is_row) = match random.below(60) {
                    0 => (format!(r#"{{"id":{id},"other":1}}"#), false),
                    1 => (format!("[{id}]"), false),
                    _ => (format!(r#"{{"id":{id},"v":"x"}}"#), true),
                };
                if is_row {
                    rows.push(format!("{id},x"));
                } else {
                    refused.insert(record.clone());
                }
                writeln!(text, "{record}").unwrap();
            }
            write(folder, "in.jsonl", text);
            let dead = if policy.contains("dead") {
                (
                    "  dead: {from: dead, to: {file: {path: dead.jsonl}}}\n",
                    ", dead: {}",
                )
            } else {
                ("", "")
            };
            let manifest = format!(
                "mosaik: v1\nstreams: {{s: {{}}{}}}\n\
                 producers: {{read: {{from: {{file: {{path: in.jsonl}}}}, to: s}}}}\n\
                 consumers:\n  save: {{from: s, to: {{file: {{path: out.csv, csv: {{header: [id, v]}}}}}}{policy}}}\n{}",
                dead.1, dead.0
            );
            let ledger = Ledger::of(up(&write(folder, "m.yaml", manifest)).wait());
            let context = format!("seed {seed}{policy}\n{}", ledger.log);
            assert_eq!(ledger.exit, Some(exit), "{context}");
            let of = |figure| ledger.count("consumer save", figure);
            let count = refused.len() as u64;
            assert_eq!(
                [of("datums_in"), of("invalid"), of("answered")],
                [RECORDS, count, RECORDS - count],
                "{context}"
            );
            let written = fs::read_to_string(folder.join("out.csv")).unwrap();
            let mut lines = written.lines();
            assert_eq!(lines.next(), Some("id,v"), "{context}");
            assert!(lines.eq(rows), "{context}");
            let is_lost = exit == 5;
            assert_eq!(ledger.lost, if is_lost { count } else { 0 }, "{context}");
            if policy.contains("dead") {
                assert_eq!(of("dead_letters"), count, "{context}");
                let dead = letters(&fs::read_to_string(folder.join("dead.jsonl")).unwrap());
                let kept: BTreeSet<_> = dead
                    .iter()
                    .map(|letter| letter["datum"].as_str().unwrap().to_owned())
                    .collect();
                assert_eq!((dead.len(), kept), (refused.len(), refused), "{context}");
            }
        }
    }
}

/// A file that is at its limit holds up the sink, until a reload gives it a policy for that. Records that are given up
/// leave no part of themselves in the file.
#[test]
fn records_are_given_up_when_a_reload_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let manifest = |policy: &str, stream: &str, dead: &str| {
        format!(
            "mosaik: v1\nstreams: {{s: {{}}{stream}}}\n\
             producers: {{read: {{from: {{file: {{path: in.jsonl, follow: true}}}}, to: s}}}}\n\
             consumers:\n  save: {{from: s, to: {{file: {{path: out.jsonl}}}}{policy}}}\n{dead}"
        )
    };
    let numbers = |from: u64, to: u64| {
        let lines: Vec<_> = (from..to).map(|id| format!("{id}00000\n")).collect();
        lines.concat()
    };
    write(folder, "in.jsonl", "");
    let path = write(folder, "m.yaml", manifest("", "", ""));
    let mut command = alone(folder);
    command
        .args(["up", "--no-watch", "--log", "json"])
        .arg(&path);
    let node = crate::support::Node::spawn(command);
    let stage = || {
        let done = ask(folder, &["status", "--json"]);
        let status: Value = serde_json::from_str(&done.stdout).unwrap_or_default();
        by_name(&status["stages"], "save").clone()
    };
    node.logged("generation 1 runs");
    // In the middle of a line.
    node.limit_files(Some(16 * 1024 + 3));
    write(folder, "in.jsonl", numbers(0, RECORDS));
    eventually("the file is at its limit", || stage()["state"] == "waiting");
    write(
        folder,
        "m.yaml",
        manifest(
            ", on_error: {to: dead}, retry: {initial: 1ms, max: 5ms, max_elapsed: 20ms}",
            ", dead: {}",
            "  dead: {from: dead, to: {stdout: {}}}\n",
        ),
    );
    let done = ask(folder, &["reload"]);
    assert!(done.status.success(), "{done:?}");
    assert!(
        done.stdout.contains("retune consumer save"),
        "{}",
        done.stdout
    );
    eventually("the rest is given up", || {
        let save = stage();
        save["datums_in"] == RECORDS && save["dead_letters"].as_u64() > Some(0)
    });
    node.limit_files(None);
    let input = fs::OpenOptions::new()
        .append(true)
        .open(folder.join("in.jsonl"));
    let later = numbers(RECORDS, 2 * RECORDS);
    input.unwrap().write_all(later.as_bytes()).unwrap();
    eventually("the later records are written", || {
        let text = fs::read_to_string(folder.join("out.jsonl")).unwrap();
        text.ends_with(&format!("{}00000\n", 2 * RECORDS - 1))
    });
    assert_eq!(stage()["state"], "running");
    let done = node.interrupt();
    let dead = letters(&done.stdout);
    let ledger = Ledger::of(done);
    assert_eq!(ledger.exit, Some(0), "{}", ledger.log);
    for letter in &dead {
        assert_eq!(
            (&letter["consumer"], &letter["code"]),
            (&"save".into(), &"file_too_large".into())
        );
        assert!(letter["attempts"].as_u64() > Some(0), "{letter}");
    }
    let of = |figure| ledger.count("consumer save", figure);
    assert_eq!(of("failed"), dead.len() as u64, "{}", ledger.log);
    let written = fs::read_to_string(folder.join("out.jsonl")).unwrap();
    let given_up = dead.iter().map(|letter| letter["datum"].as_str().unwrap());
    let mut ids: Vec<u64> = written
        .lines()
        .chain(given_up)
        .map(|id| id.parse::<u64>().unwrap() / 100_000)
        .collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..2 * RECORDS), "{}", ledger.log);
}

/// Reloads give a running sink a stream of dead-letter records and take it away. Barriers pass the sink all the same.
#[test]
fn a_reload_of_a_policy_keeps_the_checkpoints_going() {
    const PART: u64 = 100;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let manifest = |policy: &str, stream: &str, dead: &str| {
        format!(
            "mosaik: v1\ncheckpoint: {{every: 50ms}}\nstreams: {{s: {{}}{stream}}}\n\
             producers: {{read: {{from: {{file: {{path: in.jsonl, follow: true}}}}, to: s}}}}\n\
             consumers:\n  save: {{from: s, to: {{file: {{path: out.csv, csv: {{header: [id]}}}}}}, on_error: {policy}}}\n{dead}"
        )
    };
    let without = manifest("skip", "", "");
    let with = manifest(
        "{to: dead}",
        ", dead: {}",
        "  dead: {from: dead, to: {file: {path: dead.jsonl}}}\n",
    );
    write(folder, "in.jsonl", "");
    let path = write(folder, "m.yaml", &without);
    let mut command = alone(folder);
    command
        .env("XDG_STATE_HOME", folder.join("state"))
        .args(["up", "--no-watch", "--log", "json"])
        .arg(&path);
    let node = crate::support::Node::spawn(command);
    node.logged("generation 1 runs");
    let parts = [&without, &with, &without, &with];
    for (part, manifest) in (0..).zip(parts) {
        if part > 0 {
            write(folder, "m.yaml", manifest);
            let done = ask(folder, &["reload"]);
            assert!(
                done.stdout.contains("retune consumer save"),
                "{}",
                done.stdout
            );
        }
        // Each second record has no column.
        let lines: Vec<_> = (part * PART..(part + 1) * PART)
            .map(|id| format!("{{\"id\":{id}}}\n{{\"no\":{id}}}\n"))
            .collect();
        let input = fs::OpenOptions::new()
            .append(true)
            .open(folder.join("in.jsonl"));
        input.unwrap().write_all(lines.concat().as_bytes()).unwrap();
        eventually("the records are written", || {
            let done = ask(folder, &["status", "--json"]);
            let status: Value = serde_json::from_str(&done.stdout).unwrap_or_default();
            by_name(&status["stages"], "save")["datums_in"] == 2 * PART * (part + 1)
        });
    }
    let ledger = Ledger::of(node.interrupt());
    assert_eq!(ledger.exit, Some(0), "{}", ledger.log);
    let taken = "taken; the next start goes on from it";
    assert!(ledger.log.contains(taken), "{}", ledger.log);
    let dead = letters(&fs::read_to_string(folder.join("dead.jsonl")).unwrap());
    let ids = dead.iter().map(|letter| {
        let datum = letter["datum"].as_str().unwrap();
        let record: Value = serde_json::from_str(datum).unwrap();
        record["no"].as_u64().unwrap()
    });
    assert!(
        ids.eq((PART..2 * PART).chain(3 * PART..4 * PART)),
        "{}",
        ledger.log
    );
}
