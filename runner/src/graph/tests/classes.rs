//! Checks that every key of the manifest has a class, and that differences between graphs have the class of the table.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::manifest::schema;

/// The sections whose keys must each have a class; deeper keys have the class of their parent.
const SECTIONS: &[&str] = &[
    "",
    "node",
    "streams.*",
    "producers.*",
    "operators.*",
    "operators.*.from",
    "consumers.*",
    "consumers.*.from",
];

fn walk(schema: &Value, defs: &Value, path: &str, keys: &mut BTreeSet<String>, depth: usize) {
    if depth > 12 {
        return;
    }
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        // Fields and types defined by the user.
        if !matches!(name, "criteria" | "condition_on_a_field" | "postcard") {
            walk(&defs[name], defs, path, keys, depth + 1);
        }
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let key = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        // An edge in `from` by port has the same keys as an edge.
        let key = key.replace("operators.*.from.*.", "operators.*.from.");
        walk(inner, defs, &key, keys, depth + 1);
        keys.insert(key);
    }
    if schema["additionalProperties"].is_object() {
        walk(
            &schema["additionalProperties"],
            defs,
            &format!("{path}.*"),
            keys,
            depth + 1,
        );
    }
    for which in ["anyOf", "oneOf", "allOf"] {
        for inner in schema[which].as_array().into_iter().flatten() {
            walk(inner, defs, path, keys, depth + 1);
        }
    }
}

#[test]
fn every_key_of_a_manifest_has_a_class() {
    let schema = schema();
    let mut keys = BTreeSet::new();
    walk(&schema, &schema["$defs"], "", &mut keys, 0);
    let classes = classes();
    let known: BTreeSet<&str> = classes.iter().map(|class| class.path.as_str()).collect();
    for key in &keys {
        let parent = key.rsplit_once('.').map_or("", |(parent, _)| parent);
        if SECTIONS.contains(&parent) {
            assert!(
                known.contains(key.as_str()),
                "`{key}` has no class: what does a change of it take?"
            );
        }
    }
    for key in known {
        assert!(
            keys.contains(key),
            "`{key}` has a class, and is no key of a manifest"
        );
    }
}

const FULL: &str = "mosaik: v1
network: markets
node: {name: n, tags: [eu]}
streams:
  a: {}
  b: {}
  c: {scope: network}
  d: {scope: network}
  e: {encoding: postcard, schema: u8}
  f: {}
producers:
  p: {from: {generate: {rate: 1}}, to: a}
  q: {from: {stdin: {format: jsonl}}, to: e}
operators:
  o: {wasm: 'builtin:v1', from: {stream: a}, to: b}
  x: {wasm: 'builtin:v1', from: e, to: f, instances: 2}
consumers:
  s: {from: {stream: b}, to: {stdout: {}}}
  t: {from: c, to: {stdout: {}}}
  u: {from: f, to: {stdout: {}}}
  v: {from: d, to: {stdout: {}}}
";

