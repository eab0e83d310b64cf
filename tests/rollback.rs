//! Tests a failure at each step of a reload: the old generation continues, with its connections,
//! and loses no records.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, time::Duration};

use crate::support::socket::{Desk, by_name, up};
use crate::support::{eventually, guest::Guest, write};
use serde_json::Value;

/// Two consecutive operators, so that one can be swapped before the other refuses, and a file at
/// the end.
const MANIFEST: &str = "mosaik: v1
streams:
  raw: {}
  one: {}
  two: {}
producers:
  count: {from: {generate: {rate: 2000}}, to: raw}
operators:
  first: {wasm: first.wasm, from: raw, to: one, config: {}}
  second: {wasm: second.wasm, from: one, to: two, config: {}}
consumers:
  file: {from: two, to: {file: {path: out.jsonl}}}
";

/// Returns the connections of each edge, which a failed reload must not change.
fn connections(status: &Value) -> Vec<(Value, Value)> {
    let edges = status["edges"].as_array().unwrap().iter();
    edges
        .map(|edge| {
            (
                edge["stage"].clone(),
                edge["producers"][0]["connection"].clone(),
            )
        })
        .collect()
}

fn guest(folder: &Path, name: &str, guest: &Guest<'_>) {
    write(folder, name, guest.module());
}

/// A failure, and the message of the reload.
struct Failure {
    step: &'static str,
    /// Causes the failure through files in the folder.
    breaks: fn(&Path),
    says: &'static str,
}

fn edit(folder: &Path, from: &str, to: &str) {
    assert!(MANIFEST.contains(from), "{from}");
    write(folder, "m.yaml", MANIFEST.replace(from, to));
}

/// Refuses any state.
const REFUSES: &str = "(call $refuse (i32.const 32) (i32.const 3))";

const FAILURES: &[Failure] = &[
    Failure {
        step: "read",
        breaks: |folder| {
            fs::remove_file(folder.join("m.yaml")).unwrap();
        },
        says: "the manifest cannot be read",
    },
    Failure {
        step: "parse",
        breaks: |folder| edit(folder, "streams:", "streams: ["),
        says: "m.yaml:",
    },
    Failure {
        step: "check",
        breaks: |folder| edit(folder, "from: one", "from: eno"),
        says: "unknown stream `eno`",
    },
    Failure {
        step: "file value",
        breaks: |folder| {
            edit(
                folder,
                "second.wasm, from",
                "second.wasm, digest: '${file:gone}', from",
            );
        },
        says: "gone",
    },
    Failure {
        step: "compile",
        breaks: |folder| {
            write(folder, "broken.wasm", b"\0asm\x01\0\0\0\xff");
            edit(folder, "second.wasm", "broken.wasm");
        },
        says: "broken.wasm",
    },
    Failure {
        step: "instantiate",
        breaks: |folder| {
            let traps = Guest {
                open: "unreachable",
                ..Guest::default()
            };
            guest(folder, "broken.wasm", &traps);
            edit(folder, "second.wasm", "broken.wasm");
        },
        says: "second",
    },
    Failure {
        step: "open connector",
        breaks: |folder| {
            fs::create_dir_all(folder.join("folder.jsonl")).unwrap();
            edit(folder, "path: out.jsonl", "path: folder.jsonl");
        },
        says: "folder.jsonl",
    },
    Failure {
        step: "snapshot",
        breaks: |folder| {
            // The running second operator refuses snapshots. Both operators change, so the first
            // one has already prepared its switch.
            edit(
                folder,
                "config: {}}\n  second: {wasm: second.wasm, from: one, to: two, config: {}",
                "config: {a: 1}}\n  second: {wasm: second.wasm, from: one, to: two, config: {a: 1}",
            );
        },
        says: "its state could not be taken",
    },
    Failure {
        step: "snapshot, by a trap",
        breaks: |folder| edit(folder, "to: two, config: {}", "to: two, config: {a: 1}"),
        says: "its state could not be taken",
    },
    Failure {
        step: "restore",
        breaks: |folder| {
            let refuses = Guest {
                restore: REFUSES,
                ..Guest::default()
            };
            guest(folder, "refuses.wasm", &refuses);
            edit(folder, "second.wasm", "refuses.wasm");
        },
        says: "rejects the state",
    },
    Failure {
        step: "resume",
        breaks: |folder| {
            let refuses = Guest {
                restore: REFUSES,
                ..Guest::default()
            };
            guest(folder, "refuses.wasm", &refuses);
            // The first operator is ready to switch to code that answers nothing, and must stay
            // when the second one refuses.
            let silent = Guest {
                process: Guest::NOTHING,
                ..Guest::default()
            };
            guest(folder, "silent.wasm", &silent);
            edit(
                folder,
                "first.wasm, from: raw, to: one, config: {}}\n  second: {wasm: second.wasm",
                "silent.wasm, from: raw, to: one, config: {}}\n  second: {wasm: refuses.wasm",
            );
        },
        says: "rejects the state",
    },
];

