//! Tests of `run-operator` and `inspect`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::PathBuf,
    process::{Child, Stdio},
};

use crate::support::{Done, guest::Guest, run_with_stdin, runner, write};
use serde_json::{Value, json};

fn accounts() -> PathBuf {
    crate::support::root().join("tests/operator/built.wasm")
}

#[track_caller]
fn tried(args: &[&str], stdin: &str, code: i32) -> (String, String) {
    ended(
        run_with_stdin([&["run-operator"], args].concat(), stdin),
        code,
    )
}

/// Returns the outputs of a process that has ended with this code.
#[track_caller]
fn ended(done: Done, code: i32) -> (String, String) {
    let Done {
        status,
        stdout,
        stderr,
    } = done;
    assert_eq!(status.code(), Some(code), "{stdout}\n{stderr}");
    (stdout, stderr)
}

#[test]
fn lines_pass_through_an_operator_and_rejections_are_reported() {
    let jq = ["builtin:jq", "--config", r#"".a * 2""#];
    let (stdout, stderr) = tried(&jq, "{\"a\":1}\n\n{\"a\":2}", 0);
    assert_eq!(stdout, "2\n4\n");
    assert!(
        stderr.contains("datums_in=2 datums_out=2 rejected=0"),
        "{stderr}"
    );
    let (stdout, stderr) = tried(&jq, "{\"a\":1}\n\nx\n{\"a\":3}\n", 4);
    assert_eq!(stdout, "2\n6\n");
    let refused = stderr
        .lines()
        .find(|line| line.contains("rejected: not JSON"));
    let refused = refused.unwrap_or_else(|| panic!("{stderr}"));
    assert!(
        refused.contains("line=3") && refused.contains("datum=\"x\""),
        "{refused}"
    );
    let (stdout, _) = tried(&["builtin:jq", "--config", "\".\""], "", 0);
    assert_eq!(stdout, "");
}

#[test]
fn the_configuration_can_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "config.json", "\".a\"");
    let at_file = format!("@{}", file.display());
    let (stdout, _) = tried(&["builtin:jq", "--config", &at_file], "{\"a\":1}", 0);
    assert_eq!(stdout, "1\n");
    let (_, stderr) = tried(&["builtin:jq", "--config", "{"], "", 2);
    assert!(
        stderr.contains("--config is neither JSON nor YAML"),
        "{stderr}"
    );
    let (_, stderr) = tried(&["builtin:jq", "--config", "\"${env:NOPE_NOPE}\""], "", 2);
    assert!(
        stderr.contains("--config: ")
            && !stderr.contains("neither JSON")
            && stderr.contains("NOPE_NOPE"),
        "{stderr}"
    );
    let (_, stderr) = tried(&["builtin:jq", "--config", "{fliter: .}"], "", 1);
    assert!(stderr.contains("did you mean `filter`?"), "{stderr}");
    let yaml = write(folder.path(), "config.yaml", "filter: .a + ${file:b.txt}\n");
    write(folder.path(), "b.txt", "41\n");
    let at_file = format!("@{}", yaml.display());
    for config in ["{filter: .a + 41}", ".a + 41", &at_file] {
        let (stdout, _) = tried(&["builtin:jq", "--config", config], "{\"a\":1}", 0);
        assert_eq!(stdout, "42\n", "{config}");
    }
    tried(&["builtin:jq", "--config", "@/no/such"], "", 2);
    let accounts = accounts();
    let (_, stderr) = tried(
        &[accounts.to_str().unwrap(), "--config", r#"{"least":"x"}"#],
        "",
        1,
    );
    assert!(
        stderr.contains("config.least: must be a whole number of at least 0, found a text"),
        "{stderr}"
    );
}

