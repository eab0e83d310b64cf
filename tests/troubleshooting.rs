//! Tests docs/guides/troubleshooting.md: causes each message that is a heading of the page, so that
//! a reader who searches for a message finds the current text.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, net::UdpSocket, path::Path};

use crate::support::{Node, root, run, write};

/// Returns the headings of the page that are messages.
fn headings() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/guides/troubleshooting.md")).unwrap();
    let lines = page.lines();
    lines
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .map(str::to_owned)
        .collect()
}

/// Returns true if `said` contains a message: its parts between `…`, in order.
fn is_said(message: &str, said: &str) -> bool {
    let mut rest = said;
    message.split('…').all(|part| {
        let found = rest.find(part);
        rest = found.map_or(rest, |at| &rest[at + part.len()..]);
        found.is_some()
    })
}

/// Returns a manifest with one source, one operator and one sink.
fn with_operator(operator: &str) -> String {
    format!(
        "mosaik: v1\nstreams: {{a: {{}}, b: {{}}}}\n\
         producers: {{p: {{from: {{generate: {{count: 3}}}}, to: a}}}}\n\
         operators: {{o: {{from: a, to: b, {operator}}}}}\n\
         consumers: {{c: {{from: b, to: {{stdout: {{}}}}}}}}\n"
    )
}

/// Returns a manifest whose only source is `source`.
fn with_source(source: &str, edge: &str) -> String {
    format!(
        "mosaik: v1\nstreams: {{a: {{}}}}\nproducers: {{p: {{from: {source}, to: a}}}}\n\
         consumers: {{c: {{from: {edge}, to: {{stdout: {{}}}}}}}}\n"
    )
}

/// Returns the messages of all errors that need no second node.
fn said_of_manifests(folder: &Path) -> String {
    let mut said = String::new();
    let generate = "{generate: {count: 3}}";
    let shared = "mosaik: v1\nstreams: {a: {scope: network}}\n\
                  producers: {p: {from: {generate: {rate: 1}}, to: a}}\n";
    write(folder, "rows.csv", "a,b\n1,2\n3\n");
    write(folder, "packed.csv", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    let cases = [
        ("check", with_source(generate, "b")),
        (
            "check",
            "mosaik: v1\nstreams: {a: {}}\nconsumers: {c: {from: a, to: {stdout: {}}}}\n"
                .to_owned(),
        ),
        (
            "check",
            format!(
                "mosaik: v1\nstreams: {{a: {{}}}}\nproducers: {{p: {{from: {generate}, to: a}}}}\n"
            ),
        ),
        (
            "check",
            with_source(generate, "a").replace("to: a", "form: x, to: a"),
        ),
        ("check", shared.to_owned()),
        (
            "check",
            format!(
                "{}network: n\nnode: {{secret_key: \"${{env:NOT_SET_HERE}}\"}}\n",
                with_source(generate, "a")
            ),
        ),
        (
            "check",
            format!("{shared}network: n\nnode: {{listen: [\"0.0.0.0:0\"]}}\n"),
        ),
        (
            "check",
            with_source(generate, "{stream: a, criteria: {other: 3}}"),
        ),
        ("check", with_source("{file: {path: nothing.csv}}", "a")),
        ("check", with_source("{file: {path: packed.csv}}", "a")),
        ("up", with_source("{file: {path: rows.csv}}", "a")),
        (
            "up",
            with_source(
                "{file: {path: rows.csv, csv: {header: [x, y], types: {x: number}}}}",
                "a",
            ),
        ),
        (
            "up",
            with_source("{file: {path: rows.csv}}", "a")
                .replace("stdout: {}", "stdout: {csv: {header: [a]}}"),
        ),
        ("check", with_operator("wasm: nothing.wasm")),
        ("check", with_operator("wasm: \"builtin:dedup\"")),
        (
            "check",
            with_operator("wasm: \"builtin:dedupe\", config: {maxkeys: 3}"),
        ),
        (
            "check",
            with_operator(&format!(
                "wasm: \"builtin:dedupe\", digest: \"blake3:{}\"",
                "0".repeat(64)
            )),
        ),
        (
            "up",
            with_operator("wasm: \"builtin:jq\", config: {filter: '\"x\" | .price'}"),
        ),
        (
            "up",
            with_operator(
                "wasm: \"builtin:window\", config: {every: 1h, time: at, aggregate: {n: count}}",
            ),
        ),
        (
            "up",
            with_operator(
                "wasm: \"builtin:jq\", on_error: skip, config: {filter: 'error(\"no\")'}",
            ),
        ),
        (
            "up",
            with_operator(
                "wasm: \"builtin:jq\", limits: {time: 50ms}, config: {filter: 'range(1e12) | select(. < 0)'}",
            ),
        ),
        (
            "up",
            with_operator(
                "wasm: \"builtin:jq\", limits: {memory: 8MiB}, config: {filter: '[range(1e7)] | length'}",
            ),
        ),
    ];
    for (number, (verb, manifest)) in cases.iter().enumerate() {
        let path = write(folder, &format!("{number}.yaml"), manifest);
        said.push_str(&run([verb.as_ref(), path.as_os_str()]).stderr);
    }
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let path = write(
        folder,
        "taken.yaml",
        format!("{shared}network: n\nnode: {{listen: [\"{listen}\"]}}\n"),
    );
    said.push_str(&run(["up".as_ref(), path.as_os_str()]).stderr);
    said
}

/// Returns the messages for users of a running node.
fn said_of_a_node(folder: &Path) -> String {
    let manifest = "mosaik: v1\nnetwork: n\nstreams: {a: {scope: network, online_when: {producer: {minimum_of: 1}}}}\n\
                    producers: {p: {from: {generate: {rate: 1}}, to: a}}\n";
    let path = write(folder, "node.yaml", manifest);
    let node = Node::up(&path);
    node.logged("waits for readers");
    let mut said = String::new();
    said.push_str(&run(["up".as_ref(), path.as_os_str()]).stderr);
    said.push_str(&run(["tap".as_ref(), "b".as_ref(), path.as_os_str()]).stderr);
    let other = write(folder, "other.yaml", manifest);
    said.push_str(&run(["status".as_ref(), other.as_os_str()]).stderr);
    write(
        folder,
        "node.yaml",
        manifest.replace("network: n\n", "network: m\n"),
    );
    said.push_str(&run(["reload".as_ref(), path.as_os_str()]).stderr);
    node.logged("a restart is needed");
    write(folder, "node.yaml", "mosaik: v1\nstreams: {}\nnothing: 3\n");
    said.push_str(&run(["reload".as_ref(), path.as_os_str()]).stderr);
    node.logged("continues unchanged");
    said.push_str(&node.interrupt().stderr);
    said
}

#[test]
fn every_message_of_the_page_is_printed_by_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let said = said_of_manifests(folder.path()) + &said_of_a_node(folder.path());
    let headings = headings();
    assert!(headings.len() > 20, "the page has messages");
    let missing: Vec<_> = headings
        .iter()
        .filter(|text| !is_said(text, &said))
        .collect();
    assert!(
        missing.is_empty(),
        "nothing says {missing:#?}; there was\n{said}"
    );
}

#[test]
fn parts_of_a_message_are_found_in_their_order() {
    assert!(is_said("a … c …", "x a b c d"));
    assert!(!is_said("c … a", "x a b c d"));
}
