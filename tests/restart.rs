//! Tests changes that require a restart: they are refused, unless the node was started with
//! `--allow-restart`.

use std::{
    fs,
    io::{self, Write as _},
    net::UdpSocket,
};

use crate::support::socket::{Desk, alone, ask, up};
use crate::support::{Node, eventually, free_ports, write};

#[test]
fn a_restart_is_done_where_it_is_allowed_and_undone_where_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [first, second] = free_ports();
    let text = |port: u16| {
        format!(
            "mosaik: v1\nnetwork: restart-test\nnode: {{listen: ['127.0.0.1:{port}']}}\nstreams: {{raw: {{}}, out: {{scope: network}}}}\n\
             producers: {{count: {{from: {{generate: {{rate: 1000}}}}, to: raw}}}}\n\
             operators: {{pass: {{wasm: 'builtin:jq', from: raw, to: out, config: {{filter: .}}}}}}\n\
             consumers: {{file: {{from: out, to: {{file: {{path: out.jsonl}}}}}}}}\n"
        )
    };
    let manifest = write(folder, "m.yaml", text(first));
    let strict = up(folder, &["--no-watch"], &manifest);
    fs::write(&manifest, text(second)).unwrap();
    let plan = ask(folder, &["plan", manifest.to_str().unwrap()]).stdout;
    assert!(
        plan.contains("restart  node: the listen address changes"),
        "{plan}"
    );
    assert!(plan.contains("--allow-restart"), "{plan}");
    let refused = ask(folder, &["reload"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("a restart is needed"),
        "{refused:?}"
    );
    drop(strict);

    fs::write(&manifest, text(first)).unwrap();
    let node = up(folder, &["--no-watch", "--allow-restart"], &manifest);
    let mut desk = Desk::of(folder);
    // The stages are listed in the order of the graph's roles: the consumer is the last.
    let written = |desk: &mut Desk| desk.status()["stages"][2]["datums_out"].as_u64().unwrap();
    eventually("records flow", || written(&mut desk) > 50);
    fs::write(&manifest, text(second)).unwrap();
    let (reload, _) = desk.reload();
    assert_eq!(reload["outcome"], "applied", "{reload}");
    assert_eq!(reload["steps"][0]["change"], "restart", "{reload}");
    let status = desk.status();
    assert_eq!(status["generation"], 2);
    assert_eq!(status["listens"][0], format!("127.0.0.1:{second}"));
    let at = written(&mut desk);
    assert!(at > 50, "counters go on");
    eventually("records flow again", || written(&mut desk) > at + 50);

    // An address that is already in use.
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    fs::write(&manifest, text(taken.local_addr().unwrap().port())).unwrap();
    let (reload, _) = desk.reload();
    assert_eq!(reload["outcome"], "refused", "{reload}");
    let status = desk.status();
    assert_eq!(status["generation"], 2);
    assert_eq!(status["listens"][0], format!("127.0.0.1:{second}"));
    let at = written(&mut desk);
    eventually("records flow again after the second restart", || {
        written(&mut desk) > at + 50
    });
    assert!(ask(folder, &["down"]).status.success());
    let done = node.wait();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn standard_input_continues_after_a_restart_within_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [first, second] = free_ports();
    let text = |port: u16| {
        format!(
            "mosaik: v1\nnetwork: restart-test\nnode: {{listen: ['127.0.0.1:{port}']}}\n\
             streams: {{s: {{}}, shared: {{scope: network}}}}\n\
             producers:\n  read: {{from: {{stdin: {{format: csv}}}}, to: s}}\n  \
             count: {{from: {{generate: {{rate: 10}}}}, to: shared}}\n\
             consumers: {{save: {{from: s, to: {{file: {{path: out.jsonl}}}}}}}}\n"
        )
    };
    let manifest = write(folder, "m.yaml", text(first));
    let (stdin, mut input) = io::pipe().unwrap();
    let mut command = alone(folder);
    command
        .args(["up", "--no-watch", "--allow-restart"])
        .arg(&manifest);
    let node = Node::spawn_reading(command, stdin);
    node.logged("generation 1 runs");
    let out = || fs::read_to_string(folder.join("out.jsonl")).unwrap_or_default();
    input.write_all(b"id,name\n1,a\n2,\"b").unwrap();
    eventually("the first row is written", || out().lines().count() == 1);
    fs::write(&manifest, text(second)).unwrap();
    let (reload, _) = Desk::of(folder).reload();
    assert_eq!(reload["outcome"], "applied", "{reload}");
    input.write_all(b"ee\"\n3,c\n").unwrap();
    drop(input);
    let expected =
        "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":\"bee\"}\n{\"id\":3,\"name\":\"c\"}\n";
    eventually("all rows are written", || out() == expected);
    assert!(ask(folder, &["down"]).status.success());
    let done = node.wait();
    assert!(!done.stderr.contains("cut_off"), "{done:?}");
    assert!(
        done.stderr.contains("nothing was dropped") || done.stderr.contains("nobody"),
        "{done:?}"
    );
}