#[test]
fn several_ports_are_read_and_written_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write(folder.path(), "o", "{\"customer\":\"ann\",\"amount\":5}\n");
    let payments = "{\"customer\":\"ann\",\"paid\":2}\n{\"customer\":\"bob\",\"paid\":2}\n";
    let accounts = accounts();
    let base = [accounts.to_str().unwrap(), "--config", r#"{"least":0}"#];
    let ins = [&*format!("--in=orders={}", place("o")), "--in=payments=-"];
    let (stdout, _) = tried(&[&base[..], &ins].concat(), payments, 0);
    let lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let owes = |customer: &str, owes: &str| json!({"port": "balances", "datum": {"customer": customer, "owes": owes}});
    assert_eq!(
        lines,
        [
            owes("ann", "5"),
            owes("ann", "3"),
            json!({"port": "unknown", "datum": "bob"}),
            owes("all", "3")
        ]
    );
    let out = format!("--out=unknown={}", place("u"));
    let (stdout, _) = tried(&[&base[..], &ins, &[&*out]].concat(), payments, 0);
    assert_eq!(
        stdout.lines().next(),
        Some(r#"{"customer":"ann","owes":"5"}"#)
    );
    assert_eq!(fs::read_to_string(place("u")).unwrap(), "\"bob\"\n");

    let tagged = "{\"port\":\"payments\",\"datum\":{\"customer\":\"c\",\"paid\":1}}\n{\"port\":\"no\",\"datum\":1}\n";
    let (stdout, stderr) = tried(&[&base[..], &["--tagged", &*out]].concat(), tagged, 4);
    assert_eq!(stdout, "{\"customer\":\"all\",\"owes\":\"0\"}\n");
    assert!(stderr.contains("unknown input port `no`"), "{stderr}");
    for wrong in ["--in=no=x", "--out=no=x", "--encoding=no=text"] {
        let (_, stderr) = tried(&[&base[..], &[wrong]].concat(), "", 2);
        assert!(stderr.contains("port `no`; it has `"), "{wrong}: {stderr}");
    }
}

#[test]
fn an_operator_that_rejects_unused_ports_gets_the_named_ones() {
    let folder = tempfile::tempdir().unwrap();
    let routes = "{routes: [{to: p, when: {x: 1}}, {to: b, when: {x: 2}}]}";
    let lines = "{\"x\":1}\n{\"x\":2}\n{\"x\":3}\n";
    let split = ["builtin:split", "--config", routes];
    let (stdout, stderr) = tried(&split, lines, 0);
    assert_eq!(
        stdout,
        "{\"port\":\"b\",\"datum\":{\"x\":2}}\n{\"port\":\"p\",\"datum\":{\"x\":1}}\n"
    );
    assert!(stderr.contains("unmatched=1"), "{stderr}");
    let other = folder.path().join("other");
    let out = format!("other={}", other.display());
    let (stdout, stderr) = tried(&[&split[..], &["--out", &out]].concat(), lines, 0);
    assert_eq!(stdout.lines().count(), 2);
    assert!(!stderr.contains("unmatched"), "{stderr}");
    assert_eq!(fs::read_to_string(other).unwrap(), "{\"x\":3}\n");
    // An error in the configuration itself is reported.
    let both = "{routes: [{to: a, when: {}}, {to: b, when: {x: 2}}]}";
    let (_, stderr) = tried(&["builtin:split", "--config", both], lines, 1);
    assert!(!stderr.contains("nothing leads to"), "{stderr}");
    let (_, stderr) = tried(&["builtin:split", "--config", "{routes: []}"], lines, 1);
    assert!(stderr.contains("routes"), "{stderr}");
}

#[test]
fn streams_have_the_requested_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let echo = write(folder.path(), "echo.wasm", Guest::default().module());
    let echo = echo.to_str().unwrap();
    for (encoding, stdin, stdout) in [
        ("text", "a \n\nb", "a \n\nb\n"),
        ("postcard", "AAE=\n\n", "AAE=\n"),
    ] {
        assert_eq!(tried(&[echo, "--encoding", encoding], stdin, 0).0, stdout);
    }
    let mixed = [
        "--encoding=postcard",
        "--encoding=out=json",
        "--report=json",
    ];
    let (stdout, _) = tried(&[&[echo][..], &mixed].concat(), "MQ==\n", 0);
    assert!(
        stdout.contains(r#"{"output":{"port":"out","datum":1}}"#),
        "{stdout}"
    );
}

#[test]
fn a_failure_is_reported_with_the_lost_records() {
    let folder = tempfile::tempdir().unwrap();
    let module = |name: &str, process: &str| {
        let guest = Guest {
            process,
            ..Guest::default()
        };
        let path = write(folder.path(), name, guest.module());
        path.to_str().unwrap().to_owned()
    };
    let trap = module("trap.wasm", "unreachable");
    let (stdout, stderr) = tried(&[&trap], "1\n2\n", 3);
    assert_eq!(stdout, "");
    for line in ["line=1 datum=\"1\"", "line=2 datum=\"2\""] {
        assert!(stderr.contains(line), "{line}: {stderr}");
    }
    assert!(
        stderr.contains("failed on 2 of 2 records; first: record 1, line 1 of stdin: operator `trap` trapped in `process`"),
        "{stderr}"
    );
    let (stdout, _) = tried(&[&trap, "--report", "json"], "1\n2\n", 3);
    let done: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&done["done"]["lost"], &done["done"]["datums_in"]),
        (&json!(2), &json!(2))
    );
    let why = done["done"]["failed"].as_str().unwrap();
    assert!(why.contains("trapped"), "{why}");

    let forever = module("forever.wasm", "(loop $l (br $l)) unreachable");
    let (_, stderr) = tried(&[&forever, "--time", "20ms"], "1", 3);
    assert!(stderr.contains("used more than the 20"), "{stderr}");
    let greedy = module(
        "greedy.wasm",
        "(loop $l (drop (memory.grow (i32.const 16))) (br $l)) unreachable",
    );
    let (_, stderr) = tried(&[&greedy, "--memory", "2MiB", "--time", "10s"], "1", 3);
    assert!(
        stderr.contains("needs more memory than the 2097152 bytes"),
        "{stderr}"
    );
    tried(&[&greedy, "--memory", "1KiB"], "", 2);
    tried(&["/no/such.wasm"], "", 1);
    let (_, stderr) = tried(&["builtin:nosuch"], "", 1);
    assert!(
        stderr.contains("unknown built-in operator `nosuch`"),
        "{stderr}"
    );
}

