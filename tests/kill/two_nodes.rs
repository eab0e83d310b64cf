//! Two nodes with a durable stream between them, of which either is killed. The output is that of one node that does
//! the same.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{CHAIN, Case, assert_same, input, kills, succeeds, up};
use crate::{
    conservation::random::Random,
    support::{eventually, free_ports, identity, write},
};

/// Returns the line of [`CHAIN`] that declares this operator.
fn operator(name: &str) -> &'static str {
    let start = format!("  {name}: ");
    CHAIN.lines().find(|line| line.starts_with(&start)).unwrap()
}

/// Divides [`CHAIN`] between two nodes: one reads the file and removes duplicates, the other counts.
fn divided(folder: &Path, durable: &str) -> [PathBuf; 2] {
    let [edge_port, hub_port] = free_ports();
    let [(edge_key, edge_id), (hub_key, hub_id)] = [identity(), identity()];
    let head = |key: &str, port: u16, peer: &str, peer_port: u16| {
        format!(
            "mosaik: v1\nnetwork: counts\ncheckpoint: {{every: 50ms}}\nnode:\n  secret_key: \"{key}\"\n  \
             listen: [\"127.0.0.1:{port}\"]\n  bootstrap: [\"{peer}@127.0.0.1:{peer_port}\"]\n"
        )
    };
    let edge = head(&edge_key, edge_port, &hub_id, hub_port)
        + &format!(
            "streams: {{read: {{}}, once: {{scope: network, durable: {durable}}}}}
producers: {{read: {{from: {{file: {{path: in.jsonl}}}}, to: read}}}}
operators:
{}
",
            operator("once")
        );
    let hub = head(&hub_key, hub_port, &edge_id, edge_port)
        + &format!(
            "streams: {{once: {{scope: network, durable: {{}}, backoff: {{initial: 50ms, max: 200ms}}}}, counts: {{}}}}
operators:
{}
consumers: {{out: {{from: counts, to: {{file: {{path: out.jsonl}}}}}}}}
",
            operator("count").replace("from: once", "from: {stream: once, start: earliest}")
        );
    [
        write(folder, "edge.yaml", edge),
        write(folder, "hub.yaml", hub),
    ]
}

/// Kills either node at random moments, and compares the output with that of one node.
fn storm(durable: &str) {
    let (kills, seed) = kills(12);
    let folder = tempfile::tempdir().unwrap();
    let input = input(100_000 + kills * 5_000);
    let whole = Case::new(&folder.path().join("one"), CHAIN, &input);
    succeeds(&whole.up().wait());
    let expected = whole.output();

    let two = Case::new(&folder.path().join("two"), CHAIN, &input);
    let manifests = divided(&two.folder, durable);
    let state = two.folder.join("state");
    let mut nodes = manifests
        .each_ref()
        .map(|manifest| Some(up(manifest, &state)));
    let mut random = Random::seeded(seed);
    let mut log = String::new();
    eventually("the first output", || !two.output().is_empty());
    for _ in 0..kills {
        let which = usize::try_from(random.below(2)).unwrap();
        let node = nodes[which].take().unwrap();
        if random.below(2) == 0 {
            // On a busy machine, a start alone takes longer than the pause.
            node.logged("generation 1 runs");
        }
        thread::sleep(Duration::from_millis(random.below(900)));
        log += &node.kill_running();
        thread::sleep(Duration::from_millis(random.below(200)));
        nodes[which] = Some(up(&manifests[which], &state));
    }
    assert!(log.contains("goes on from checkpoint"), "{log}");
    // The hub closes its windows when the stream of the edge ends. A long input takes as long as there is progress.
    while two.output().len() < expected.len() {
        let before = two.output().len();
        eventually("more output", || two.output().len() != before);
    }
    for node in nodes.into_iter().flatten() {
        node.logged("generation 1 runs");
        log += &node.interrupt().stderr;
    }
    assert_same(&two.output(), &expected, &format!("seed {seed}\n{log}"));
}

#[test]
fn two_nodes_that_are_killed_write_what_one_would_have_written() {
    storm("{}");
}

#[test]
fn the_same_holds_for_records_that_are_visible_at_once() {
    storm("{visible: immediate}");
}