/// Returns the changes to make to the manifest for each key of the table.
fn edits() -> BTreeMap<&'static str, Vec<(&'static str, String)>> {
    let key = "0".repeat(63) + "1";
    let digest = blake3::hash(b"builtin:v1");
    let many = |edits: &[(&'static str, &str)]| {
        let edits = edits.iter();
        edits
            .map(|(from, to)| (*from, (*to).to_owned()))
            .collect::<Vec<_>>()
    };
    let one = |from: &'static str, to: &str| vec![(from, to.to_owned())];
    let node = |with: &str| {
        vec![(
            "{name: n, tags: [eu]}",
            format!("{{name: n, tags: [eu], {with}}}"),
        )]
    };
    let stream = |with: &str| vec![("  a: {}", format!("  a: {{{with}}}"))];
    let operator = |with: &str| vec![("to: b}", format!("to: b, {with}}}"))];
    let from = |with: &str| vec![("{stream: a}", format!("{{stream: a, {with}}}"))];
    let reads = |with: &str| vec![("{stream: b}", format!("{{stream: b, {with}}}"))];
    BTreeMap::from([
        ("mosaik", one("mosaik: v1", "mosaik: \"v1\"")),
        ("network", one("markets", "other")),
        ("node", one("tags: [eu]", "tags: [us]")),
        ("node.name", one("name: n", "name: m")),
        ("node.secret_key", node(&format!("secret_key: '{key}'"))),
        ("node.listen", node("listen: ['127.0.0.1:9']")),
        ("node.advertise", node("advertise: ['127.0.0.1:9']")),
        ("node.mdns", node("mdns: true")),
        ("node.protocol", node("protocol: mosaik-0.4")),
        ("node.quic", node("quic: {congestion: bbr}")),
        (
            "node.bootstrap",
            node(&format!("bootstrap: ['{key}@127.0.0.1:9']")),
        ),
        ("node.tags", one("tags: [eu]", "tags: [us]")),
        (
            "node.tickets",
            node("tickets: [{jwt: 'eyJhbGciOiJIUzI1NiJ9.e30.c2ln'}]"),
        ),
        (
            "streams",
            many(&[
                ("  d: {scope: network}\n", ""),
                ("  v: {from: d, to: {stdout: {}}}\n", ""),
            ]),
        ),
        ("streams.*.scope", one("  a: {}", "  a: {scope: network}")),
        (
            "streams.*.id",
            one("  c: {scope: network}", "  c: {scope: network, id: other}"),
        ),
        (
            "streams.*.encoding",
            one("  b: {}", "  b: {encoding: bytes}"),
        ),
        ("streams.*.schema", one("schema: u8", "schema: u16")),
        ("streams.*.criteria", stream("criteria: {x: 1}")),
        ("streams.*.buffer_size", stream("buffer_size: 9")),
        ("streams.*.buffer_bytes", stream("buffer_bytes: 1MiB")),
        ("streams.*.linger", stream("linger: 5ms")),
        (
            "streams.*.max_consumers",
            one(
                "  c: {scope: network}",
                "  c: {scope: network, max_consumers: 3}",
            ),
        ),
        (
            "streams.*.disconnect_lagging",
            one(
                "  c: {scope: network}",
                "  c: {scope: network, disconnect_lagging: 5s}",
            ),
        ),
        (
            "streams.*.online_when",
            stream("online_when: {minimum_of: 2}"),
        ),
        (
            "streams.*.require",
            one(
                "  c: {scope: network}",
                "  c: {scope: network, require: {consumers: {tags: [x]}}}",
            ),
        ),
        (
            "streams.*.backoff",
            one(
                "  c: {scope: network}",
                "  c: {scope: network, backoff: {max: 9s}}",
            ),
        ),
        ("producers", one("  p: {from", "  z: {from")),
        ("producers.*.from", one("rate: 1", "rate: 2")),
        (
            "producers.*.to",
            many(&[
                ("to: a}", "to: c}"),
                ("{stream: a}", "{stream: c}"),
                ("  a: {}\n", ""),
            ]),
        ),
        ("consumers", one("  t: {from: c", "  z: {from: c")),
        (
            "consumers.*.from",
            many(&[
                ("  t: {from: c", "  t: {from: d"),
                ("  c: {scope: network}\n", ""),
            ]),
        ),
        (
            "consumers.*.from.stream",
            many(&[
                ("  t: {from: c", "  t: {from: {stream: d}"),
                ("  c: {scope: network}\n", ""),
            ]),
        ),
        ("consumers.*.from.criteria", reads("criteria: {x: 1}")),
        ("consumers.*.from.buffer_size", reads("buffer_size: 9")),
        ("consumers.*.from.buffer_bytes", reads("buffer_bytes: 1MiB")),
        ("consumers.*.from.batch_size", reads("batch_size: 9")),
        (
            "consumers.*.from.online_when",
            reads("online_when: {minimum_of: 1}"),
        ),
        (
            "consumers.*.to",
            one(
                "t: {from: c, to: {stdout: {}}}",
                "t: {from: c, to: {file: {path: x}}}",
            ),
        ),
        ("operators", one("  o: {wasm", "  z: {wasm")),
        (
            "operators.*.from",
            many(&[
                ("from: {stream: a}, to: b", "from: c, to: b"),
                ("  t: {from: c,", "  t: {from: a,"),
            ]),
        ),
        (
            "operators.*.from.stream",
            many(&[
                ("{stream: a}, to: b", "{stream: c}, to: b"),
                ("  t: {from: c,", "  t: {from: a,"),
            ]),
        ),
        ("operators.*.from.criteria", from("criteria: {x: 1}")),
        ("operators.*.from.buffer_size", from("buffer_size: 9")),
        ("operators.*.from.buffer_bytes", from("buffer_bytes: 1MiB")),
        ("operators.*.from.batch_size", from("batch_size: 9")),
        (
            "operators.*.from.online_when",
            from("online_when: {minimum_of: 1}"),
        ),
        (
            "operators.*.to",
            many(&[
                ("{stream: a}, to: b}", "{stream: a}, to: c}"),
                ("  s: {from: {stream: b}, to: {stdout: {}}}\n", ""),
                ("  b: {}\n", ""),
            ]),
        ),
        (
            "operators.*.postcard",
            one("to: f, instances", "to: f, postcard: native, instances"),
        ),
        (
            "operators.*.wasm",
            one("builtin:v1', from: {stream", "builtin:v2', from: {stream"),
        ),
        (
            "operators.*.digest",
            operator(&format!("digest: 'blake3:{digest}'")),
        ),
        ("operators.*.config", operator("config: {x: 1}")),
        (
            "operators.*.files",
            operator(concat!(
                "files: {table: {format: json, path: ",
                env!("CARGO_MANIFEST_DIR"),
                "/../operators/join/config.schema.json}}"
            )),
        ),
        ("operators.*.allow", operator("allow: {random: true}")),
        ("operators.*.state", operator("state: reset")),
        ("operators.*.instances", operator("instances: 2")),
        (
            "operators.*.key",
            one("instances: 2", "instances: 2, key: id"),
        ),
        ("operators.*.limits", operator("limits: {time: 2s}")),
        ("operators.*.on_error", operator("on_error: {to: c}")),
        ("operators.*.tick", operator("tick: 1s")),
        ("operators.*.checkpoint", operator("checkpoint: 1m")),
    ])
}

/// Returns the largest effect in a difference.
fn effect_of(diff: &Diff) -> String {
    if !diff.restart.is_empty() {
        return "restart".to_owned();
    }
    let streams = diff.streams.iter().map(|stream| stream.change);
    let stages = diff.stages.iter().map(|stage| stage.change);
    let node = (!diff.node.is_empty()).then_some(Change::Retune);
    let most = streams
        .chain(stages)
        .chain(node)
        .map(|change| match change {
            Change::Add | Change::Remove => Change::Rewire,
            other => other,
        });
    most.max().unwrap_or(Change::Keep).to_string()
}

#[test]
fn a_changed_key_has_the_effect_of_its_class() {
    let old = graph(FULL);
    let mut edits = edits();
    let mut wrong = Vec::new();
    for class in classes() {
        let (key, reload) = (class.path, class.reload);
        let Some(edits) = edits.remove(key.as_str()) else {
            // The declaration is also what compares the other keys.
            assert!(!class.in_graph, "no edit shows the effect of `{key}`");
            continue;
        };
        let mut text = FULL.to_owned();
        for (from, to) in edits {
            assert!(text.contains(from), "{key}: {from} is not in\n{text}");
            text = text.replace(from, &to);
        }
        match try_load(&text) {
            Ok(new) => {
                let diff = Diff::between(&old, &new.graph);
                if effect_of(&diff) != reload.to_string() {
                    wrong.push(format!("`{key}` is not {reload}\n{diff}"));
                }
            }
            Err(mistakes) => wrong.push(format!("the edit of `{key}` is no manifest:\n{mistakes}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        edits.is_empty(),
        "edits of keys that are not in the table: {edits:?}"
    );
}

#[test]
fn the_docs_show_the_table() {
    let rows = classes()
        .into_iter()
        .map(|class| format!("| `{}` | {} |\n", class.path, class.reload));
    let table = format!("| key | effect |\n|---|---|\n{}", rows.collect::<String>());
    crate::generated::check("docs/reload.md", "effects", &table);
}