/// An operator with state fails on some records: its other results are those of a run without them.
#[test]
fn a_failing_record_costs_only_itself() {
    const ORDERS: usize = 1000;
    let wasm = accounts();
    let order = |id: usize| match id {
        501 => "{\"customer\":\"panic\",\"amount\":7}".to_owned(),
        _ => format!("{{\"customer\":\"c{}\",\"amount\":7}}", id % 10),
    };
    let args = [
        "run-operator",
        wasm.to_str().unwrap(),
        "--config",
        "{least: 1}",
        "--tagged",
    ];
    let line = |id| format!("{{\"port\":\"orders\",\"datum\":{}}}\n", order(id));
    let orders = |ids: &mut dyn Iterator<Item = usize>| ids.map(line).collect::<Vec<_>>().concat();
    let all = orders(&mut (1..=ORDERS));
    let good = orders(&mut (1..=ORDERS).filter(|id| *id != 501));
    let (expected, _) = ended(run_with_stdin(args, &good), 0);
    let (stdout, stderr) = ended(run_with_stdin(args, &all), 3);
    assert_eq!(stdout, expected, "{stderr}");
    let said = "failed on 1 of 1000 records; first: record 501, line 501 of stdin: ";
    assert!(stderr.contains(said), "{stderr}");
    assert!(stderr.contains("lost=1"), "{stderr}");
}

