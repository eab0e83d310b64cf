//! Tests each error policy with the real runner: the destination of records that an operator
//! rejects or fails on, their counts, the unaffected rest of the graph, and the initial state of
//! the next instance.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::support::{Done, Node, guest::Guest, runner, write};
use serde_json::Value;

/// Number of records in each of the two pipelines.
const COUNT: usize = 300;

/// Writes a manifest in which `suspect` and an honest operator each have their own pipeline, with a
/// stream for dead-letter records.
fn manifest(folder: &Path, suspect: &str, on_error: &str) -> PathBuf {
    let (stream, consumer) = if on_error.contains("to:") {
        (
            ", letters: {}",
            "  letters: {from: letters, to: {file: {path: letters.jsonl}}}\n",
        )
    } else {
        ("", "")
    };
    let text = format!(
        "mosaik: v1\nstreams: {{a: {{}}, b: {{}}, c: {{}}, d: {{}}{stream}}}\n\
         producers:\n  first: {{from: {{generate: {{count: {COUNT}, rate: 300}}}}, to: a}}\n  second: {{from: {{generate: {{count: {COUNT}, rate: 300}}}}, to: c}}\n\
         operators:\n  suspect: {{{suspect}, from: a, to: b, on_error: {on_error}}}\n  \
         honest: {{wasm: 'builtin:jq', from: c, to: d, config: {{filter: .seq}}, limits: {{time: 10s}}}}\n\
         consumers:\n  theirs: {{from: b, to: {{file: {{path: theirs.jsonl}}}}}}\n  ours: {{from: d, to: {{file: {{path: ours.jsonl}}}}}}\n{consumer}"
    );
    write(folder, "m.yaml", text)
}

/// An operator that rejects every third record, with a reason.
const PICKY: &str = "wasm: 'builtin:jq', limits: {time: 10s}, config: {filter: 'if .seq % 3 == 0 then error(\"a third\") else .seq end'}";

fn guest(folder: &Path, guest: &Guest<'_>) -> String {
    write(folder, "suspect.wasm", guest.module());
    "wasm: suspect.wasm, limits: {memory: 16MiB, time: 100ms}".to_owned()
}

fn lines(folder: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Returns the figures of a stage in the summary: in, out, and the count of each reason.
#[track_caller]
fn counts(done: &Done, stage: &str) -> (usize, usize, impl Fn(&str) -> usize + use<>) {
    let find = |line: &&str| line.split_whitespace().nth(1) == Some(stage);
    let line = done.stderr.lines().rev().find(find);
    let line = line.unwrap_or_else(|| panic!("no summary of {stage}:\n{}", done.stderr));
    let words: Vec<String> = line
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let before = move |what: &str| {
        let at = words.iter().skip(2).position(|word| word == what);
        at.map_or(0, |at| words[at + 1].parse().unwrap())
    };
    (before("in"), before("out"), before)
}

/// Asserts that the honest operator was unaffected, and that all records of `suspect` are counted.
#[track_caller]
fn accounted(folder: &Path, done: &Done) -> (usize, usize, usize) {
    let ours: Vec<String> = (0..COUNT).map(|seq| seq.to_string()).collect();
    assert_eq!(lines(folder, "ours.jsonl"), ours, "{}", done.stderr);
    let (taken, out, of) = counts(done, "suspect");
    assert_eq!(taken, COUNT, "{}", done.stderr);
    let (rejected, failed) = (of("rejected"), of("failed"));
    assert_eq!(taken, out + rejected + failed, "{}", done.stderr);
    assert_eq!(lines(folder, "theirs.jsonl").len(), out);
    (rejected, failed, of("restarts"))
}

#[test]
fn skip_counts_rejected_records_and_continues() {
    let folder = tempfile::tempdir().unwrap();
    let done = Node::up(&manifest(folder.path(), PICKY, "skip")).wait();
    assert!(done.status.success(), "{}", done.stderr);
    assert_eq!(
        accounted(folder.path(), &done),
        (COUNT / 3, 0, 0),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("a third"), "{}", done.stderr);
}

#[test]
fn each_reason_is_logged_once_whenever_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let two = PICKY.replace(
        "else .seq end",
        "elif .seq > 150 then error(\"a late one\") else .seq end",
    );
    let done = Node::up(&manifest(folder.path(), &two, "skip")).wait();
    for reason in ["a third", "a late one"] {
        let told = done.stderr.matches(reason).count();
        assert_eq!(told, 1, "{reason}: {}", done.stderr);
    }
}

#[test]
fn restart_counts_rejected_records_and_starts_a_new_instance() {
    let folder = tempfile::tempdir().unwrap();
    let done = Node::up(&manifest(folder.path(), PICKY, "restart")).wait();
    assert!(done.status.success(), "{}", done.stderr);
    let (rejected, failed, restarts) = accounted(folder.path(), &done);
    assert_eq!((rejected, failed), (COUNT / 3, 0), "{}", done.stderr);
    assert!(restarts > 0, "{}", done.stderr);
    assert!(
        done.stderr
            .contains("continues with a new instance from no state"),
        "{}",
        done.stderr
    );
}

