//! Tests queries to two nodes that know each other: the reasons why one is not read, and the
//! connections that a change preserves.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::socket::{ask, up};
use crate::support::{eventually, free_ports, identity, write};
use serde_json::Value;

/// Writes the manifests of two nodes that know each other: one writes `ticks`, the other reads it.
fn two_nodes(folder: &Path) -> [PathBuf; 2] {
    let [writer_port, reader_port] = free_ports();
    let [(writer_key, writer_id), (reader_key, reader_id)] = [identity(), identity()];
    let node = |key: &str, port: u16, peer: &str, peer_port: u16| {
        format!(
            "mosaik: v1\nnetwork: control-test\nnode: {{secret_key: '{key}', listen: ['127.0.0.1:{port}'], tags: [trusted], \
             bootstrap: ['{peer}@127.0.0.1:{peer_port}']}}\n"
        )
    };
    let writer = node(&writer_key, writer_port, &reader_id, reader_port)
        + "streams:\n  ticks: {scope: network}\nproducers:\n  clock: {from: {generate: {rate: 500}}, to: ticks}\n";
    let reader = node(&reader_key, reader_port, &writer_id, writer_port)
        + "streams:\n  ticks: {scope: network}\nconsumers:\n  print: {from: {stream: ticks}, to: {file: {path: ticks.jsonl}}}\n";
    [
        write(folder, "writer.yaml", writer),
        write(folder, "reader.yaml", reader),
    ]
}

#[test]
fn explain_shows_why_a_remote_node_is_not_connected() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [writer, reader] = two_nodes(folder);
    let explain = |manifest: &Path, wanted: &str| {
        let mut said = String::new();
        let what = format!("`{wanted}` is explained");
        eventually(&what, || {
            said = ask(folder, &["explain", "ticks", manifest.to_str().unwrap()]).stdout;
            said.contains(wanted)
        });
    };
    let _reading = up(folder, &["--no-watch"], &reader);
    explain(
        &reader,
        "no producer found, because no other node is known: nothing answers at the `bootstrap` address 127.0.0.1:",
    );
    let writing = up(folder, &["--no-watch"], &writer);
    explain(&reader, ": connected");
    explain(&writer, "online here: 1 subscriber");
    let peers = ask(folder, &["peers", reader.to_str().unwrap()]).stdout;
    assert!(
        peers.contains("ticks") && peers.contains("127.0.0.1:"),
        "{peers}"
    );

    // The writer now refuses all nodes without the tag `house`.
    let edit = |manifest: &Path, from: &str, to: &str| {
        let text = fs::read_to_string(manifest).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(manifest, text.replace(from, to)).unwrap();
        let done = ask(folder, &["reload", manifest.to_str().unwrap()]);
        assert!(done.status.success(), "{done:?}");
        done.stdout
    };
    let receipt = edit(
        &writer,
        "{scope: network}",
        "{scope: network, require: {consumers: {tags: [house]}}}",
    );
    assert!(
        receipt.contains("retune stream ticks (require.consumers: "),
        "{receipt}"
    );
    explain(&reader, "refused this node with 10403");
    explain(
        &writer,
        "offline here: online_when requires 1 subscriber, has none",
    );
    // Now the reader has the tag: it is admitted again without a restart.
    edit(&reader, "tags: [trusted]", "tags: [trusted, house]");
    explain(&reader, ": connected");
    // The reader now also refuses all producers without the tag.
    edit(
        &reader,
        "ticks: {scope: network}",
        "ticks: {scope: network, require: {producers: {tags: [house]}}}",
    );
    explain(
        &reader,
        "1 node found without the required tags or tickets: `require` of stream ticks",
    );
    edit(
        &reader,
        "{producers: {tags: [house]}}",
        "{producers: {tags: [trusted]}}",
    );
    explain(&reader, ": connected");
    drop(writing);
    explain(&reader, "retries");
}

#[test]
fn a_retuned_stream_keeps_its_connections() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [writer, reader] = two_nodes(folder);
    let (_writing, _reading) = (
        up(folder, &["--no-watch"], &writer),
        up(folder, &["--no-watch"], &reader),
    );
    let edge = || {
        let done = ask(folder, &["status", reader.to_str().unwrap(), "--json"]);
        let status: Value = serde_json::from_str(&done.stdout).unwrap();
        status["edges"][0].clone()
    };
    eventually("records come", || edge()["datums"].as_u64() > Some(10));
    let connection = edge()["producers"][0]["connection"].clone();
    assert!(connection.is_u64());
    let edits = [
        (
            &reader,
            "{stream: ticks}",
            "{stream: ticks, batch_size: 20, buffer_size: 50, buffer_bytes: 64KiB, online_when: {minimum_of: 1}}",
        ),
        (
            &reader,
            "buffer_size: 50,",
            "buffer_size: 50, criteria: {seq: {gte: 5}},",
        ),
        (
            &reader,
            "ticks: {scope: network}",
            "ticks: {scope: network, backoff: {max: 5s}, require: {producers: {tags: [trusted]}}}",
        ),
        (
            &writer,
            "ticks: {scope: network}",
            "ticks: {scope: network, buffer_size: 99, linger: 2ms, max_consumers: 4, disconnect_lagging: 5s, online_when: {producer: {minimum_of: 1}}, require: {consumers: {tags: [trusted]}}}",
        ),
        (
            &writer,
            "tags: [trusted], bootstrap",
            "tags: [trusted, more], bootstrap",
        ),
    ];
    for (manifest, from, to) in edits {
        let text = fs::read_to_string(manifest).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(manifest, text.replace(from, to)).unwrap();
        let done = ask(folder, &["reload", manifest.to_str().unwrap()]);
        assert!(done.stdout.contains("retune"), "{done:?}");
        assert!(!done.stdout.contains("rewire"), "{done:?}");
    }
    let before = edge()["datums"].as_u64().unwrap();
    eventually("records still come", || {
        edge()["datums"].as_u64() > Some(before + 10)
    });
    let now = edge();
    assert_eq!(now["producers"][0]["connection"], connection, "{now}");
    assert_eq!(now["buffer_size"], 50);

    // No record matches these criteria, and the other node sends none: the producer filters, not
    // this node.
    let text = fs::read_to_string(&reader)
        .unwrap()
        .replace("gte: 5", "lt: 0");
    fs::write(&reader, text).unwrap();
    assert!(
        ask(folder, &["reload", reader.to_str().unwrap()])
            .status
            .success()
    );
    let sent = || {
        let done = ask(folder, &["status", writer.to_str().unwrap(), "--json"]);
        let status: Value = serde_json::from_str(&done.stdout).unwrap();
        (
            status["streams"][0]["sent_remote"].as_u64().unwrap(),
            status["streams"][0]["datums"].as_u64().unwrap(),
        )
    };
    let mut last = sent();
    eventually("the writer sends nothing more", || {
        let now = sent();
        let quiet = now.0 == last.0 && now.1 > last.1 + 50;
        last = now;
        quiet
    });
    assert_eq!(edge()["producers"][0]["connection"], connection);
}
