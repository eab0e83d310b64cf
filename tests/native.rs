//! Tests Rust services with their own structs on both sides of a manifest that processes their
//! records as JSON.
//!
//! The tests use several threads: the services must answer while a test waits for the node.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fs, net::SocketAddr};

use crate::support::{LIMIT, Node, free_ports, identity, root, run, write};
use mosaik_streams::{
    EndpointAddr, Network, PeerId, discovery,
    futures::{SinkExt as _, StreamExt as _},
};
use rustix::process::Signal;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::timeout;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    symbol: String,
    price: f64,
    side: Side,
    tags: Vec<String>,
    fills: BTreeMap<u16, f32>,
    note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Side {
    Buy,
    Sell { short: bool },
    Cross(u32, char),
}

impl Order {
    fn nth(id: u64) -> Self {
        let small = u16::try_from(id % 400).unwrap();
        Self {
            id: u64::MAX - id,
            symbol: format!("S{}", id % 5),
            price: f64::from(small) + 0.1,
            side: match id % 3 {
                0 => Side::Buy,
                1 => Side::Sell {
                    short: id.is_multiple_of(2),
                },
                _ => Side::Cross(u32::MAX, 'é'),
            },
            tags: (0..id % 3).map(|n| format!("t{n}")).collect(),
            fills: (0..small % 4).map(|n| (n, f32::from(n) / 3.0)).collect(),
            note: (id.is_multiple_of(2)).then(|| format!("\"{id}\"")),
        }
    }

    /// Returns the result of the example's filter.
    fn marked(mut self) -> Self {
        self.tags.push("large".to_owned());
        if self.side == Side::Buy {
            self.note = Some("bought".to_owned());
        }
        self
    }
}

/// The struct of the interoperability tests: one field of every kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Reading {
    seq: u64,
    symbol: String,
    price: f64,
    change: i32,
    tags: Vec<String>,
    note: Option<String>,
    side: Kind,
    levels: BTreeMap<u16, f32>,
    padding: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Bid,
    Ask { size: u32 },
    Cross(bool, char),
}

const READING: &str = "{seq: u64, symbol: string, price: f64, change: i32, tags: [string], note: string?, \
    side: {$enum: {Bid: ~, Ask: {size: u32}, Cross: {$tuple: [bool, char]}}}, levels: {$map: [u16, f32]}, padding: bytes}";

impl Reading {
    fn nth(seq: u64) -> Self {
        let small = u16::try_from(seq % 1000).unwrap();
        Self {
            seq,
            symbol: format!("S{}", seq % 7),
            price: f64::from(small) / 7.0,
            change: i32::from(small) - 500,
            tags: (0..seq % 3).map(|n| format!("t{n}")).collect(),
            note: (seq.is_multiple_of(2)).then(|| format!("note ü {seq}")),
            side: match seq % 3 {
                0 => Kind::Bid,
                1 => Kind::Ask {
                    size: u32::from(small),
                },
                _ => Kind::Cross(seq.is_multiple_of(2), 'é'),
            },
            levels: (0..small % 4).map(|n| (n, f32::from(n) / 3.0)).collect(),
            padding: vec![7; usize::from(small % 200)],
        }
    }
}

/// Joins a service to the network of a node that runs a manifest.
async fn service(network: &str, peer: &str, port: u16) -> Network {
    let node = EndpointAddr::new(
        peer.parse::<PeerId>().unwrap(),
        [SocketAddr::from(([127, 0, 0, 1], port))],
    );
    let discovery = discovery::Config::builder().with_bootstrap(node);
    Network::builder(network)
        .with_discovery(discovery)
        .build()
        .await
        .unwrap()
}

