//! Tests misbehaving operators: the node survives, other stages continue, and the log names the
//! operator.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use crate::support::{Node, guest::Guest, run, write};

/// Writes a manifest in which a misbehaving and an honest operator each have their own pipeline.
fn manifest(folder: &Path, suspect: &[u8], on_error: &str) -> std::path::PathBuf {
    write(folder, "suspect.wasm", suspect);
    let honest = crate::support::root().join("operators/built/jq.wasm");
    write(
        folder,
        "m.yaml",
        format!(
            "mosaik: v1\nnetwork: guests\nstreams: {{a: {{}}, b: {{}}, c: {{}}, d: {{}}, e: {{}}}}\n\
             producers:\n  first: {{from: {{generate: {{count: 300, rate: 300}}}}, to: a}}\n  second: {{from: {{generate: {{count: 300, rate: 300}}}}, to: c}}\n\
             operators:\n  suspect: {{wasm: suspect.wasm, from: a, to: b, on_error: {on_error}, limits: {{memory: 16MiB, time: 50ms}}}}\n  \
             honest: {{wasm: {}, from: c, to: d, config: {{filter: .seq}}, limits: {{time: 5s}}}}\n\
             consumers:\n  theirs: {{from: b, to: {{file: {{path: theirs.jsonl}}}}}}\n  ours: {{from: d, to: {{file: {{path: ours.jsonl}}}}}}\n  \
             letters: {{from: e, to: {{file: {{path: letters.jsonl}}}}}}\n",
            honest.display()
        )
        .replace("e: {}}", if on_error.contains("to:") { "e: {}}" } else { "}" })
        .replace(", }", "}")
        .replace("  letters: ", if on_error.contains("to:") { "  letters: " } else { "  # " }),
    )
}

fn lines(folder: &Path, name: &str) -> Vec<String> {
    fs::read_to_string(folder.join(name))
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Runs a misbehaving operator beside an honest one to the end of both inputs.
#[track_caller]
fn contained(guest: &Guest<'_>, reason: &str) {
    let folder = tempfile::tempdir().unwrap();
    let done = Node::up(&manifest(folder.path(), &guest.module(), "skip")).wait();
    assert!(done.status.success(), "{}", done.stderr);
    let about = done
        .stderr
        .lines()
        .any(|line| line.contains("suspect") && line.contains(reason));
    assert!(
        about,
        "no line names the operator and {reason:?}:\n{}",
        done.stderr
    );
    let expected: Vec<_> = (0..300).map(|seq| seq.to_string()).collect();
    assert_eq!(
        lines(folder.path(), "ours.jsonl"),
        expected,
        "the honest operator missed something"
    );
    assert_eq!(lines(folder.path(), "theirs.jsonl"), Vec::<String>::new());
    assert!(done.stderr.contains("300 failed"), "{}", done.stderr);
}

#[test]
fn a_guest_that_traps() {
    contained(
        &Guest {
            process: "unreachable",
            ..Guest::default()
        },
        "unreachable",
    );
}

#[test]
fn a_guest_that_loops_for_ever() {
    contained(
        &Guest {
            process: "(loop $l (br $l)) unreachable",
            ..Guest::default()
        },
        "used more than the 50",
    );
}

#[test]
fn a_guest_that_grows_without_end() {
    let grow = "(loop $l (drop (memory.grow (i32.const 16))) (br $l)) unreachable";
    contained(
        &Guest {
            process: grow,
            ..Guest::default()
        },
        "memory",
    );
}

#[test]
fn a_guest_that_answers_malformed_frames() {
    // Without its first byte, the batch is no longer a valid sequence of frames.
    let cut = "(call $answer (local.get $port) (i32.add (local.get $ptr) (i32.const 1))
        (i32.sub (local.get $len) (i32.const 1)) (i32.const 0))";
    contained(
        &Guest {
            process: cut,
            ..Guest::default()
        },
        "malformed answer",
    );
}

