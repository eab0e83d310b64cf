//! Tests failing outputs and sources: full disks, pipes, stages that fail and are started again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    path::Path,
    process::Stdio,
};

use crate::support::{
    Node, eventually,
    mounted::{Mounted, NOT_MOUNTED},
    run,
    socket::{alone, ask, by_name, up},
    write,
};
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};
use serde_json::Value;

/// More than 64 KiB of lines.
const LINES: u64 = 20_000;

fn numbers(count: u64) -> String {
    let lines: Vec<_> = (0..count).map(|id| format!("{id}\n")).collect();
    lines.concat()
}

fn stage(folder: &Path, name: &str) -> Value {
    let done = ask(folder, &["status", "--json"]);
    let status: Value = serde_json::from_str(&done.stdout).unwrap();
    by_name(&status["stages"], name).clone()
}

#[test]
fn a_full_disk_neither_skips_nor_repeats_records() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(disk) = Mounted::new(folder.join("full"), "size=64k") else {
        println!("skipped: {NOT_MOUNTED}");
        return;
    };
    write(folder, "in.jsonl", numbers(LINES));
    let manifest = "mosaik: v1
streams: {s: {}}
producers: {read: {from: {file: {path: in.jsonl, follow: true}}, to: s}}
consumers: {save: {from: s, to: {file: {path: full/out.jsonl}}}}
";
    let node = up(folder, &["--no-watch"], &write(folder, "m.yaml", manifest));
    let mut save = Value::Null;
    eventually("the disk is full", || {
        save = stage(folder, "save");
        save["state"] == "waiting"
    });
    let reason = save["reason"].as_str().unwrap();
    assert!(
        reason.contains("cannot write to") && reason.contains("full/out.jsonl"),
        "{reason}"
    );
    let text = ask(folder, &["status"]).stdout;
    assert!(text.contains("waiting"), "{text}");
    let out = disk.path().join("out.jsonl");
    assert!(fs::metadata(&out).unwrap().len() > 0);

    disk.remount("size=1m");
    eventually("the rest is written", || {
        stage(folder, "save")["datums_out"] == LINES
    });
    assert_eq!(stage(folder, "save")["state"], "running");
    assert!(
        fs::read_to_string(&out).unwrap() == numbers(LINES),
        "the output differs from the input"
    );
    node.signal(Signal::TERM);
    let done = node.wait();
    assert_eq!(done.status.code(), Some(0), "{}", done.stderr);
}

#[test]
fn a_pipe_in_place_of_an_output_file_is_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    mknodat(
        CWD,
        folder.path().join("pipe"),
        FileType::Fifo,
        Mode::RWXU,
        0,
    )
    .unwrap();
    let manifest = "mosaik: v1
streams: {s: {}}
producers: {count: {from: {generate: {count: 3}}, to: s}}
consumers:
  save: {from: s, to: {file: {path: pipe}}}
";
    let manifest = write(folder.path(), "m.yaml", manifest);
    for verb in ["check", "up"] {
        let done = run([OsStr::new(verb), manifest.as_os_str()]);
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        for part in ["m.yaml:5:37", "not a regular file"] {
            assert!(
                done.stderr.contains(part),
                "{part} is missing: {}",
                done.stderr
            );
        }
    }
}

#[test]
fn a_file_size_limit_is_handled_like_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "in.jsonl", "");
    let manifest = "mosaik: v1
streams: {s: {}}
producers: {read: {from: {file: {path: in.jsonl, follow: true}}, to: s}}
consumers: {save: {from: s, to: {file: {path: out.jsonl}}}}
";
    let node = up(folder, &["--no-watch"], &write(folder, "m.yaml", manifest));
    node.limit_files(Some(16 * 1024));
    write(folder, "in.jsonl", numbers(LINES));
    eventually("the file is at its limit", || {
        let save = stage(folder, "save");
        save["state"] == "waiting" && save["reason"].as_str().unwrap().contains("File too large")
    });
    node.limit_files(None);
    eventually("the rest is written", || {
        stage(folder, "save")["datums_out"] == LINES
    });
    node.signal(Signal::TERM);
    let done = node.wait();
    assert!(done.status.success(), "{done:?}");
    let out = fs::read_to_string(folder.join("out.jsonl")).unwrap();
    assert!(out == numbers(LINES), "the output differs from the input");
}

#[test]
fn a_reload_starts_a_failed_source_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "in.csv", "a,a\n1,2\n");
    let manifest = "mosaik: v1
streams: {s: {}, t: {}}
producers:
  read: {from: {file: {path: in.csv, follow: true}}, to: s}
  count: {from: {generate: {rate: 10}}, to: t}