fn jq_in_a_pipe() -> Child {
    runner()
        .args(["run-operator", "builtin:jq", "--config", "\".\""])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn lines_are_answered_as_they_come() {
    let mut child = jq_in_a_pipe();
    let mut to = child.stdin.take().unwrap();
    let mut from = BufReader::new(child.stdout.take().unwrap());
    for n in 0..3 {
        writeln!(to, "{n}").unwrap();
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        assert_eq!(
            line,
            format!("{n}\n"),
            "not answered before the next is sent"
        );
    }
    drop(to);
    let mut rest = String::new();
    from.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_closed_reader_ends_the_run_without_an_error() {
    let mut child = jq_in_a_pipe();
    drop(child.stdout.take());
    let mut to = child.stdin.take().unwrap();
    // The pipe closes as soon as the child has detected that it has no reader.
    while to.write_all(b"1\n").is_ok() {}
    assert!(child.wait().unwrap().success());
}

#[test]
fn endless_input_uses_constant_memory() {
    let folder = tempfile::tempdir().unwrap();
    let echo = write(folder.path(), "echo.wasm", Guest::default().module());
    let mut command = runner();
    command
        .arg("run-operator")
        .arg(&echo)
        .args(["--in=in=/dev/zero", "--encoding=text"]);
    // Zeros form one endless line, so there is no record and none is held.
    let node = crate::support::Node::spawn(command);
    let read = || {
        let io = fs::read_to_string(format!("/proc/{}/io", node.pid())).unwrap();
        let line = io.lines().find(|line| line.starts_with("rchar:")).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let resident_after = |bytes: u64| {
        crate::support::eventually(&format!("{bytes} bytes have been read"), || read() > bytes);
        node.resident_kib()
    };
    let (early, late) = (resident_after(16 << 20), resident_after(144 << 20));
    assert!(late < early + (32 << 10), "from {early} to {late} KiB");
}

#[track_caller]
fn inspected(args: &[&str], code: i32) -> (String, String) {
    ended(run_with_stdin([&["inspect"], args].concat(), ""), code)
}

#[test]
fn an_operator_is_inspected_including_its_configuration() {
    let accounts = accounts();
    let path = accounts.to_str().unwrap();
    let digest = format!(
        "blake3:{}",
        blake3::hash(&fs::read(&accounts).unwrap()).to_hex()
    );
    let (stdout, _) = inspected(&[path], 0);
    for line in [
        "digest    ".to_owned() + &digest,
        "world     mosaik:operator/operator@1.1.0".to_owned(),
        "inputs    orders, payments".to_owned(),
        "outputs   balances, unknown".to_owned(),
        "state     version 2".to_owned(),
        "config    least: integer, required. Amounts below are refused.".to_owned(),
        "          unit: string. Follows the sum.".to_owned(),
    ] {
        assert!(
            stdout.lines().any(|found| found == line),
            "{line} is not in:\n{stdout}"
        );
    }
    assert!(
        stdout.contains("a core module with its component type"),
        "{stdout}"
    );
    assert!(stdout.contains("imports   mosaik:operator/"), "{stdout}");
    assert!(!stdout.contains("no grant provides"), "{stdout}");

    let (stdout, _) = inspected(&[path, "--json"], 0);
    let told: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(told["digest"], digest);
    assert_eq!(told["inputs"], json!(["orders", "payments"]));
    assert_eq!(told["state_version"], 2);
    assert_eq!(told["kind"], "module");
    assert_eq!(told["config_schema"]["required"], json!(["least"]));
    let granted = told["imports"].as_array().unwrap();
    assert!(
        granted.iter().all(|import| import["given"] == "always"),
        "{told}"
    );

    let folder = tempfile::tempdir().unwrap();
    let red = Guest {
        open: "(call $refuse (i32.const 512) (i32.const 8))",
        fields: r#"(data (i32.const 512) "\1b[31mred")"#,
        ..Guest::default()
    };
    let red = write(folder.path(), "red.wasm", red.module());
    let (_, stderr) = tried(&[red.to_str().unwrap()], "", 1);
    assert!(stderr.contains("\u{241b}[31mred"), "{stderr}");
    let component = write(folder.path(), "echo.wasm", Guest::default().component());
    let (stdout, _) = inspected(&[component.to_str().unwrap(), "--json"], 0);
    let told: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&told["kind"], &told["state_version"]),
        (&json!("component"), &json!(7))
    );
    for builtin in ["builtin:jq", "builtin:window"] {
        assert!(inspected(&[builtin], 0).0.contains("inputs    in"));
    }
}

#[test]
fn an_operator_without_its_grants_is_still_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let greedy = r#"(component (import "wasi:clocks/now@0.2.0" (instance (export "now" (func (result u64))))))"#;
    let path = write(
        folder.path(),
        "greedy.wasm",
        wat::parse_str(greedy).unwrap(),
    );
    let path = path.to_str().unwrap();
    let (stdout, stderr) = inspected(&[path], 1);
    assert!(
        stdout.contains("wasi:clocks/now@0.2.0  (no grant provides it)"),
        "{stdout}"
    );
    assert!(stdout.contains("digest    blake3:"), "{stdout}");
    assert!(
        stderr.contains("no grant provides wasi:clocks/now@0.2.0, so it cannot run"),
        "{stderr}"
    );
    let told: Value = serde_json::from_str(&inspected(&[path, "--json"], 1).0).unwrap();
    assert_eq!(
        told["imports"],
        json!([{"name": "wasi:clocks/now@0.2.0", "given": "never"}])
    );
    assert_eq!(told["inputs"], Value::Null);
}

#[test]
fn a_file_that_is_not_an_operator_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, bytes: &[u8]| {
        write(folder.path(), name, bytes)
            .to_str()
            .unwrap()
            .to_owned()
    };
    let core = wat::parse_str("(module)").unwrap();
    let component = wat::parse_str("(component)").unwrap();
    for (path, reason) in [
        (
            of("text", b"hello"),
            "not an operator: not a WebAssembly binary",
        ),
        (of("empty", b""), "it is empty"),
        (of("core.wasm", &core), "without its component type"),
        (
            of("component.wasm", &component),
            "does not export `describe`",
        ),
        (of("cut.wasm", &component[..8]), "does not export"),
        (
            of("bad.wasm", b"\0asm\x0d\0\x01\0\xff\xff"),
            "not a valid component",
        ),
        ("/no/such.wasm".to_owned(), "cannot be read: no such file"),
        (
            "builtin:nosuch".to_owned(),
            "unknown built-in operator `nosuch`",
        ),
    ] {
        let (stdout, stderr) = inspected(&[&path], 1);
        assert_eq!(stdout, "");
        assert!(
            stderr.contains(reason),
            "{path}: {reason:?} is not in {stderr}"
        );
    }
    let large = of("large.wasm", &[0; 2048]);
    let (_, stderr) = inspected(&[&large, "--binary", "1KiB"], 1);
    assert!(
        stderr.contains("it is larger than 1KiB; raise the limit with `--binary`"),
        "{stderr}"
    );
}