#[test]
fn a_failure_at_any_step_leaves_the_old_generation_as_it_was() {
    for failure in FAILURES {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let counts = Guest::default();
        guest(folder, "first.wasm", &counts);
        let second = match failure.step {
            "snapshot" => Guest {
                snapshot: REFUSES,
                ..Guest::default()
            },
            "snapshot, by a trap" => Guest {
                snapshot: "unreachable",
                ..Guest::default()
            },
            _ => Guest::default(),
        };
        guest(folder, "second.wasm", &second);
        let manifest = write(folder, "m.yaml", MANIFEST);
        let node = up(folder, &["--no-watch"], &manifest);
        let mut desk = Desk::of(folder);
        let written = |desk: &mut Desk| {
            by_name(&desk.status()["stages"], "file")["datums_out"]
                .as_u64()
                .unwrap()
        };
        eventually("records flow", || written(&mut desk) > 100);
        let before = desk.status();

        (failure.breaks)(folder);
        let (reload, took) = desk.reload();
        assert_eq!(reload["outcome"], "refused", "{}: {reload}", failure.step);
        let text = reload["text"].as_str().unwrap();
        assert!(text.contains(failure.says), "{}: {text}", failure.step);
        assert!(took < Duration::from_secs(30), "{}: {took:?}", failure.step);

        let at = written(&mut desk);
        eventually("records flow on", || written(&mut desk) > at + 100);
        let after = desk.status();
        assert_eq!(after["generation"], 1, "{}", failure.step);
        assert_eq!(
            connections(&after),
            connections(&before),
            "{}",
            failure.step
        );
        // After the fix, the next reload succeeds or finds no difference.
        write(folder, "m.yaml", MANIFEST);
        let (mended, _) = desk.reload();
        assert_eq!(mended["outcome"], "unchanged", "{}: {mended}", failure.step);

        let done = node.interrupt();
        let lines = fs::read_to_string(folder.join("out.jsonl")).unwrap();
        for (seq, line) in lines.lines().enumerate() {
            assert!(
                line.starts_with(&format!("{{\"seq\":{seq},")),
                "{}: line {seq} is {line}",
                failure.step
            );
        }
        assert!(
            done.stderr.contains("nothing was dropped"),
            "{}: {}",
            failure.step,
            done.stderr
        );
    }
}

#[test]
fn a_looping_operator_makes_the_reload_fail_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Each batch uses its full time limit.
    let loops = Guest {
        process: "(loop $on (br $on)) (call $nothing)",
        ..Guest::default()
    };
    guest(folder, "first.wasm", &loops);
    guest(folder, "second.wasm", &Guest::default());
    let text = MANIFEST.replace("wasm: first.wasm", "limits: {time: 40s}, wasm: first.wasm");
    let manifest = write(folder, "m.yaml", &text);
    let _node = up(folder, &["--no-watch"], &manifest);
    let mut desk = Desk::of(folder);
    eventually("it has a batch", || {
        by_name(&desk.status()["stages"], "first")["datums_in"].as_u64() > Some(0)
    });
    write(
        folder,
        "m.yaml",
        text.replace("config: {}", "config: {a: 1}"),
    );
    let (reload, took) = desk.reload();
    assert_eq!(reload["outcome"], "refused", "{reload}");
    let said = reload["text"].as_str().unwrap();
    assert!(
        said.contains("did not reach a batch boundary within 10s"),
        "{said}"
    );
    assert!(took < Duration::from_secs(25), "{took:?}");
    println!("beside an operator that loops a reload was given up after {took:.1?}");
    assert_eq!(desk.status()["generation"], 1);
}