/// Sends all records to one stream, and receives a given number from another.
async fn exchange<T: Serialize + DeserializeOwned + Send + 'static>(
    (feed, to): (&Network, &str),
    sent: impl IntoIterator<Item = T>,
    (desk, from): (&Network, &str),
    count: usize,
) -> Vec<T> {
    let consumer = desk.streams().consumer::<T>().with_stream_id(from).build();
    let mut producer = feed
        .streams()
        .producer::<T>()
        .with_stream_id(to)
        .build()
        .unwrap();
    let sending = async {
        timeout(LIMIT, consumer.when().subscribed()).await.unwrap();
        for datum in sent {
            timeout(LIMIT, producer.send(datum)).await.unwrap().unwrap();
        }
        producer
    };
    let producer = sending.await;
    let taken = timeout(LIMIT, consumer.take(count).collect())
        .await
        .unwrap();
    drop(producer);
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn structs_cross_the_example_and_are_printed_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let ([port], (key, peer)) = (free_ports(), identity());
    let text = fs::read_to_string(root().join("manifests/native/pipeline.yaml")).unwrap();
    let text = text.replace(
        "  listen: [\"127.0.0.1:4441\"]",
        &format!("  listen: [\"127.0.0.1:{port}\"]\n  secret_key: \"{key}\""),
    );
    let node = Node::up(&write(folder.path(), "pipeline.yaml", text));
    let [feed, desk] = [
        service("native-example", &peer, port).await,
        service("native-example", &peer, port).await,
    ];
    let expected: Vec<Order> = (0..600)
        .map(Order::nth)
        .filter(|order| order.price >= 100.0)
        .map(Order::marked)
        .collect();
    let found = exchange(
        (&feed, "example.orders"),
        (0..600).map(Order::nth),
        (&desk, "example.large-orders"),
        expected.len(),
    )
    .await;
    assert_eq!(found, expected);
    let printed = node.stdout_lines(expected.len());
    let json: Vec<String> = expected
        .iter()
        .map(|order| serde_json::to_string(order).unwrap())
        .collect();
    assert_eq!(printed, json);
    node.signal(Signal::TERM);
    let done = node.wait();
    assert!(done.status.success(), "{}", done.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_struct_of_every_kind_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let ([port], (key, peer)) = (free_ports(), identity());
    let text = format!(
        "mosaik: v1\nnetwork: every-kind\nnode: {{secret_key: \"{key}\", listen: [\"127.0.0.1:{port}\"]}}\n\
         streams:\n  in: {{scope: network, encoding: postcard, schema: &reading {READING}}}\n  \
         out: {{scope: network, encoding: postcard, schema: *reading}}\n\
         operators:\n  same: {{wasm: builtin:jq, from: in, to: out, config: {{filter: .}}}}\n"
    );
    let node = Node::up(&write(folder.path(), "every-kind.yaml", text));
    let [feed, desk] = [
        service("every-kind", &peer, port).await,
        service("every-kind", &peer, port).await,
    ];
    let found = exchange(
        (&feed, "in"),
        (0..5000).map(Reading::nth),
        (&desk, "out"),
        5000,
    )
    .await;
    for (seq, found) in (0..).zip(found) {
        assert_eq!(found, Reading::nth(seq));
    }
    node.signal(Signal::TERM);
    let done = node.wait();
    assert!(
        done.stderr.contains("nothing was dropped"),
        "{}",
        done.stderr
    );
}

/// Nodes of one process each: from a file to postcard, through two operators, to JSON.
#[test]
fn records_that_violate_a_schema_are_counted_where_detected() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "symbol,price\nETH,1\nBTC,2\nETH,much\nSOL,4\nADA,5\n";
    write(folder.path(), "rows.csv", rows);
    let manifest = |on_error: &str| {
        format!(
            "mosaik: v1\nstreams:\n  rows: {{encoding: postcard, schema: {{symbol: string, price: f64}}}}\n  \
             narrow: {{encoding: postcard, schema: {{symbol: string, price: u8}}}}\n  rejected: {{}}\n\
             producers:\n  rows: {{from: {{file: {{path: rows.csv}}}}, to: rows}}\n\
             operators:\n  scale:\n    wasm: builtin:jq\n    from: {{stream: rows, criteria: {{symbol: {{not: ADA}}}}}}\n    to: narrow\n    \
             config: {{filter: '.price *= 100 | ., empty'}}\n    on_error: {on_error}\n\
             consumers:\n  print: {{from: narrow, to: {{file: {{path: out.jsonl}}}}}}\n  bad: {{from: rejected, to: {{stdout: {{}}}}}}\n"
        )
    };
    let path = write(folder.path(), "mosaik.yaml", manifest("{to: rejected}"));
    let done = run(["up".into(), path]);
    // The row that the source skipped is lost; the operator's invalid record was sent to its
    // stream.
    assert_eq!(done.status.code(), Some(5), "{}", done.stderr);
    let printed = fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
    assert_eq!(
        printed,
        "{\"symbol\":\"ETH\",\"price\":100}\n{\"symbol\":\"BTC\",\"price\":200}\n"
    );
    let letter: serde_json::Value = serde_json::from_str(done.stdout.trim_end()).unwrap();
    assert_eq!(
        (&letter["operator"], &letter["port"]),
        (&"scale".into(), &"out".into())
    );
    let reason = letter["reason"].as_str().unwrap();
    assert!(reason.contains("`price`: invalid value: "), "{reason}");
    assert!(letter["datum"].as_str().unwrap().contains("\"SOL\""));
    assert!(
        done.stderr
            .contains("line 4 is invalid for the schema: `price`"),
        "{}",
        done.stderr
    );
    for (stage, said) in [("rows", "1 invalid"), ("scale", "1 invalid")] {
        let found = done
            .stderr
            .lines()
            .any(|line| line.contains(&format!(" {stage} ")) && line.contains(said));
        assert!(found, "{stage}: {}", done.stderr);
    }

    let text = manifest("stop")
        .replace("  rejected: {}\n", "")
        .replace("  bad: {from: rejected, to: {stdout: {}}}\n", "");
    let done = run(["up".into(), write(folder.path(), "stop.yaml", text)]);
    assert!(!done.status.success(), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("rejected a record: invalid for the schema: `price`"),
        "{}",
        done.stderr
    );
}

