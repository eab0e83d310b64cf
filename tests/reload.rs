//! Tests edits of a manifest while its node runs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, io::Write as _, path::Path};

use crate::support::{Node, eventually, root, write};

/// A node that follows a file, from the example's manifest in its own folder.
struct Following {
    folder: tempfile::TempDir,
    node: Node,
    text: String,
}

impl Following {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(root().join("manifests/follow.yaml"))
            .unwrap()
            .replace("data/live.jsonl", "live.jsonl");
        let manifest = write(folder.path(), "follow.yaml", &text);
        let node = Node::up(&manifest);
        node.logged("generation 1");
        Self { folder, node, text }
    }

    fn append(&self, city: &str, celsius: f64) {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("live.jsonl"))
            .unwrap();
        writeln!(file, "{{\"city\":\"{city}\",\"celsius\":{celsius}}}").unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn edit(&mut self, from: &str, to: &str) {
        assert!(
            self.text.contains(from),
            "the example no longer contains {from:?}"
        );
        self.text = self.text.replace(from, to);
        fs::write(self.path("follow.yaml"), &self.text).unwrap();
    }

    #[track_caller]
    fn prints(&self, line: &str) {
        self.node.stdout_line(line, |printed| printed == line);
    }
}

#[test]
fn every_edit_takes_effect_without_a_restart() {
    let mut following = Following::start();
    following.append("Lisbon", 20.0);
    following.prints(r#"{"city":"Lisbon","fahrenheit":68.0}"#);

    following.edit(".celsius * 9 / 5 + 32", ".celsius * 18 / 10 + 132");
    following.node.logged("generation 2");
    following.append("Oslo", 10.0);
    following.prints(r#"{"city":"Oslo","fahrenheit":150.0}"#);

    let consumer =
        "consumers:\n  keep:\n    from: converted\n    to: {file: {path: out/kept.jsonl}}\n";
    following.edit("consumers:\n", consumer);
    following.node.logged("generation 3");
    following.append("Rome", 30.0);
    following.prints(r#"{"city":"Rome","fahrenheit":186.0}"#);
    let kept = following.path("out/kept.jsonl");
    eventually("the new consumer has written", || {
        fs::read_to_string(&kept).is_ok_and(|text| text.contains("Rome"))
    });

    following.edit("from: readings\n", "from: reading\n");
    following.node.logged("did you mean `readings`?");
    following.append("Cairo", 40.0);
    following.prints(r#"{"city":"Cairo","fahrenheit":204.0}"#);
    assert!(
        !following.node.stderr_now().contains("generation 4"),
        "a broken manifest took effect"
    );

    following.edit("from: reading\n", "from: readings\n");
    following.edit("+ 132", "+ 32");
    following.node.logged("generation 4");
    following.append("Quito", 15.0);
    following.prints(r#"{"city":"Quito","fahrenheit":59.0}"#);

    // Each line once: the source was never restarted.
    assert_eq!(
        following.node.stdout_count(),
        5,
        "{:?}",
        following.node.stdout_lines(0)
    );
    let lines = || fs::read_to_string(&kept).unwrap().lines().count();
    eventually("the later consumer has what came later", || lines() >= 3);
    assert_eq!(lines(), 3, "it has what came earlier as well");
}

#[test]
fn a_filter_that_does_not_compile_changes_nothing() {
    let mut following = Following::start();
    following.append("Lisbon", 20.0);
    following.prints(r#"{"city":"Lisbon","fahrenheit":68.0}"#);
    following.edit("+ 32)", "+ 32");
    following
        .node
        .logged("operator `convert` failed to open: config.filter");
    following.append("Oslo", 10.0);
    following.prints(r#"{"city":"Oslo","fahrenheit":50.0}"#);
    assert!(!following.node.stderr_now().contains("generation 2"));
}

#[test]
fn sighup_reloads_immediately_and_reports_no_change() {
    let following = Following::start();
    following.node.signal(rustix::process::Signal::HUP);
    following.node.logged("nothing has changed");
}

#[test]
fn ctrl_c_drains_and_exits_with_success() {
    let following = Following::start();
    following.append("Lisbon", 20.0);
    following.prints(r#"{"city":"Lisbon","fahrenheit":68.0}"#);
    let Following { node, .. } = following;
    let done = node.interrupt();
    assert!(
        done.stderr.contains("nothing was dropped"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_component_that_is_rebuilt_is_swapped_in() {
    let folder = tempfile::tempdir().unwrap();
    let built = |name: &str| root().join(format!("operators/built/{name}.wasm"));
    let component = folder.path().join("op.wasm");
    fs::copy(built("jq"), &component).unwrap();
    let manifest = write(
        folder.path(),
        "m.yaml",
        "mosaik: v1\nnetwork: swap\nstreams: {a: {}, b: {}}\nproducers:\n  tail: {from: {file: {path: in.jsonl, follow: true}}, to: a}\n\
         operators:\n  op: {wasm: op.wasm, from: a, to: b, config: {filter: .}}\nconsumers:\n  out: {from: b, to: {stdout: {}}}\n",
    );
    let node = Node::up(&manifest);
    node.logged("generation 1");
    append(&folder.path().join("in.jsonl"), "1\n");
    node.stdout_line("1", |line| line == "1");

    // A custom section at the end changes the bytes but not the behaviour.
    let mut bytes = fs::read(built("jq")).unwrap();
    bytes.extend_from_slice(&[0, 2, 1, b'x']);
    let next = folder.path().join("op.wasm.next");
    fs::write(&next, bytes).unwrap();
    fs::rename(next, &component).unwrap();
    node.logged("generation 2");
    append(&folder.path().join("in.jsonl"), "2\n");
    node.stdout_line("2", |line| line == "2");

    fs::write(&component, b"\0asm rubbish").unwrap();
    node.logged("op.wasm");
    append(&folder.path().join("in.jsonl"), "3\n");
    node.stdout_line("3", |line| line == "3");
    assert_eq!(node.stdout_count(), 3);
}

#[test]
fn a_saved_table_takes_effect_and_an_invalid_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "mosaik: v1\nstreams: {a: {}, b: {}}\n\
                    producers: {p: {from: {file: {path: live.jsonl, follow: true}}, to: a}}\n\
                    operators: {o: {wasm: 'builtin:enrich', from: a, to: b, files: {table: t.csv}, config: {by: k}}}\n\
                    consumers: {c: {from: b, to: {stdout: {}}}}\n";
    let live = write(folder.path(), "live.jsonl", "{\"k\":1}\n");
    write(folder.path(), "t.csv", "k,v\n1,one\n");
    let node = Node::up(&write(folder.path(), "mosaik.yaml", manifest));
    node.stdout_line("the first row", |line| line == r#"{"k":1,"v":"one"}"#);
    write(folder.path(), "t.csv", "k,v\n1,uno\n");
    node.logged("generation 2");
    append(&live, "{\"k\":1}\n");
    node.stdout_line("the new row", |line| line == r#"{"k":1,"v":"uno"}"#);
    write(folder.path(), "t.csv", "k,v\n1,uno,too much\n");
    node.logged("the file for `table` is not CSV");
    append(&live, "{\"k\":1,\"n\":2}\n");
    node.stdout_line("the row as it was", |line| {
        line == r#"{"k":1,"n":2,"v":"uno"}"#
    });
}

#[test]
fn a_later_instance_knows_which_inputs_have_ended() {
    let folder = tempfile::tempdir().unwrap();
    let operator = root().join("tests/operator/built.wasm");
    let manifest = |least: u32| {
        format!(
            "mosaik: v1\nstreams: {{orders: {{}}, payments: {{}}, balances: {{}}}}\nproducers:\n  \
             o: {{from: {{file: {{path: orders.jsonl}}}}, to: orders}}\n  \
             p: {{from: {{file: {{path: payments.jsonl, follow: true}}}}, to: payments}}\noperators:\n  accounts:\n    \
             wasm: {}\n    from: {{orders: orders, payments: payments}}\n    to: {{balances: balances}}\n    \
             config: {{least: {least}}}\nconsumers: {{c: {{from: balances, to: {{stdout: {{}}}}}}}}\n",
            operator.display()
        )
    };
    write(
        folder.path(),
        "orders.jsonl",
        "{\"customer\":\"ann\",\"amount\":7}\n",
    );
    let payments = write(folder.path(), "payments.jsonl", "");
    let node = Node::up(&write(folder.path(), "mosaik.yaml", manifest(1)));
    node.logged("orders ended");
    write(folder.path(), "mosaik.yaml", manifest(2));
    node.logged("generation 2");
    append(&payments, "{\"customer\":\"ann\",\"paid\":3}\n");
    node.stdout_line("the payment", |line| {
        line == r#"{"customer":"ann","owes":"4"}"#
    });
    node.signal(rustix::process::Signal::INT);
    let done = node.wait();
    assert!(done.status.success(), "{}", done.stderr);
    let last = done.stdout.lines().last();
    assert_eq!(
        last,
        Some(r#"{"customer":"all","owes":"4"}"#),
        "{}",
        done.stderr
    );
}

#[test]
fn a_component_that_appears_later_is_noticed() {
    let mut following = Following::start();
    following.edit("wasm: builtin:jq", "wasm: later.wasm");
    following.node.logged("the component cannot be read");
    following.edit("+ 32", "+ 132");
    let built = fs::read(root().join("operators/built/jq.wasm")).unwrap();
    fs::write(following.path("later.wasm"), built).unwrap();
    following.node.logged("generation 2");
    following.append("Oslo", 10.0);
    following.prints(r#"{"city":"Oslo","fahrenheit":150.0}"#);
}

#[test]
fn a_changed_stream_does_not_reread_its_file() {
    let mut following = Following::start();
    for city in ["Lisbon", "Oslo", "Rome"] {
        following.append(city, 0.0);
    }
    following.node.stdout_lines(3);
    following.edit("readings: {}", "readings: {buffer_size: 77}");
    following.node.logged("generation 2");
    following.append("Cairo", 0.0);
    following.prints(r#"{"city":"Cairo","fahrenheit":32.0}"#);
    following.edit("buffer_size: 77", "buffer_bytes: 1MiB");
    following.node.logged("generation 3");
    following.append("Quito", 0.0);
    following.prints(r#"{"city":"Quito","fahrenheit":32.0}"#);
    assert_eq!(
        following.node.stdout_count(),
        5,
        "{:?}",
        following.node.stdout_lines(0)
    );
}

#[test]
fn a_recreated_stream_reconnects_its_readers() {
    let folder = tempfile::tempdir().unwrap();
    let text = |writers: &str| {
        format!(
            "mosaik: v1\nstreams: {{a: {{}}, z: {{}}}}\nproducers:\n  alive: {{from: {{generate: {{rate: 1}}}}, to: z}}\n{writers}\
             consumers:\n  o: {{from: a, to: {{file: {{path: o.jsonl}}}}}}\n  oz: {{from: z, to: {{file: {{path: z.jsonl}}}}}}\n"
        )
    };
    let first = "  g: {from: {generate: {count: 10}}, to: a}\n";
    let manifest = write(folder.path(), "m.yaml", text(first));
    let node = Node::up(&manifest);
    let lines = || {
        fs::read_to_string(folder.path().join("o.jsonl"))
            .unwrap_or_default()
            .lines()
            .count()
    };
    eventually("the first writer was read to its end", || lines() == 10);
    fs::write(
        &manifest,
        text(&format!(
            "{first}  g2: {{from: {{generate: {{count: 7}}}}, to: a}}\n"
        )),
    )
    .unwrap();
    node.logged("generation 2");
    eventually("the second writer was read to its end", || lines() == 17);
    node.signal(rustix::process::Signal::INT);
    let done = node.wait();
    assert!(done.status.success(), "{}", done.stderr);
}

#[test]
fn a_shared_stream_can_change_its_name_here_and_keep_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let text = "mosaik: v1\nnetwork: names\nstreams: {a: {scope: network, id: xx}}\n\
                producers:\n  g: {from: {generate: {rate: 50}}, to: a}\nconsumers:\n  o: {from: a, to: {stdout: {}}}\n";
    let manifest = write(folder.path(), "m.yaml", text);
    let node = Node::up(&manifest);
    node.stdout_lines(3);
    fs::write(
        &manifest,
        text.replace("{a: ", "{b: ")
            .replace("to: a", "to: b")
            .replace("from: a", "from: b"),
    )
    .unwrap();
    node.logged("generation 2");
    let before = node.stdout_count();
    node.stdout_lines(before + 3);
}

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