#[test]
fn restart_starts_a_new_instance_after_a_refused_batch() {
    let folder = tempfile::tempdir().unwrap();
    let refuses = guest(
        folder.path(),
        &Guest {
            process: "(call $refuse (i32.const 32) (i32.const 3))",
            ..Guest::default()
        },
    );
    let done = Node::up(&manifest(folder.path(), &refuses, "restart")).wait();
    assert!(done.status.success(), "{}", done.stderr);
    let (_, failed, restarts) = accounted(folder.path(), &done);
    assert_eq!(failed, COUNT, "{}", done.stderr);
    assert!(restarts > 0, "{}", done.stderr);
}

#[test]
fn stop_ends_the_operator_and_only_what_fed_it() {
    let folder = tempfile::tempdir().unwrap();
    let done = Node::up(&manifest(folder.path(), PICKY, "stop")).wait();
    assert_eq!(done.status.code(), Some(3), "{}", done.stderr);
    assert!(
        done.stderr.contains("rejected a record: a third"),
        "{}",
        done.stderr
    );
    assert_eq!(
        lines(folder.path(), "ours.jsonl").len(),
        COUNT,
        "{}",
        done.stderr
    );
}

#[test]
fn rejected_records_go_to_a_stream_with_their_context() {
    let folder = tempfile::tempdir().unwrap();
    let done = Node::up(&manifest(folder.path(), PICKY, "{to: letters}")).wait();
    assert!(done.status.success(), "{}", done.stderr);
    assert_eq!(accounted(folder.path(), &done), (COUNT / 3, 0, 0));
    let letters = lines(folder.path(), "letters.jsonl");
    assert_eq!(letters.len(), COUNT / 3);
    for (index, letter) in letters.iter().enumerate() {
        let letter: Value = serde_json::from_str(letter).unwrap();
        assert_eq!(
            (&letter["operator"], &letter["port"]),
            (&"suspect".into(), &"in".into())
        );
        assert!(
            letter["reason"].as_str().unwrap().contains("a third"),
            "{letter}"
        );
        let datum: Value = serde_json::from_str(letter["datum"].as_str().unwrap()).unwrap();
        assert_eq!(datum["seq"], index * 3);
    }
}

#[test]
fn failed_records_go_to_a_stream_for_every_kind_of_failure() {
    for (process, reason) in [
        ("unreachable", "trapped in `process`: wasm `unreachable`"),
        (
            "(loop $l (br $l)) unreachable",
            "`process` used more than the 100",
        ),
        (
            "(loop $l (drop (memory.grow (i32.const 16))) (br $l)) unreachable",
            "`process` needs more memory than",
        ),
        (
            "(call $answer (i32.const 9) (local.get $ptr) (local.get $len) (i32.const 0))",
            "`process` returned a malformed answer: output port 9 of 1",
        ),
        ("(call $refuse (i32.const 32) (i32.const 3))", "out"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let hostile = Guest {
            process,
            ..Guest::default()
        };
        let suspect = guest(folder.path(), &hostile);
        let done = Node::up(&manifest(folder.path(), &suspect, "{to: letters}")).wait();
        assert!(done.status.success(), "{}", done.stderr);
        assert_eq!(accounted(folder.path(), &done).1, COUNT, "{}", done.stderr);
        let letters = lines(folder.path(), "letters.jsonl");
        assert_eq!(letters.len(), COUNT, "{reason}");
        for (seq, letter) in letters.iter().enumerate() {
            let letter: Value = serde_json::from_str(letter).unwrap();
            let said = letter["reason"].as_str().unwrap();
            // If every record uses its full time limit, the last ones of a batch are not tried.
            let given_up = reason.contains("used more") && said.starts_with("not tried: ");
            assert!(said.contains(reason) || given_up, "{letter}");
            let datum: Value = serde_json::from_str(letter["datum"].as_str().unwrap()).unwrap();
            assert_eq!(datum["seq"], seq);
        }
    }
}

#[test]
fn a_repeatedly_failing_operator_is_restarted_with_backoff() {
    let folder = tempfile::tempdir().unwrap();
    let traps = Guest {
        process: "unreachable",
        ..Guest::default()
    };
    let suspect = guest(folder.path(), &traps);
    let done = Node::up(&manifest(folder.path(), &suspect, "skip")).wait();
    assert!(done.status.success(), "{}", done.stderr);
    let (_, failed, restarts) = accounted(folder.path(), &done);
    assert_eq!(failed, COUNT);
    // Each record of a batch gets its own instance, and the batch after one that failed completely
    // has to wait.
    assert!((1..=COUNT + 20).contains(&restarts), "{}", done.stderr);
    for pause in ["pause=0ns", "pause=200ms"] {
        assert!(done.stderr.contains(pause), "{}", done.stderr);
    }
}

#[test]
fn endless_answers_are_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let more = "(drop (call $answer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1))) (i32.const 320)";
    let endless = Guest {
        process: more,
        resume: more,
        ..Guest::default()
    };
    write(folder.path(), "suspect.wasm", endless.module());
    let suspect = "wasm: suspect.wasm, limits: {time: 10ms}";
    let node = Node::up(&manifest(folder.path(), suspect, "skip"));
    // Three times a million answers, each of which takes some microseconds of CPU time.
    let done = node.wait_within(Duration::from_mins(10));
    assert!(done.status.success(), "{}", done.stderr);
    assert_eq!(accounted(folder.path(), &done).1, COUNT, "{}", done.stderr);
    assert!(
        done.stderr.contains("`resume` used more than the")
            || done.stderr.contains("answers to one batch"),
        "{}",
        done.stderr
    );
}

