//! Tests warnings of traps in manifests: shown by `check`, `up` and `plan`, as text and as JSON,
//! and never for an example.

use std::path::{Path, PathBuf};

use crate::support::socket::{ask, up};
use crate::support::{root, run, write};

/// Writes a trap: four instances each drop only the duplicates that they see themselves.
fn trap(folder: &Path, name: &str) -> PathBuf {
    let text = "mosaik: v1\nstreams: {raw: {}, once: {}}\n\
        producers: {clock: {from: {generate: {rate: 10}}, to: raw}}\n\
        operators:\n  once: {wasm: 'builtin:dedupe', from: raw, to: once, config: {by: seq}, instances: 4}\n\
        consumers: {print: {from: once, to: {file: {path: out.jsonl}}}}\n";
    write(folder, name, text)
}

const WARNING: &str = "operator `once` keeps state, which is divided among its 4 instances";

#[test]
fn a_warning_has_a_place_and_a_hint_and_does_not_fail_the_check() {
    let folder = tempfile::tempdir().expect("there is room");
    let folder = folder.path();
    let (manifest, next) = (trap(folder, "trap.yaml"), trap(folder, "next.yaml"));
    let checked = run(["check".as_ref(), manifest.as_os_str()]);
    assert!(checked.status.success(), "{checked:?}");
    for text in [
        &format!("warning: {WARNING}"),
        "trap.yaml:5:",
        "hint: `key: seq` sends all records of one key to one instance",
    ] {
        assert!(
            checked.stderr.contains(text),
            "`{text}` is missing:\n{}",
            checked.stderr
        );
    }
    let args = ["--log", "json", "check"].map(std::ffi::OsStr::new);
    let logged = run(args.into_iter().chain([manifest.as_os_str()])).stderr;
    let event: serde_json::Value = serde_json::from_str(logged.trim()).expect("one event");
    assert_eq!(event["level"], "WARN", "{event}");
    assert!(
        event.to_string().contains("divided among its 4 instances"),
        "{event}"
    );
    let node = up(folder, &["--no-watch"], &manifest);
    node.logged(WARNING);
    let plan = ask(folder, &["plan", next.to_str().expect("it is text")]);
    assert!(plan.status.success(), "{plan:?}");
    assert!(plan.stdout.contains("nothing changes"), "{plan:?}");
    assert!(plan.stderr.contains(WARNING), "{plan:?}");
}

/// Collects all manifests below a folder.
fn manifests(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            manifests(&path, found);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn examples_cause_no_warning() {
    let mut examples = Vec::new();
    manifests(&root().join("manifests"), &mut examples);
    assert!(examples.len() >= 5, "{examples:?}");
    for example in examples {
        let checked = run(["check".as_ref(), example.as_os_str()]);
        assert!(checked.status.success(), "{checked:?}");
        assert_eq!(checked.stderr, "", "{}", example.display());
    }
}
