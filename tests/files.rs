//! Tests the files that a start reads and writes: pipes instead of files, read-only homes, keys.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    Done, Node,
    mounted::{Mounted, NOT_MOUNTED},
    run, run_with_stdin, runner, write,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};

const OPERATOR: &str = "mosaik: v1
streams: {s: {}, t: {}}
producers: {g: {from: {generate: {count: 3}}, to: s}}
operators: {j: {wasm: 'builtin:jq', from: s, to: t, config: .seq}}
consumers: {f: {from: t, to: {stdout: {}}}}
";

const SHARED: &str = "mosaik: v1
network: files
streams: {s: {scope: network}}
producers: {g: {from: {generate: {rate: 10}}, to: s}}
";

fn pipe(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    path
}

#[test]
fn a_pipe_in_place_of_a_file_is_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    pipe(folder.path(), "pipe");
    let cases = [
        (
            "secret",
            OPERATOR.replace("count: 3", "count: '${file:pipe}'"),
        ),
        ("wasm", OPERATOR.replace("builtin:jq", "pipe")),
        (
            "table",
            OPERATOR.replace(
                "config: .seq",
                "config: {filter: .}, files: {table: {path: pipe, format: csv}}",
            ),
        ),
        (
            "source",
            OPERATOR.replace("generate: {count: 3}", "file: {path: pipe}"),
        ),
    ];
    let mut manifests = vec![folder.path().join("pipe")];
    for (name, text) in cases {
        manifests.push(write(folder.path(), &format!("{name}.yaml"), text));
    }
    for manifest in &manifests {
        for verb in ["check", "up"] {
            let done = run([OsStr::new(verb), manifest.as_os_str()]);
            assert_eq!(done.status.code(), Some(1), "{done:?}");
            assert!(
                done.stderr.contains("it is not a regular file"),
                "{}: {}",
                manifest.display(),
                done.stderr
            );
            // Both files can come from stdin.
            let of_stdin = ["pipe", "source.yaml"].map(|name| manifest.ends_with(name));
            assert_eq!(
                done.stderr.contains("stdin"),
                of_stdin.contains(&true),
                "{}",
                done.stderr
            );
        }
    }
}

#[test]
fn a_manifest_may_come_from_standard_input() {
    for verb in ["check", "up"] {
        let done = run_with_stdin([verb, "/dev/stdin"], OPERATOR);
        assert!(done.status.success(), "{done:?}");
    }
}

/// Runs `verb` with this home, and no other setting for the location of files.
fn at_home(verb: &str, home: &Path, manifest: &Path) -> Command {
    let mut command = runner();
    command
        .arg(verb)
        .arg(manifest)
        .env("HOME", home)
        .env_remove("XDG_CACHE_HOME")
        .env_remove("XDG_STATE_HOME");
    command
}

#[track_caller]
fn says_once(done: &Done, text: &str) {
    assert_eq!(done.stderr.matches(text).count(), 1, "{}", done.stderr);
}

/// Returns the cache folder that all tests share for compiled code.
fn cache_of_tests() -> std::ffi::OsString {
    let command = runner();
    let mut envs = command.get_envs();
    let cache = envs.find(|(name, _)| *name == "XDG_CACHE_HOME");
    cache.and_then(|(_, value)| value).unwrap().to_owned()
}

#[test]
fn without_a_home_folder_the_cache_is_disabled_with_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write(folder.path(), "m.yaml", OPERATOR);
    let file = write(folder.path(), "file", "");
    let read_only = Mounted::new(folder.path().join("ro"), "size=64k,ro");
    if read_only.is_none() {
        println!("a read-only home was not tried: {NOT_MOUNTED}");
    }
    let mut cases = vec![("up", file), ("check", PathBuf::from("/proc/nobody"))];
    cases.extend(
        read_only
            .as_ref()
            .map(|mounted| ("check", mounted.path().to_owned())),
    );
    for (verb, home) in cases {
        let done = Node::spawn(at_home(verb, &home, &manifest)).wait();
        assert!(done.status.success(), "{done:?}");
        assert_eq!(done.stdout, if verb == "up" { "0\n1\n2\n" } else { "" });
        says_once(&done, "set XDG_CACHE_HOME");
    }
}

/// Returns the peer id that a node logs at its start.
fn peer(done: &Done) -> String {
    let line = done.stderr.lines().find(|line| line.contains("listens on"));
    let words = line.unwrap().split_whitespace();
    words
        .skip_while(|word| *word != "peer")
        .nth(1)
        .unwrap()
        .to_owned()
}