/// Each case: a stream's encoding, the source's format, the contents of the file, and the form of
/// each record in its dead-letter record.
#[test]
fn a_dead_letter_record_has_the_original_bytes_for_every_encoding() {
    let postcard = b"\x03IBM\0\0\0\0\0\0\xf0\x3f".as_slice();
    for (encoding, format, file, datum) in [
        (
            "json",
            "jsonl",
            b"{\"a\": 1}\n".as_slice(),
            b"{\"a\": 1}".as_slice(),
        ),
        (
            "text",
            "lines",
            "d\u{e9}j\u{e0} \"vu\"\n".as_bytes(),
            "d\u{e9}j\u{e0} \"vu\"".as_bytes(),
        ),
        ("bytes", "lines", b"\xff\x00\xfe\n", b"\xff\x00\xfe"),
        (
            "postcard, schema: {symbol: string, price: f64}",
            "jsonl",
            b"{\"symbol\": \"IBM\", \"price\": 1}\n",
            postcard,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let refuses = Guest {
            process: "(call $refuse (i32.const 32) (i32.const 3))",
            ..Guest::default()
        };
        write(folder.path(), "suspect.wasm", refuses.module());
        write(folder.path(), "in.txt", file);
        let path = write(
            folder.path(),
            "m.yaml",
            format!(
                "mosaik: v1\nstreams: {{a: {{encoding: {encoding}}}, b: {{encoding: {encoding}}}, letters: {{}}}}\n\
                 producers: {{p: {{from: {{file: {{path: in.txt, format: {format}}}}}, to: a}}}}\n\
                 operators: {{suspect: {{wasm: suspect.wasm, from: a, to: b, on_error: {{to: letters}}}}}}\n\
                 consumers: {{theirs: {{from: b, to: {{file: {{path: theirs}}}}}}, letters: {{from: letters, to: {{file: {{path: letters.jsonl}}}}}}}}\n"
            ),
        );
        let done = Node::up(&path).wait();
        assert!(done.status.success(), "{}", done.stderr);
        let letters = lines(folder.path(), "letters.jsonl");
        assert_eq!(letters.len(), 1, "{encoding}: {}", done.stderr);
        let letter: Value = serde_json::from_str(&letters[0]).unwrap();
        let original = match (letter["datum"].as_str(), letter["datum_base64"].as_str()) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(base64)) => data_encoding::BASE64.decode(base64.as_bytes()).unwrap(),
            both => panic!("{both:?}"),
        };
        assert_eq!(original, datum, "{encoding}");
        assert_eq!(
            (&letter["operator"], &letter["port"], &letter["reason"]),
            (&"suspect".into(), &"in".into(), &"out".into())
        );
    }
}

/// Counts its batches and answers with the count as a letter from `A` on. Traps when a batch begins
/// with `X`, and saves the count as its state.
const COUNTING: Guest<'_> = Guest {
    describe: Guest::DESCRIBE,
    open: Guest::FINE,
    process: "
        (if (i32.eq (i32.load8_u offset=4 (local.get $ptr)) (i32.const 0x58)) (then unreachable))
        (global.set $seen (i32.add (global.get $seen) (i32.const 1)))
        (i32.store (i32.const 512) (i32.const 0x01000000))
        (i32.store8 (i32.const 516) (i32.add (global.get $seen) (i32.const 0x40)))
        (call $answer (i32.const 0) (i32.const 512) (i32.const 5) (i32.const 0))",
    resume: Guest::NOTHING,
    tick: Guest::NOTHING,
    finish: Guest::NOTHING,
    snapshot: "
        (i32.store8 (i32.const 520) (global.get $seen))
        (i32.store8 (i32.const 320) (i32.const 0)) (i32.store (i32.const 324) (i32.const 7))
        (i64.store (i32.const 328) (i64.const 0x1_0000_0100)) (i32.store8 (i32.const 256) (i32.const 0))
        (i64.store (i32.const 268) (i64.const 0x1_0000_0208)) (i32.const 320)",
    restore: "
        (global.set $seen (i32.load8_u (i32.load offset=12 (local.get $ptr))))
        (i32.store8 (i32.const 320) (i32.const 0)) (i32.const 320)",
    realloc: Guest::REALLOC,
    memory: "2",
    fields: "(global $seen (mut i32) (i32.const 0))",
    imports: &[],
};

