//! Tests two processes over QUIC: the transferred records, and the effects of killing one process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use mosaik_streams::{
    PeerId,
    tickets::{EdDsaSigningKey, Expiration, Hs512, JwtTicketBuilder},
};
use rustix::process::Signal;

use crate::support::{LIMIT, Node, eventually, free_ports, identity, root, run, runner, write};

/// Copies the example's manifests, with ports that are currently free.
fn example(folder: &Path) -> [PathBuf; 2] {
    let [feed, desk] = free_ports();
    ["feed", "desk"].map(|name| {
        let text =
            fs::read_to_string(root().join(format!("manifests/two-nodes/{name}.yaml"))).unwrap();
        let text = text
            .replace("127.0.0.1:4431", &format!("127.0.0.1:{feed}"))
            .replace("127.0.0.1:4432", &format!("127.0.0.1:{desk}"));
        write(folder, &format!("{name}.yaml"), text)
    })
}

#[test]
fn the_example_survives_a_restart_of_either_node() {
    let folder = tempfile::tempdir().unwrap();
    let [feed_manifest, desk_manifest] = example(folder.path());
    let reports = |desk: &Node| {
        let lines = desk.stdout_lines(6);
        let wanted = |line: &String| ["AAPL", "IBM", "MSFT"].iter().any(|s| line.contains(s));
        assert!(lines.iter().all(wanted), "{lines:?}");
    };
    let feed = Node::up(&feed_manifest);
    let desk = Node::up(&desk_manifest);
    reports(&desk);
    desk.kill();
    let desk = Node::up(&desk_manifest);
    reports(&desk);
    feed.kill();
    let feed = Node::up(&feed_manifest);
    let before = desk.stdout_count();
    desk.stdout_lines(before + 6);
    feed.interrupt();
    desk.interrupt();
}

#[test]
fn a_feed_without_its_desk_reads_nothing_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [feed, desk] = example(folder.path());
    let feed = Node::up(&feed);
    feed.logged("stream prices waits for readers: online_when requires 1 subscriber, has none");
    let alone = feed.interrupt();
    assert_eq!(alone.status.code(), Some(0), "{}", alone.stderr);
    assert!(
        alone.stderr.contains(" 0 in ") && alone.stderr.contains("nothing was dropped"),
        "{}",
        alone.stderr
    );

    let [feed_manifest, _] = example(folder.path());
    let feed = Node::up(&feed_manifest);
    let reading = Node::up(&desk);
    feed.logged("stream prices is read by");
    reading.stdout_lines(3);
    reading.interrupt();
    feed.logged("stream prices is no longer read by");
    feed.logged_times("stream prices waits for readers", 2);
    // The records in flight when the desk disconnected may be lost. In that case, the summary names
    // the stream for whose readers they were held, or that had them in its queue.
    feed.signal(Signal::INT);
    let left = feed.wait();
    let said = match left.status.code() {
        Some(0) => ["nothing was dropped"; 2],
        Some(5) => ["held for readers of prices", " closed\n"],
        _ => ["another exit code"; 2],
    };
    let is_said = said.iter().any(|said| left.stderr.contains(said));
    assert!(is_said, "{said:?}: {}", left.stderr);
}

/// A feed that reads the prices of a file, and a desk that selects three symbols, as the quick
/// start does on one node.
fn stocks(folder: &Path) -> [PathBuf; 2] {
    let [feed_port, desk_port] = free_ports();
    let [(feed_key, feed_id), (desk_key, desk_id)] = [identity(), identity()];
    let head = |key: &str, port: u16, peer: &str, peer_port: u16| {
        format!(
            "mosaik: v1\nnetwork: stocks\nnode:\n  secret_key: \"{key}\"\n  listen: [\"127.0.0.1:{port}\"]\n  \
             bootstrap: [\"{peer}@127.0.0.1:{peer_port}\"]\n"
        )
    };
    let feed = head(&feed_key, feed_port, &desk_id, desk_port)
        + &format!(
            "streams:\n  prices: {{scope: network, online_when: {{producer: {{minimum_of: 1}}}}}}\n\
             producers:\n  stocks: {{from: {{file: {{path: {}/manifests/data/stocks.csv, format: csv}}}}, to: prices}}\n",
            root().display()
        );
    let one_node = fs::read_to_string(root().join("manifests/quickstart.yaml")).unwrap();
    let operators = one_node.split_once("\noperators:\n").unwrap().1.replace(
        "from: prices",
        "from: {stream: prices, criteria: {symbol: [AAPL, IBM, MSFT]}}",
    );
    let desk = head(&desk_key, desk_port, &feed_id, feed_port)
        + "streams:\n  prices: {scope: network}\n  averages: {}\n  report: {}\noperators:\n"
        + &operators;
    [
        write(folder, "feed.yaml", feed),
        write(folder, "desk.yaml", desk),
    ]
}