#[test]
fn a_full_disk_leaves_no_partial_key() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Mounted::new(folder.path().join("full"), "size=64k") else {
        println!("skipped: {NOT_MOUNTED}");
        return;
    };
    let text = SHARED.replace("streams: {s:", "streams: {t: {}, s:")
        + "operators: {j: {wasm: 'builtin:jq', from: s, to: t, config: .seq}}\n\
           consumers: {c: {from: t, to: {file: {path: /dev/null}}}}\n";
    let manifest = write(folder.path(), "m.yaml", text);
    let run = |is_cached| {
        let mut command = at_home("up", disk.path(), &manifest);
        if is_cached {
            // Compiling again would only take time.
            command.env("XDG_CACHE_HOME", cache_of_tests());
        }
        let node = Node::spawn(command);
        node.logged("generation 1 runs");
        node.interrupt()
    };
    let filler = disk.path().join("filler");
    // Folders need no space there; file contents do.
    let _ = fs::write(&filler, vec![0; 1 << 20]);
    let full = run(false);
    says_once(&full, "set XDG_CACHE_HOME");
    says_once(&full, "set XDG_STATE_HOME");
    let keys = disk.path().join(".local/state/mosaik-runner/keys");
    let left = fs::read_dir(keys).map_or(0, Iterator::count);
    assert_eq!(left, 0, "something was left behind");

    fs::remove_file(filler).unwrap();
    let made = run(true);
    assert!(!made.stderr.contains("XDG_STATE_HOME"), "{}", made.stderr);
    assert_ne!(peer(&made), peer(&full));
    assert_eq!(peer(&run(true)), peer(&made), "the key was not kept");
}

#[test]
fn an_empty_key_file_is_reported_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write(folder.path(), "m.yaml", SHARED);
    let up = || Node::spawn(at_home("up", folder.path(), &manifest));
    let node = up();
    node.logged("generation 1 runs");
    node.signal(rustix::process::Signal::INT);
    node.wait();
    let keys = folder.path().join(".local/state/mosaik-runner/keys");
    let key = fs::read_dir(keys).unwrap().next().unwrap().unwrap().path();
    fs::write(&key, "").unwrap();
    let done = up().wait();
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    for part in [key.to_str().unwrap(), "delete it for a new identity"] {
        assert!(done.stderr.contains(part), "{}", done.stderr);
    }
}

#[test]
fn a_text_among_numbers_of_a_csv_is_counted_and_logged_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let price = |id: u32| if id == 150 { "n/a" } else { "1.5" };
    let rows: Vec<_> = (0..200).map(|id| format!("{id},{}\n", price(id))).collect();
    let rows = format!("id,price\n{}", rows.concat());
    write(folder.path(), "rows.csv", rows);
    let manifest = "mosaik: v1
streams: {s: {}}
producers: {read: {from: {file: {path: rows.csv}}, to: s}}
consumers: {print: {from: s, to: {stdout: {}}}}
";
    let manifest = write(folder.path(), "m.yaml", manifest);
    let done = run([
        OsStr::new("up"),
        OsStr::new("--strict"),
        manifest.as_os_str(),
    ]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(done.stdout.lines().count(), 200);
    assert_eq!(
        done.stdout.lines().nth(150),
        Some(r#"{"id":150,"price":"n/a"}"#)
    );
    assert!(
        done.stderr.contains("line 152: the column \"price\""),
        "{}",
        done.stderr
    );
    let summary = done.stderr.lines().find(|line| line.contains("mixed 1"));
    assert!(summary.is_some(), "{}", done.stderr);
}

#[test]
fn a_table_of_another_dialect_is_read_by_its_settings_and_written_as_rows() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "01234\t007\tTRUE\n56789\tn/a\tfalse\n98765\t12\t0\n";
    write(folder.path(), "in.txt", rows);
    let manifest = "mosaik: v1
streams: {s: {}}
producers:
  read:
    from:
      file:
        path: in.txt
        csv:
          delimiter: \"\\t\"
          header: [zip, n, flag]
          types: {zip: string, n: number, flag: boolean}
    to: s
consumers:
  save: {from: s, to: {file: {path: out.csv, csv: {delimiter: ';', header: [flag, zip, n]}}}}
  print: {from: s, to: {stdout: {}}}
";
    let manifest = write(folder.path(), "m.yaml", manifest);
    let done = run([OsStr::new("up"), manifest.as_os_str()]);
    // The row with `n/a` is lost.
    assert_eq!(done.status.code(), Some(5), "{done:?}");
    assert_eq!(
        done.stdout,
        "{\"zip\":\"01234\",\"n\":7,\"flag\":true}\n{\"zip\":\"98765\",\"n\":12,\"flag\":false}\n"
    );
    let written = fs::read_to_string(folder.path().join("out.csv")).unwrap();
    assert_eq!(written, "flag;zip;n\ntrue;01234;7\nfalse;98765;12\n");
    let reason = "line 2 has a value in the column \"n\" that is not a number";
    for part in [reason, "1 invalid"] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
}

#[test]
fn a_record_that_is_no_row_is_counted_and_the_reason_logged() {
    let folder = tempfile::tempdir().unwrap();
    let records = "{\"a\":1}\n{\"a\":2,\"b\":3}\n[4]\n{\"a\":5}\n";
    write(folder.path(), "in.jsonl", records);
    let manifest = "mosaik: v1
streams: {s: {}}
producers: {read: {from: {file: {path: in.jsonl}}, to: s}}
consumers: {save: {from: s, to: {stdout: {format: csv}}}}
";
    let manifest = write(folder.path(), "m.yaml", manifest);
    let done = run([OsStr::new("up"), manifest.as_os_str()]);
    assert_eq!(done.status.code(), Some(5), "{done:?}");
    assert_eq!(done.stdout, "a\n1\n5\n");
    for part in [
        "its field \"b\" is not a column",
        "not a JSON object",
        "2 invalid",
    ] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
}