/// A counting operator that follows a file and prints.
struct Counting {
    folder: tempfile::TempDir,
    node: Node,
}

impl Counting {
    fn start(guest: &Guest<'_>, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "suspect.wasm", guest.module());
        write(folder.path(), "in.txt", "");
        let path = write(
            folder.path(),
            "m.yaml",
            format!(
                "mosaik: v1\nstreams: {{a: {{encoding: text}}, b: {{encoding: text}}}}\n\
                 producers: {{p: {{from: {{file: {{path: in.txt, format: lines, follow: true}}}}, to: a}}}}\n\
                 operators: {{suspect: {{wasm: suspect.wasm, from: a, to: b, limits: {{time: 5s}}{more}}}}}\n\
                 consumers: {{c: {{from: b, to: {{stdout: {{}}}}}}}}\n"
            ),
        );
        let mut command = runner();
        command.arg("up").arg(path).env("RUST_LOG", "debug");
        Self {
            folder,
            node: Node::spawn(command),
        }
    }

    fn say(&self, line: &str) {
        let path = self.folder.path().join("in.txt");
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    /// Waits until a snapshot is due with the next call.
    fn let_time_pass() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_instance_is_restored_from_its_snapshot_and_later_calls() {
    let counting = Counting::start(&COUNTING, ", checkpoint: 10ms");
    counting.say("one");
    assert_eq!(counting.node.stdout_lines(1), ["A"]);
    Counting::let_time_pass();
    counting.say("two");
    counting.node.logged("snapshot");
    // Lines that are read together are one batch.
    counting.node.stdout_lines(2);
    counting.say("three");
    assert_eq!(counting.node.stdout_lines(3), ["A", "B", "C"]);
    counting.say("X");
    counting.node.logged("trapped in `process`");
    counting
        .node
        .logged("continues with a new instance from its last snapshot, ");
    counting.say("four");
    assert_eq!(counting.node.stdout_lines(4), ["A", "B", "C", "D"]);
}

#[test]
fn an_instance_without_a_snapshot_is_restored_from_its_calls() {
    let counting = Counting::start(&COUNTING, ", checkpoint: 1h");
    counting.say("one");
    assert_eq!(counting.node.stdout_lines(1), ["A"]);
    counting.say("X");
    counting
        .node
        .logged("continues with a new instance from empty state and 1 calls since");
    counting.say("two");
    assert_eq!(counting.node.stdout_lines(2), ["A", "B"]);
}

#[test]
fn a_snapshot_refused_three_times_is_discarded_and_counted() {
    let refuses = Guest {
        restore: "unreachable",
        ..COUNTING
    };
    let counting = Counting::start(&refuses, ", checkpoint: 10ms");
    counting.say("one");
    assert_eq!(counting.node.stdout_lines(1), ["A"]);
    Counting::let_time_pass();
    counting.say("two");
    counting.node.logged("snapshot");
    counting.node.stdout_lines(2);
    counting.say("X");
    counting.node.logged("its last snapshot is discarded");
    counting
        .node
        .logged_times("it rejects its last snapshot", 3);
    counting.node.logged("forgotten=2");
    counting.say("three");
    assert_eq!(counting.node.stdout_lines(3), ["A", "B", "A"]);
    counting.node.signal(rustix::process::Signal::INT);
    let done = counting.node.wait();
    assert_eq!(done.status.code(), Some(5), "{}", done.stderr);
    assert!(done.stderr.contains("2 forgotten"), "{}", done.stderr);
}

#[test]
fn a_snapshot_that_fails_costs_the_instance_and_nothing_else() {
    let traps = Guest {
        snapshot: "unreachable",
        ..COUNTING
    };
    let counting = Counting::start(&traps, ", checkpoint: 10ms");
    counting.say("one");
    assert_eq!(counting.node.stdout_lines(1), ["A"]);
    Counting::let_time_pass();
    counting.say("two");
    counting.node.logged("trapped in `snapshot`");
    // Perhaps already after the first call.
    counting.node.logged(" calls since");
    counting.node.stdout_lines(2);
    counting.say("three");
    assert_eq!(counting.node.stdout_lines(3), ["A", "B", "C"]);
}