/// Runs a node to the end of its inputs.
fn up_to_the_end(manifest: &Path) -> Node {
    let mut command = runner();
    command.args(["up", "--exit-when-done"]).arg(manifest);
    Node::spawn(command)
}

#[test]
fn the_desk_prints_what_one_node_prints_and_only_its_symbols_cross_the_wire() {
    let folder = tempfile::tempdir().unwrap();
    let [feed, desk] = stocks(folder.path());
    // A node with shared streams stays up for its readers, unless it is configured otherwise.
    let feed = Node::up(&feed);
    let desk = up_to_the_end(&desk).wait();
    feed.logged("all inputs have ended; the node continues");
    let feed = feed.interrupt();
    assert!(desk.status.success(), "{}", desk.stderr);
    assert!(
        !desk.stderr.contains("continues to serve its peers"),
        "{}",
        desk.stderr
    );

    let wanted = ["AAPL", "IBM", "MSFT"];
    let alone = run(["up".into(), root().join("manifests/quickstart.yaml")]).stdout;
    let of_symbols = |text: &str| {
        let mut lines: Vec<_> = text
            .lines()
            .filter(|line| {
                wanted
                    .iter()
                    .any(|symbol| line.contains(&format!("\"{symbol}\"")))
            })
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(of_symbols(&desk.stdout), of_symbols(&alone));
    assert_eq!(
        desk.stdout.lines().count(),
        of_symbols(&alone).len(),
        "the desk printed other symbols"
    );

    let csv = fs::read_to_string(root().join("manifests/data/stocks.csv")).unwrap();
    let sent = csv
        .lines()
        .filter(|line| {
            wanted
                .iter()
                .any(|symbol| line.starts_with(&format!("{symbol},")))
        })
        .count();
    assert!(
        feed.stderr.contains(&format!("{sent} sent to other nodes")),
        "{}",
        feed.stderr
    );
    assert!(
        desk.stderr.contains(&format!("{sent} in")),
        "{}",
        desk.stderr
    );
}

#[test]
fn the_feed_waits_for_a_killed_desk_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let [feed_port, desk_port] = free_ports();
    let [(feed_key, feed_id), (desk_key, desk_id)] = [identity(), identity()];
    let node = |key: &str, port: u16, peer: &str, peer_port: u16| {
        format!(
            "mosaik: v1\nnetwork: kill-test\nnode:\n  quic: {{receive_window: 1MiB, congestion: new_reno}}\n  secret_key: \"{key}\"\n  listen: [\"127.0.0.1:{port}\"]\n  \
             bootstrap: [\"{peer}@127.0.0.1:{peer_port}\"]\n"
        )
    };
    let feed = node(&feed_key, feed_port, &desk_id, desk_port)
        + "streams:\n  ticks: {scope: network, buffer_size: 1000, online_when: {producer: {minimum_of: 1}}}\n\
           producers:\n  clock: {from: {generate: {rate: 2000}}, to: ticks}\n";
    let desk = node(&desk_key, desk_port, &feed_id, feed_port)
        + "streams:\n  ticks: {scope: network}\nconsumers:\n  print: {from: ticks, to: {stdout: {}}}\n";
    let feed_manifest = write(folder.path(), "feed.yaml", feed);
    let desk_manifest = write(folder.path(), "desk.yaml", desk);

    let feed = Node::up(&feed_manifest);
    // A line that the kill has cut off was not printed.
    let seqs = |lines: &str| -> Vec<u64> {
        let records = lines
            .lines()
            .map_while(|line| serde_json::from_str(line).ok());
        records
            .map(|record: serde_json::Value| record["seq"].as_u64().unwrap())
            .collect()
    };
    let desk = Node::up(&desk_manifest);
    desk.stdout_lines(2000);
    let first = seqs(&desk.kill_and_read());

    // Without a reader, the source is suspended; memory is measured once the bounded queues are
    // full.
    let full = feed.resident_kib();
    let away_since = std::time::Instant::now();
    eventually("the desk was away for three seconds", || {
        away_since.elapsed().as_secs() >= 3
    });
    let waited = feed.resident_kib();
    assert!(
        waited < full + 8 * 1024,
        "the feed grew from {full} KiB to {waited} KiB while the desk was away"
    );

    let desk = Node::up(&desk_manifest);
    let second = seqs(&desk.stdout_lines(2000).join("\n"));
    assert!(
        second.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "out of order or with gaps after the restart"
    );
    // The second desk continues at the position of the first; it prints the unconfirmed records of
    // the first one again.
    let printed = first.last().unwrap() + 1;
    assert!(
        (1..=printed).contains(&second[0]),
        "the first desk printed {printed} records, the second one begins with {}",
        second[0]
    );
    // At most the batches of a few confirmations are printed twice.
    assert!(
        printed - second[0] < 1000,
        "{} came again",
        printed - second[0]
    );
    assert!(away_since.elapsed() < LIMIT);
}