/// A service whose type has changed since.
#[tokio::test(flavor = "multi_thread")]
async fn records_of_another_type_are_counted_at_the_operator_and_the_sink() {
    let folder = tempfile::tempdir().unwrap();
    let ([port], (key, peer)) = (free_ports(), identity());
    let text = format!(
        "mosaik: v1\nnetwork: changed\nnode: {{secret_key: \"{key}\", listen: [\"127.0.0.1:{port}\"]}}\n\
         streams:\n  in: {{scope: network, encoding: postcard, schema: {{name: string, flag: bool}}}}\n  \
         out: {{scope: network, encoding: postcard, schema: string}}\n  rejected: {{}}\n\
         operators:\n  names: {{wasm: builtin:jq, from: in, to: out, config: {{filter: .name}}, on_error: {{to: rejected}}}}\n\
         consumers:\n  print: {{from: in, to: {{file: {{path: in.jsonl}}}}}}\n  bad: {{from: rejected, to: {{stdout: {{}}}}}}\n"
    );
    let node = Node::up(&write(folder.path(), "changed.yaml", text));
    let [feed, desk] = [
        service("changed", &peer, port).await,
        service("changed", &peer, port).await,
    ];
    let consumer = desk
        .streams()
        .consumer::<String>()
        .with_stream_id("out")
        .build();
    let mut producer = feed
        .streams()
        .producer::<(String, u8)>()
        .with_stream_id("in")
        .online_when(|node| node.minimum_of(2))
        .build()
        .unwrap();
    timeout(LIMIT, consumer.when().subscribed()).await.unwrap();
    for datum in [("a", 0), ("b", 7), ("c", 1)] {
        let datum = (datum.0.to_owned(), datum.1);
        timeout(LIMIT, producer.send(datum)).await.unwrap().unwrap();
    }
    let found: Vec<String> = timeout(LIMIT, consumer.take(2).collect()).await.unwrap();
    assert_eq!(found, ["a", "c"]);
    let letter = node.stdout_line("the refused datum", |line| line.contains("datum"));
    let letter: serde_json::Value = serde_json::from_str(&letter).unwrap();
    assert_eq!(
        letter["reason"],
        "invalid for the schema: `flag`: the byte 7 is neither 0 nor 1"
    );
    // The original bytes: a length, a letter, the flag. They happen to be text.
    assert_eq!(letter["datum"], "\u{1}b\u{7}");
    let file = folder.path().join("in.jsonl");
    crate::support::eventually("the sink has printed", || {
        fs::read_to_string(&file).is_ok_and(|text| text.lines().count() == 2)
    });
    node.signal(Signal::TERM);
    let done = node.wait();
    for stage in ["names", "print"] {
        let found = done
            .stderr
            .lines()
            .any(|line| line.contains(&format!(" {stage} ")) && line.contains("1 invalid"));
        assert!(found, "{stage}: {}", done.stderr);
    }
}
