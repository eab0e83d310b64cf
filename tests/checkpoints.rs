//! What a user sees of checkpoints and delivery classes, and the verbs of `checkpoint`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Done, Node, eventually, socket::alone, write};

/// Counts with a state, to a file.
const COUNT: &str = "mosaik: v1
checkpoint: {every: 50ms}
streams: {raw: {}, once: {}}
producers: {make: {from: {generate: {rate: 2000}}, to: raw}}
operators: {once: {wasm: 'builtin:dedupe', from: raw, to: once, config: {by: seq}}}
consumers: {out: {from: once, to: {file: {path: out.jsonl}}}}
";

/// A manifest in a folder of its own, with its own state and sockets.
struct Case {
    folder: tempfile::TempDir,
    manifest: PathBuf,
}

impl Case {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let manifest = write(folder.path(), "m.yaml", text);
        Self { folder, manifest }
    }

    fn spawn(&self, args: &[&str]) -> Node {
        let mut command = alone(self.folder.path());
        command.env("XDG_STATE_HOME", self.folder.path().join("state"));
        command.args(args);
        Node::spawn(command)
    }

    fn run(&self, args: &[&str]) -> Done {
        self.spawn(args).wait()
    }

    fn json(&self, args: &[&str]) -> Value {
        let done = self.run(args);
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"))
    }

    fn manifest(&self) -> &str {
        self.manifest.to_str().expect("it is text")
    }

    /// Runs `checkpoint VERB MANIFEST ARGS`.
    fn checkpoint(&self, verb: &str, args: &[&str]) -> Done {
        let all = [&["checkpoint", verb, self.manifest()], args].concat();
        self.run(&all)
    }

    fn up(&self) -> Node {
        let node = self.spawn(&["up", "--no-watch", self.manifest()]);
        node.logged("generation 1 runs");
        node
    }

    /// Runs the node until it has a complete checkpoint, and stops it. Returns its last status.
    fn pause(&self) -> Value {
        let node = self.up();
        let mut status = Value::Null;
        eventually("a checkpoint is complete", || {
            status = self.json(&["status", self.manifest(), "--json"]);
            status["checkpoint"]["number"].as_u64() > Some(2)
        });
        node.signal(Signal::TERM);
        let done = node.wait();
        assert!(done.status.success(), "{}", done.stderr);
        status
    }

    fn ledger(&self) -> PathBuf {
        let folders = fs::read_dir(self.folder.path().join("state/mosaik-runner/checkpoints"));
        let mut folders = folders.expect("the node had checkpoints");
        let folder = folders
            .next()
            .expect("there is one")
            .expect("it can be read");
        folder.path()
    }
}

#[track_caller]
fn fails(done: &Done, code: i32, with: &str) {
    assert_eq!(done.status.code(), Some(code), "{done:?}");
    assert!(
        done.stderr.contains(with),
        "{with} is not in {}",
        done.stderr
    );
}

#[test]
fn a_running_node_shows_its_checkpoints_and_keeps_them_to_itself() {
    let case = Case::new(COUNT);
    let node = case.up();
    let mut checkpoint = Value::Null;
    eventually("a checkpoint with state is complete", || {
        checkpoint = case.json(&["status", "--json"])["checkpoint"].clone();
        checkpoint["state_bytes"].as_u64() > Some(0)
    });
    assert_eq!(checkpoint["every_ms"], 50);
    assert!(checkpoint["took_ms"].as_f64() > Some(0.0), "{checkpoint}");
    assert!(checkpoint["age_ms"].is_u64(), "{checkpoint}");
    let text = case.run(&["status"]).stdout;
    assert!(
        text.contains("\ncheckpoint ") && text.contains(" of state, took "),
        "{text}"
    );
    assert!(
        text.contains("producer make -> operator once -> consumer out  exactly once"),
        "{text}"
    );
    for verb in ["show", "check", "repair", "drop"] {
        fails(&case.checkpoint(verb, &[]), 3, "the node runs");
    }
    fails(&case.checkpoint("export", &["unused"]), 3, "the node runs");
    let listed = case.json(&["checkpoint", "list", "--json"]);
    assert_eq!(
        (&listed[0]["in_use"], &listed[0]["number"]),
        (&true.into(), &Value::Null)
    );
    node.kill();
}