/// A feed that requires a ticket of each kind from its consumers, and desks with and without them.
#[test]
fn a_desk_reads_with_its_tickets_and_not_without_them() {
    let folder = tempfile::tempdir().unwrap();
    let [feed_port, desk_port, other_port] = free_ports();
    let [(feed_key, feed_id), (desk_key, desk_id), (other_key, _)] =
        [identity(), identity(), identity()];
    let secret = "0b".repeat(64);
    let key = EdDsaSigningKey::random();
    let desk: PeerId = desk_id.parse().unwrap();
    let token = |issuer: JwtTicketBuilder| {
        let ticket = issuer.build(&desk, Expiration::after(Duration::from_hours(1)));
        String::from_utf8(ticket.data.to_vec()).unwrap()
    };
    let shared = JwtTicketBuilder::new(secret.parse::<Hs512>().unwrap()).issuer("my-app");
    write(folder.path(), "shared.jwt", token(shared) + "\n");
    let signed = JwtTicketBuilder::new(key.clone())
        .audience("feed")
        .claim("role", "desk");
    write(folder.path(), "signed.jwt", token(signed));
    write(folder.path(), "secret", secret);

    let feed = format!(
        "mosaik: v1\nnetwork: ticket-test\nnode:\n  secret_key: \"{feed_key}\"\n  listen: [\"127.0.0.1:{feed_port}\"]\n\
         streams:\n  ticks:\n    scope: network\n    require:\n      consumers:\n        tickets:\n          \
         - {{jwt: {{issuer: my-app, hs512: \"${{file:secret}}\"}}}}\n          \
         - {{jwt: {{audience: feed, eddsa: \"{}\"}}}}\n\
         producers:\n  clock: {{from: {{generate: {{rate: 1000}}}}, to: ticks}}\n",
        key.verifying_key()
    );
    let node = |key: &str, port: u16, tickets: &str| {
        format!(
            "mosaik: v1\nnetwork: ticket-test\nnode:\n  secret_key: \"{key}\"\n  listen: [\"127.0.0.1:{port}\"]\n  \
             bootstrap: [\"{feed_id}@127.0.0.1:{feed_port}\"]\n  tickets: [{tickets}]\n\
             streams:\n  ticks: {{scope: network}}\nconsumers:\n  print: {{from: ticks, to: {{stdout: {{}}}}}}\n"
        )
    };
    let both = "{jwt: \"${file:shared.jwt}\"}, {jwt: \"${file:signed.jwt}\"}";
    let one = "{jwt: \"${file:shared.jwt}\"}";
    let feed_manifest = write(folder.path(), "feed.yaml", feed);
    let desk_manifest = write(folder.path(), "desk.yaml", node(&desk_key, desk_port, one));
    // The same tickets used by another node.
    let other_manifest = write(
        folder.path(),
        "other.yaml",
        node(&other_key, other_port, both),
    );

    let feed = Node::up(&feed_manifest);
    let other = Node::up(&other_manifest);
    let desk = Node::up(&desk_manifest);
    desk.logged("refused");
    other.logged("refused");

    // The second ticket is added by an edit of the manifest.
    fs::write(&desk_manifest, node(&desk_key, desk_port, both)).unwrap();
    desk.stdout_lines(100);
    assert_eq!(
        (other.stdout_count(), feed.stderr_now().contains("error")),
        (0, false)
    );
    let token = fs::read_to_string(folder.path().join("signed.jwt")).unwrap();
    assert!(!desk.stderr_now().contains(&token));

    // Once the ticket is removed again, no more records arrive.
    fs::write(&desk_manifest, node(&desk_key, desk_port, one)).unwrap();
    feed.logged("disconnected: the consumer");
    desk.logged_times("refused", 2);
}