#[test]
fn records_held_by_a_failed_guest_go_to_the_dead_letter_stream() {
    let folder = tempfile::tempdir().unwrap();
    let trap = Guest {
        process: "unreachable",
        ..Guest::default()
    };
    let done = Node::up(&manifest(folder.path(), &trap.module(), "{to: e}")).wait();
    assert!(done.status.success(), "{}", done.stderr);
    let letters = lines(folder.path(), "letters.jsonl");
    assert_eq!(letters.len(), 300, "{}", done.stderr);
    for (seq, letter) in letters.iter().enumerate() {
        let letter: serde_json::Value = serde_json::from_str(letter).unwrap();
        assert_eq!(letter["operator"], "suspect");
        assert_eq!(letter["port"], "in");
        let datum: serde_json::Value =
            serde_json::from_str(letter["datum"].as_str().unwrap()).unwrap();
        assert_eq!(datum["seq"], seq);
    }
}

#[test]
fn a_guest_whose_failure_stops_it_fails_the_node_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let trap = Guest {
        process: "unreachable",
        ..Guest::default()
    };
    let done = Node::up(&manifest(folder.path(), &trap.module(), "stop")).wait();
    assert_eq!(done.status.code(), Some(3), "{}", done.stderr);
    assert!(
        done.stderr.contains("producer first stops"),
        "{}",
        done.stderr
    );
    assert_eq!(
        lines(folder.path(), "ours.jsonl").len(),
        300,
        "the honest operator missed something"
    );
}

#[test]
fn a_guest_that_refuses_to_open_keeps_the_node_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = Guest {
        open: "(call $refuse (i32.const 512) (i32.const 7))",
        fields: r#"(data (i32.const 512) "no such")"#,
        ..Guest::default()
    };
    let done = Node::up(&manifest(folder.path(), &refuse.module(), "skip")).wait();
    assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
    assert!(
        done.stderr.contains("suspect") && done.stderr.contains("no such"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_guest_that_fails_to_open_is_an_error_of_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let grow = "(loop $l (drop (memory.grow (i32.const 16))) (br $l)) unreachable";
    for (open, reason) in [
        ("unreachable", "trapped in `open`"),
        (
            "(loop $l (br $l)) unreachable",
            "failed to open: `open` used more than the",
        ),
        (grow, "failed to open: `open` needs more memory"),
        (
            "(call $refuse (i32.const 512) (i32.const 0))",
            "failed to open: it gives no reason\n",
        ),
        (
            "(call $refuse (i32.const 512) (i32.const 5))",
            "failed to open: late\n",
        ),
        (
            "(call $refuse (i32.const 517) (i32.const 8))",
            "failed to open: \u{241b}[31mred\n",
        ),
    ] {
        let guest = Guest {
            open,
            fields: r#"(data (i32.const 512) "\0alate\1b[31mred")"#,
            ..Guest::default()
        };
        let path = manifest(folder.path(), &guest.module(), "skip");
        let done = run(["check".into(), path]);
        assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
        assert!(done.stderr.contains(reason), "{reason}: {}", done.stderr);
        assert!(done.stderr.contains("m.yaml:8:3\n"), "{}", done.stderr);
        assert!(!done.stderr.contains('\u{1b}'), "{:?}", done.stderr);
    }
}

#[test]
fn a_file_that_is_not_a_component_is_an_error_of_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    for rubbish in [
        b"\0asm\x01\0\0\0".as_slice(),
        b"\0asm rubbish",
        b"#!/bin/sh",
    ] {
        let path = manifest(folder.path(), rubbish, "skip");
        let done = run(["up".into(), path]);
        assert_eq!(done.status.code(), Some(1), "{}", done.stderr);
        assert!(
            done.stderr.contains("wasm: suspect.wasm"),
            "{}",
            done.stderr
        );
    }
}
