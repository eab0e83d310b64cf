//! Tests mistakes in the setup of nodes: each is logged once, names the setting to change, and is
//! explained while it lasts.

use std::path::{Path, PathBuf};

use crate::support::socket::{ask, up};
use crate::support::{Node, eventually, free_ports, identity, write};

/// A node of a network, on a port of loopback.
struct Setup {
    name: &'static str,
    network: &'static str,
    key: String,
    port: u16,
    /// The id and the port of another node.
    asks: Option<(String, u16)>,
}

impl Setup {
    fn write(&self, folder: &Path, rest: &str) -> PathBuf {
        let asks = self.asks.as_ref().map_or_else(String::new, |(id, port)| {
            format!("bootstrap: ['{id}@127.0.0.1:{port}'], ")
        });
        let Self {
            name,
            network,
            key,
            port,
            ..
        } = self;
        let text = format!(
            "mosaik: v1\nnetwork: {network}\nnode: {{name: {name}, secret_key: '{key}', {asks}listen: ['127.0.0.1:{port}']}}\n{rest}"
        );
        write(folder, &format!("{name}.yaml"), text)
    }
}

const WRITES: &str = "streams: {ticks: {scope: network, online_when: {producer: {minimum_of: 0}}}}\n\
    producers: {clock: {from: {generate: {rate: 500}}, to: ticks}}\n";
const READS: &str = "streams: {ticks: {scope: network}}\n\
    consumers: {print: {from: ticks, to: {stdout: {}}}}\n";

fn start(folder: &Path, manifest: &Path, name: &str) -> Node {
    up(folder, &["--no-watch", "--name", name], manifest)
}

/// Waits until `explain` of a node prints this.
#[track_caller]
fn explained(folder: &Path, name: &str, wanted: &str) {
    let mut said = String::new();
    eventually(
        &format!("{name} explains `{wanted}`; it says {said}"),
        || {
            said = ask(folder, &["explain", "ticks", "--name", name]).stdout;
            said.contains(wanted)
        },
    );
}

/// Stops a node with Ctrl-C and returns its log. A reader that is stopped during the transfer may
/// lose records, which sets its exit code.
#[track_caller]
fn stopped(node: Node) -> String {
    node.signal(rustix::process::Signal::INT);
    let done = node.wait();
    assert!(matches!(done.status.code(), Some(0 | 5)), "{done:?}");
    done.stderr
}

/// Returns the warnings in a log.
fn warnings(log: &str) -> Vec<&str> {
    let warns = |line: &&str| line.contains("WARN") || line.contains("ERROR");
    log.lines().filter(warns).collect()
}

/// Asserts that a node has logged exactly one warning, with this text.
#[track_caller]
fn warned_once(node: Node, text: &str) {
    let log = stopped(node);
    let warnings = warnings(&log);
    assert!(
        matches!(warnings[..], [warning] if warning.contains(text)),
        "expected one warning of `{text}`: {warnings:#?}"
    );
}