#[test]
fn checkpoints_that_are_given_up_are_counted_and_explained() {
    // The sink is one reader, and the operator's output waits for two.
    let waits = "once: {online_when: {producer: {minimum_of: 2}}}}\n";
    let text = COUNT.replacen("once: {}}\n", waits, 1);
    // Slow enough to leave room in every queue.
    let case = Case::new(&text.replace("rate: 2000", "rate: 5"));
    let node = case.up();
    let mut checkpoint = Value::Null;
    eventually("a checkpoint is given up", || {
        checkpoint = case.json(&["status", "--json"])["checkpoint"].clone();
        checkpoint["given_up"]["slow"].as_u64() > Some(0)
    });
    let reason = checkpoint["reason"].as_str().expect("there is one");
    assert!(
        reason.starts_with("no barrier has passed consumer out"),
        "{reason}"
    );
    let text = case.run(&["status"]).stdout;
    let counted = text.contains("\ncheckpoints given up: ") && text.contains(" slow");
    assert!(counted && text.contains(reason), "{text}");
    let explained = case.run(&["explain", "once"]).stdout;
    let line = format!("the last checkpoint was given up: {reason}");
    assert!(explained.contains(&line), "{explained}");
    node.kill();
}

#[test]
fn a_checkpoint_is_listed_exported_dropped_and_imported() {
    let case = Case::new(COUNT);
    assert!(
        case.run(&["checkpoint", "list"])
            .stdout
            .starts_with("no checkpoints in ")
    );
    fails(&case.checkpoint("export", &["x"]), 3, "no checkpoint in ");
    case.pause();
    let shown = case.json(&["checkpoint", "show", case.manifest(), "--json"]);
    let number = shown["number"].as_u64().expect("it has a number");
    let listed = case.json(&["checkpoint", "list", "--json"]);
    let manifest = fs::canonicalize(&case.manifest).expect("it exists");
    assert_eq!(
        listed[0]["manifest"],
        manifest.to_str().expect("it is text")
    );
    assert_eq!(
        (&listed[0]["number"], &listed[0]["format"]),
        (&number.into(), &1.into())
    );
    let table = case.run(&["checkpoint", "list"]).stdout;
    assert!(
        table.contains(listed[0]["folder"].as_str().expect("it is text")),
        "{table}"
    );

    let file = case.folder.path().join("moved.checkpoint");
    let file = file.to_str().expect("it is text");
    let exported = case.checkpoint("export", &[file]);
    assert!(
        exported
            .stdout
            .starts_with(&format!("exported checkpoint {number} to ")),
        "{exported:?}"
    );
    fails(
        &case.checkpoint("export", &[file]),
        3,
        "exists: name a new file",
    );
    fails(
        &case.checkpoint("import", &[file]),
        3,
        "`--replace` replaces it",
    );
    assert_eq!(
        case.checkpoint("drop", &[]).stdout,
        format!("discarded checkpoint {number}\n")
    );
    assert_eq!(
        case.json(&["checkpoint", "show", case.manifest(), "--json"]),
        Value::Null
    );
    assert_eq!(
        case.checkpoint("import", &[file]).stdout,
        format!("imported checkpoint {number}\n")
    );
    let again = case.json(&["checkpoint", "show", case.manifest(), "--json"]);
    assert_eq!(again["stages"], shown["stages"]);
    assert_eq!(again["taken_ms"], shown["taken_ms"]);
    // The folder names a node whose manifest is gone.
    let folder = case.ledger();
    let by_folder = case.run(&["checkpoint", "show", folder.to_str().expect("it is text")]);
    assert!(
        by_folder
            .stdout
            .starts_with(&format!("checkpoint {number}, ")),
        "{by_folder:?}"
    );

    let node = case.up();
    node.logged(&format!("goes on from checkpoint {number}"));
    node.kill();
    let text = fs::read_to_string(case.folder.path().join("out.jsonl")).expect("it is written");
    let whole = text.lines().filter(|line| line.ends_with('}')).enumerate();
    for (index, line) in whole {
        assert!(
            line.starts_with(&format!("{{\"seq\":{index},")),
            "line {index}: {line}"
        );
    }

    fs::write(file, "no checkpoint").expect("it is ours");
    fails(
        &case.checkpoint("import", &[file]),
        3,
        "not an exported checkpoint",
    );
    let other = Case::new(
        &COUNT
            .replace("make", "m")
            .replace("once", "o")
            .replace("out:", "w:"),
    );
    fs::remove_file(file).expect("it is ours");
    let exported = case.checkpoint("export", &[file]);
    assert!(exported.status.success(), "{exported:?}");
    fails(
        &other.checkpoint("import", &[file]),
        3,
        "none of its stages is in the manifest",
    );
}

