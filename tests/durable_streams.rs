//! Durable streams between nodes that are killed: the output is what it would have been.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    conservation::random::Random,
    support::{Node, eventually, free_ports, identity, run, runner, write},
};

/// Records with an id of which each comes twice, in a group, one every 10 ms.
fn input(records: u64) -> String {
    let mut text = String::new();
    for id in 0..records {
        let (key, at) = (id * 7919 % (records / 2), 1_700_000_000_000 + id * 10);
        // Writing to a text cannot fail.
        let _ = writeln!(text, r#"{{"id":{key},"at":{at},"group":"g{}"}}"#, id % 50);
    }
    text
}

const WINDOW: &str = "{wasm: 'builtin:window', from: FROM, to: counts, config: {time: at, every: 1s, by: group, aggregate: {n: count, last: {last: id}}}}";

/// What one node writes that nothing disturbs.
fn undisturbed(folder: &Path) -> String {
    let manifest = format!(
        "mosaik: v1
streams: {{read: {{}}, once: {{}}, counts: {{}}}}
producers: {{read: {{from: {{file: {{path: in.jsonl}}}}, to: read}}}}
operators:
  once: {{wasm: 'builtin:dedupe', from: read, to: once, config: {{by: id}}}}
  count: {}
consumers: {{out: {{from: counts, to: {{file: {{path: expected.jsonl}}}}}}}}
",
        WINDOW.replace("FROM", "once")
    );
    let manifest = write(folder, "one.yaml", manifest);
    let done = run(["up", "--no-watch", manifest.to_str().unwrap()]);
    assert!(done.status.success(), "{}", done.stderr);
    fs::read_to_string(folder.join("expected.jsonl")).unwrap()
}

/// The two nodes: one reads the file and removes duplicates, the other counts.
fn two(folder: &Path, durable: &str) -> [PathBuf; 2] {
    let [edge_port, hub_port] = free_ports();
    let [(edge_key, edge_id), (hub_key, hub_id)] = [identity(), identity()];
    let head = |key: &str, port: u16, peer: &str, peer_port: u16| {
        format!(
            "mosaik: v1\nnetwork: counts\ncheckpoint: {{every: 50ms, path: state-{port}}}\nnode:\n  secret_key: \"{key}\"\n  \
             listen: [\"127.0.0.1:{port}\"]\n  bootstrap: [\"{peer}@127.0.0.1:{peer_port}\"]\n"
        )
    };
    let edge = head(&edge_key, edge_port, &hub_id, hub_port)
        + &format!(
            "streams: {{read: {{}}, once: {{scope: network, durable: {durable}}}}}
producers: {{read: {{from: {{file: {{path: in.jsonl}}}}, to: read}}}}
operators: {{once: {{wasm: 'builtin:dedupe', from: read, to: once, config: {{by: id}}}}}}
"
        );
    let hub = head(&hub_key, hub_port, &edge_id, edge_port)
        + &format!(
            "streams: {{once: {{scope: network, durable: {{}}, backoff: {{initial: 50ms, max: 200ms}}}}, counts: {{}}}}
operators: {{count: {}}}
consumers: {{out: {{from: counts, to: {{file: {{path: out.jsonl}}}}}}}}
",
            WINDOW.replace("FROM", "{stream: once, start: earliest}")
        );
    [
        write(folder, "edge.yaml", edge),
        write(folder, "hub.yaml", hub),
    ]
}

fn up(manifest: &Path) -> Node {
    let mut command = runner();
    command.args(["up", "--no-watch"]).arg(manifest);
    Node::spawn(command)
}

fn kills() -> u64 {
    let kills = std::env::var("MOSAIK_KILLS").ok();
    kills.and_then(|kills| kills.parse().ok()).unwrap_or(12)
}

/// Kills either node at random moments, and compares the output.
fn storm(durable: &str, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let kills = kills();
    fs::write(folder.join("in.jsonl"), input(100_000 + kills * 5_000)).unwrap();
    let expected = undisturbed(folder);
    let manifests = two(folder, durable);
    let mut nodes = manifests.each_ref().map(|manifest| Some(up(manifest)));
    let mut random = Random::seeded(seed);
    let mut log = String::new();
    eventually("the first output", || {
        folder
            .join("out.jsonl")
            .metadata()
            .is_ok_and(|out| out.len() > 0)
    });
    for _ in 0..kills {
        let which = usize::try_from(random.below(2)).unwrap();
        if random.below(2) == 0 {
            // On a busy machine, a start alone takes longer than the pause.
            let node = nodes[which].as_ref().unwrap();
            eventually("a start", || {
                node.stderr_now().contains("generation 1 runs")
            });
        }
        thread::sleep(Duration::from_millis(random.below(900)));
        let node = nodes[which].take().unwrap();
        log += &node.stderr_now();
        node.kill();
        thread::sleep(Duration::from_millis(random.below(200)));
        nodes[which] = Some(up(&manifests[which]));
    }
    assert!(log.contains("goes on from checkpoint"), "{log}");
    // The hub closes its windows when the stream of the edge ends.
    let [edge, hub] = nodes.map(Option::unwrap);
    let lines = |text: &str| text.lines().count();
    let output = || fs::read_to_string(folder.join("out.jsonl")).unwrap_or_default();
    eventually("the end of the output", || {
        lines(&output()) >= lines(&expected)
    });
    let (edge, hub) = (edge.interrupt(), hub.interrupt());
    let output = output();
    let differ = output
        .lines()
        .zip(expected.lines())
        .position(|(one, other)| one != other);
    assert!(
        output == expected,
        "seed {seed}: {} lines instead of {}, and line {differ:?} is the first that differs\n{log}\n{}\n{}",
        lines(&output),
        lines(&expected),
        edge.stderr,
        hub.stderr
    );
    for done in [edge, hub] {
        assert_eq!(done.status.code(), Some(0), "{}", done.stderr);
    }
}

#[test]
fn two_nodes_that_are_killed_write_what_one_would_have_written() {
    storm("{}", 1);
}

#[test]
fn the_same_holds_for_records_that_are_visible_at_once() {
    storm("{visible: immediate}", 2);
}