consumers:
  save: {from: s, to: {file: {path: out.jsonl}}}
  other: {from: t, to: {file: {path: other.jsonl}}}
";
    let _node = up(folder, &["--no-watch"], &write(folder, "m.yaml", manifest));
    eventually("the source has failed", || {
        stage(folder, "read")["state"] == "failed"
    });
    let other = stage(folder, "other")["datums_out"].as_u64();
    write(folder, "in.csv", "a,b\n1,2\n3,4\n");
    let done = ask(folder, &["reload"]);
    assert!(done.status.success(), "{done:?}");
    let said = "restart producer read; restart consumer save; 2 stages kept";
    assert!(done.stdout.contains(said), "{done:?}");
    let expected = "{\"a\":1,\"b\":2}\n{\"a\":3,\"b\":4}\n";
    eventually("all rows are written", || {
        fs::read_to_string(folder.join("out.jsonl")).is_ok_and(|text| text == expected)
    });
    for name in ["read", "save"] {
        assert_eq!(stage(folder, name)["state"], "running", "{name}");
    }
    assert!(stage(folder, "other")["datums_out"].as_u64() >= other);
}

#[test]
fn a_reload_starts_a_failed_output_again_with_what_feeds_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(disk) = Mounted::new(folder.join("full"), "size=64k") else {
        println!("skipped: {NOT_MOUNTED}");
        return;
    };
    let manifest = "mosaik: v1
streams: {s: {}, t: {}}
producers:
  read: {from: {file: {path: in.jsonl, follow: true}}, to: s}
  count: {from: {generate: {rate: 10}}, to: t}
consumers:
  print: {from: s, to: {stdout: {}}}
  other: {from: t, to: {file: {path: other.jsonl}}}
";
    write(folder, "in.jsonl", numbers(LINES));
    let manifest = write(folder, "m.yaml", manifest);
    let mut command = alone(folder);
    command.args(["up", "--no-watch"]).arg(&manifest);
    let out = disk.path().join("out");
    command
        .stdin(Stdio::null())
        .stdout(File::create(&out).unwrap());
    command.stderr(File::create(folder.join("log")).unwrap());
    let mut node = command.spawn().unwrap();
    eventually("the output has failed", || {
        let is_up = fs::read_to_string(folder.join("log"))
            .is_ok_and(|log| log.contains("generation 1 runs"));
        is_up && stage(folder, "print")["state"] == "failed"
    });
    disk.remount("size=1m");
    let done = ask(folder, &["reload"]);
    assert!(done.status.success(), "{done:?}");
    eventually("every line is there", || {
        let text = fs::read_to_string(&out).unwrap();
        let ids: BTreeSet<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        (0..LINES).all(|id| ids.contains(&id))
    });
    let _ = node.kill();
    let _ = node.wait();
}

#[test]
fn paths_from_the_environment_are_masked_in_logs_of_connectors() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let manifest = "mosaik: v1
streams: {s: {}}
producers: {read: {from: {file: {path: '${env:IN}.csv', follow: true}}, to: s}}
consumers: {save: {from: s, to: {file: {path: '${env:OUT}/out'}}}}
";
    fs::create_dir(folder.join("hidden-out")).unwrap();
    write(&folder.join("hidden-out"), "out", "torn");
    let manifest = write(folder, "m.yaml", manifest);
    let mut command = alone(folder);
    command.args(["up", "--no-watch"]).arg(&manifest);
    command
        .env("IN", "hidden-in")
        .env("OUT", folder.join("hidden-out"))
        .env("RUST_LOG", "mosaik_runner=debug");
    let node = Node::spawn(command);
    node.logged("waiting for the file");
    write(folder, "hidden-in.csv", "a,b\n1,2\n3\n");
    node.logged("does not have the header's 2 columns");
    node.logged("added the missing end of its last line");
    // A folder in place of the source, and a file in place of the output's folder.
    fs::remove_file(folder.join("hidden-in.csv")).unwrap();
    fs::create_dir(folder.join("hidden-in.csv")).unwrap();
    node.logged("is not a regular file; retrying");
    fs::remove_dir(folder.join("hidden-in.csv")).unwrap();
    fs::remove_dir_all(folder.join("hidden-out")).unwrap();
    write(folder, "hidden-out", "");
    write(folder, "hidden-in.csv", "a,b\n5,6\n");
    node.logged("cannot write");
    let text = ask(folder, &["status"]).stdout;
    assert!(text.contains("cannot write to ***"), "{text}");
    fs::remove_file(folder.join("hidden-out")).unwrap();
    node.logged("writes again");
    node.signal(Signal::TERM);
    let done = node.wait();
    assert!(!done.stderr.contains("hidden-"), "{}", done.stderr);
}