#[test]
fn damage_is_shown_first_and_mended_on_request() {
    let case = Case::new(COUNT);
    case.pause();
    let intact = case.checkpoint("repair", &["--yes"]).stdout;
    assert!(
        intact.starts_with("nothing to mend: checkpoint "),
        "{intact}"
    );
    let ledger = case.ledger().join("ledger.redb");
    let whole = fs::read(&ledger).expect("it exists");
    fs::write(&ledger, &whole[..100]).expect("it is ours");
    fails(&case.checkpoint("check", &[]), 3, "error: ");
    let refused = case.checkpoint("repair", &[]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert_eq!(
        fs::read(&ledger).expect("it exists").len(),
        100,
        "nothing is changed"
    );
    let listed = case.json(&["checkpoint", "list", "--json"]);
    assert!(listed[0]["problem"].is_string(), "{listed}");
    let dropped = case.checkpoint("drop", &[]).stdout;
    assert!(dropped.starts_with("renamed to "), "{dropped}");
    assert!(!Path::new(&ledger).exists());
}

#[test]
fn each_path_has_a_delivery_class() {
    let case = Case::new(&COUNT.replace("out:", "print: {from: once, to: {stdout: {}}}, out:"));
    let done = case.run(&["check", "--delivery", case.manifest()]);
    let lines: Vec<_> = done.stdout.lines().collect();
    let path = "producer make -> operator once -> consumer";
    let printed = "printed records cannot be taken back and may be printed again";
    assert_eq!(
        lines,
        [
            format!("{path} out: exactly once"),
            format!("{path} print: at least once (consumer print: {printed})"),
        ]
    );
    let json = case.json(&["check", "--delivery", "--json", case.manifest()]);
    assert_eq!(json["class"], "at_least_once");
    assert_eq!(json["paths"][1]["weakest"]["part"], "consumer print");
    assert_eq!(json["paths"][0]["weakest"], Value::Null);
    let alone = case.run(&["check", "--json", case.manifest()]);
    assert_eq!(alone.status.code(), Some(2), "{alone:?}");
}

#[test]
fn a_required_class_is_demanded_by_every_command() {
    let case = Case::new(&COUNT.replace("every: 50ms", "every: 50ms, require: exactly_once"));
    let node = case.up();
    let weaker = fs::read_to_string(&case.manifest).expect("it exists");
    let weaker = weaker.replace("{file: {path: out.jsonl}}", "{stdout: {}}");
    fs::write(&case.manifest, &weaker).expect("it is ours");
    let expected = "consumer `out` is at least once, and `checkpoint` requires exactly once";
    for verb in ["check", "plan", "reload"] {
        let done = case.run(&[verb, case.manifest()]);
        assert_eq!(done.status.code(), Some(1), "{verb}: {done:?}");
        let all = done.stdout + &done.stderr;
        assert!(all.contains(expected), "{verb}: {all}");
    }
    // What is required changes while the node runs, and a plan shows the class.
    fs::write(
        &case.manifest,
        weaker.replace("exactly_once", "at_least_once"),
    )
    .expect("it is ours");
    let plan = case.run(&["plan", case.manifest()]).stdout;
    let shown =
        "delivery producer make -> operator once -> consumer out: at least once (consumer out: ";
    assert!(plan.contains(shown), "{plan}");
    assert!(!plan.contains("restart"), "{plan}");
    node.kill();
    fs::write(&case.manifest, &weaker).expect("it is ours");
    fails(&case.run(&["up", case.manifest()]), 1, expected);
}