#[test]
fn a_stuck_sink_does_not_delay_swaps_and_is_removed_at_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    guest(folder, "first.wasm", &Guest::default());
    guest(folder, "second.wasm", &Guest::default());
    let text = MANIFEST
        .replace("{file: {path: out.jsonl}}", "{stdout: {}}")
        .replace("{generate: {rate: 2000}}", "{generate: {}}");
    let manifest = write(folder, "m.yaml", &text);
    let mut command = crate::support::socket::alone(folder);
    // Its output has no reader.
    let mut child = command
        .args(["up", "--no-watch"])
        .arg(&manifest)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("it listens", || {
        folder.join("run/mosaik-runner").exists()
            && !crate::support::socket::sockets(folder).is_empty()
    });
    let mut desk = Desk::of(folder);
    let written = |desk: &mut Desk| {
        by_name(&desk.status()["stages"], "file")["datums_in"]
            .as_u64()
            .unwrap()
    };
    let mut before = written(&mut desk);
    eventually("the sink is stuck, and everything behind it full", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = desk.status();
        let taken = by_name(&now["stages"], "file")["datums_in"]
            .as_u64()
            .unwrap();
        let full = now["edges"]
            .as_array()
            .unwrap()
            .iter()
            .all(|edge| edge["queued"].as_u64() > Some(0));
        let stuck = taken == before && taken > 0 && full;
        before = taken;
        stuck
    });

    write(
        folder,
        "m.yaml",
        text.replace("config: {}", "config: {a: 1}"),
    );
    let (reload, took) = desk.reload();
    assert_eq!(reload["outcome"], "applied", "{reload}");
    assert_eq!(reload["dropped"], 0);
    assert!(
        took < Duration::from_secs(9),
        "an operator waited for what nobody takes: {took:?}"
    );
    println!("beside a stuck sink two operators were swapped in {took:.1?}");

    // The sink itself is drained until its deadline; the records that it cannot write are counted.
    write(
        folder,
        "m.yaml",
        text.replace("{stdout: {}}", "{file: {path: out.jsonl}}"),
    );
    let (reload, took) = desk.reload();
    assert_eq!(reload["outcome"], "applied", "{reload}");
    assert!(took < Duration::from_secs(25), "{took:?}");
    assert!(reload["dropped"].as_u64() > Some(0), "{reload}");
    println!(
        "a stuck sink was replaced after {took:.1?}, {} records counted as dropped",
        reload["dropped"]
    );
    eventually("the new one writes", || {
        fs::metadata(folder.join("out.jsonl")).is_ok_and(|file| file.len() > 0)
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn reloads_do_not_wait_without_remote_readers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    guest(folder, "first.wasm", &Guest::default());
    let text = "mosaik: v1
network: gone
streams:
  raw: {}
  out: {scope: network}
producers:
  count: {from: {generate: {}}, to: raw}
operators:
  first: {wasm: first.wasm, from: raw, to: out, config: {}}
consumers:
  # A source waits while all of its records would end in streams that nobody reads.
  kept: {from: raw, to: {file: {path: kept.jsonl}}}
";
    let manifest = write(folder, "m.yaml", text);
    let _node = up(folder, &["--no-watch"], &manifest);
    let mut desk = Desk::of(folder);
    eventually("the operator's queue is full", || {
        let status = desk.status();
        let edges = status["edges"].as_array().expect("edges");
        let edge = edges.iter().find(|edge| edge["stage"] == "operator first");
        edge.is_some_and(|edge| edge["queued"].as_u64() > Some(0))
    });
    let edits = [
        text.replace("config: {}", "config: {a: 1}"),
        text.replace("config: {}", "limits: {time: 1s}, on_error: stop"),
        text.replace("raw: {}", "raw: {buffer_size: 5}"),
    ];
    for (edit, text) in edits.iter().enumerate() {
        write(folder, "m.yaml", text);
        let (reload, took) = desk.reload();
        assert_eq!(reload["outcome"], "applied", "{reload}");
        assert!(
            took < Duration::from_secs(9),
            "edit {edit} took {took:?}: {reload}"
        );
    }
    // The removed stage is drained first, and no reader accepts its records.
    write(
        folder,
        "m.yaml",
        "mosaik: v1\nnetwork: gone\nstreams: {raw: {}}\nproducers: {count: {from: {generate: {rate: 5}}, to: raw}}\nconsumers: {c: {from: raw, to: {file: {path: x}}}}\n",
    );
    let (reload, took) = desk.reload();
    assert_eq!(reload["outcome"], "applied", "{reload}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    println!("while nobody listened an operator was removed after {took:.1?}");
}