/// A writer and a reader that knows it.
fn pair(network: [&'static str; 2]) -> [Setup; 2] {
    let [feed_port, desk_port] = free_ports();
    let [(feed_key, feed_id), (desk_key, _)] = [identity(), identity()];
    let feed = Setup {
        name: "feed",
        network: network[0],
        key: feed_key,
        port: feed_port,
        asks: None,
    };
    let desk = Setup {
        name: "desk",
        network: network[1],
        key: desk_key,
        port: desk_port,
        asks: Some((feed_id, feed_port)),
    };
    [feed, desk]
}

#[test]
fn a_stream_of_two_encodings_is_refused_and_one_of_one_shows_the_nodes_names() {
    let folder = tempfile::tempdir().expect("there is room");
    let folder = folder.path();
    let [feed, desk] = pair(["encodings"; 2]);
    let feed = start(folder, &feed.write(folder, WRITES), "feed");
    let text = READS.replace("scope: network", "scope: network, encoding: text");
    let manifest = desk.write(folder, &text);
    let reading = start(folder, &manifest, "desk");
    explained(
        folder,
        "desk",
        "(feed): retries when either node changes; it declares json, this node text",
    );
    explained(
        folder,
        "feed",
        "(desk): refused with 10415: it declares text, this node json",
    );
    reading.logged("the producer declares json, this consumer text");
    assert_eq!(reading.stdout_count(), 0);
    warned_once(reading, "stream=\"ticks\"");
    // Once they agree, records flow and both know each other's name.
    desk.write(folder, READS);
    let reading = start(folder, &manifest, "desk");
    reading.stdout_lines(10);
    explained(folder, "desk", "(feed): connected");
    for (node, other) in [("desk", "1 remote (feed)"), ("feed", "1 remote (desk)")] {
        eventually("status names the other node", || {
            ask(folder, &["status", "--name", node])
                .stdout
                .contains(other)
        });
    }
    let peers = ask(folder, &["peers", "--name", "desk"]).stdout;
    assert!(
        peers.contains("NAME") && peers.contains(" feed "),
        "{peers}"
    );
    let log = stopped(reading);
    assert_eq!(warnings(&log), Vec::<&str>::new());
    warned_once(feed, "refused a consumer that declares text");
}

#[test]
fn a_wrong_id_and_a_wrong_network_are_explained() {
    let folder = tempfile::tempdir().expect("there is room");
    let folder = folder.path();
    let [feed, mut desk] = pair(["one", "two"]);
    let writing = start(folder, &feed.write(folder, WRITES), "feed");
    let reading = start(folder, &desk.write(folder, READS), "desk");
    explained(
        folder,
        "desk",
        "is on another network; give both nodes the same `network` name",
    );
    explained(folder, "feed", "of another network dialled this one");
    warned_once(reading, "is on another network");
    desk.network = "one";
    desk.asks = Some((identity().1, feed.port));
    let reading = start(folder, &desk.write(folder, READS), "desk");
    explained(folder, "desk", "correct the id in `bootstrap`");
    warned_once(reading, &format!("the node at 127.0.0.1:{} is ", feed.port));
    warned_once(writing, "of another network dialled this one");
}

#[test]
fn two_nodes_of_one_key_are_explained_by_all_three() {
    let folder = tempfile::tempdir().expect("there is room");
    let folder = folder.path();
    let [feed, desk] = pair(["keys"; 2]);
    let [port] = free_ports();
    let copy = Setup {
        name: "copy",
        port,
        key: desk.key.clone(),
        asks: desk.asks.clone(),
        ..desk
    };
    let writing = start(folder, &feed.write(folder, WRITES), "feed");
    let desk = start(folder, &desk.write(folder, READS), "desk");
    desk.stdout_lines(10);
    let copy = start(folder, &copy.write(folder, READS), "copy");
    explained(folder, "feed", "two running nodes have the secret key of");
    for name in ["desk", "copy"] {
        explained(
            folder,
            name,
            "another running node has this node's secret key",
        );
    }
    let status = ask(folder, &["status", "--name", "copy"]).stdout;
    assert!(
        status.contains("problem: another running node has"),
        "{status}"
    );
    // The two nodes also take the subscription from each other, which costs records and causes
    // further warnings.
    for (node, text) in [
        (copy, "another running node has this node's secret key"),
        (desk, "another running node has this node's secret key"),
        (writing, "two running nodes have the secret key of"),
    ] {
        let log = stopped(node);
        let warned = warnings(&log)
            .iter()
            .filter(|line| line.contains(text))
            .count();
        assert_eq!(warned, 1, "{log}");
    }
}

#[test]
fn nodes_that_start_stop_and_return_warn_of_nothing() {
    let folder = tempfile::tempdir().expect("there is room");
    let folder = folder.path();
    let [feed, desk] = pair(["healthy"; 2]);
    let (feed, desk) = (feed.write(folder, WRITES), desk.write(folder, READS));
    let mut logs = Vec::new();
    let mut writing = start(folder, &feed, "feed");
    for round in 0..4 {
        let reading = start(folder, &desk, "desk");
        reading.stdout_lines(10);
        if round == 1 {
            logs.push(stopped(writing));
            writing = start(folder, &feed, "feed");
        }
        logs.push(stopped(reading));
    }
    logs.push(stopped(writing));
    for log in logs {
        assert_eq!(warnings(&log), Vec::<&str>::new(), "{log}");
    }
}
