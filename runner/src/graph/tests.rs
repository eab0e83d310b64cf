//! Graphs of small manifests: their wiring, differences and drawings.

mod classes;
mod data_files;
mod diff;
mod ends;

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::declare::{Diagnostics, MAX_MANIFEST_BYTES};

/// Components by name: `two` has two inputs and two outputs; `v2` is like the others with different code.
pub(super) struct Described;

impl Components for Described {
    fn describe(
        &self,
        code: &Code,
        _: &OperatorLimits,
        _: &Grants,
    ) -> Result<ComponentInfo, Unusable> {
        let ports = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let name = String::from_utf8_lossy(code.bytes()).into_owned();
        let (inputs, outputs) = if name == "builtin:two" {
            (ports(&["trades", "quotes"]), ports(&["out", "late"]))
        } else {
            (ports(&["in"]), ports(&["out"]))
        };
        Ok(ComponentInfo {
            inputs,
            outputs,
            state_version: u32::from(name.starts_with("builtin:") && name != "builtin:jq"),
            hash: code.hash().to_hex().to_string(),
            len: 1,
        })
    }

    fn builtins(&self) -> Vec<&str> {
        vec!["jq", "two"]
    }

    fn builtin(&self, name: &str) -> Result<Code, Unusable> {
        Ok(Code::new(format!("builtin:{name}")))
    }

    fn open(&self, _: &Graph, _: &Stage, operator: &OperatorStage) -> Result<(), OpenRefusal> {
        let refuses = operator.config.get("refuse").is_some();
        if refuses {
            Err(OpenRefusal("no such key\n  refuse".to_owned()))
        } else {
            Ok(())
        }
    }
}

pub(super) fn try_load(text: &str) -> Result<Loaded, Diagnostics> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mosaik.yaml");
    std::fs::write(&file, text).unwrap();
    let env = BTreeMap::from([("SECRET".to_owned(), "sekrit".to_owned())]);
    load(&file, &env, &Described)
}

pub(super) fn graph(text: &str) -> Graph {
    try_load(text)
        .unwrap_or_else(|wrong| panic!("{text}\n{wrong}"))
        .graph
}

fn key(role: Role, name: &str) -> StageKey {
    StageKey {
        role,
        name: StageName::new(name).unwrap(),
    }
}

const WHOLE: &str = r#"
mosaik: v1
network: markets
node:
  name: edge-1
  secret_key: "0000000000000000000000000000000000000000000000000000000000000001"
  listen: ["0.0.0.0:4433"]
  advertise: ["198.51.100.4:4433"]
  bootstrap: ["0000000000000000000000000000000000000000000000000000000000000002@203.0.113.7:4433"]
  mdns: true
  protocol: mosaik-0.4
  tags: [ingest, eu]
streams:
  prices:
    scope: network
    id: oracle.price
    encoding: json
    buffer_size: 4096
    max_consumers: 16
    disconnect_lagging: 5s
    online_when: {minimum_of: 2, with_tags: [trusted]}
    require:
      consumers: {tags: [trusted]}
      producers: {tags: [primary]}
    criteria: {price: {gte: 100}}
    backoff: {initial: 500ms, max: 60s, max_elapsed: 5m}
  spreads: {}
  late: {}
  rejected: {}
producers:
  stocks: {from: {generate: {rate: 10}}, to: prices}
operators:
  spread:
    wasm: builtin:two
    from: {quotes: prices, trades: {stream: prices, criteria: {symbol: [ETH, BTC]}, buffer_size: 7}}
    to: {late: late, out: spreads}
    config: {window: 60s, key: "${env:SECRET}"}
    limits: {memory: 1MiB, time: 50ms, binary: 1MiB}
    on_error: {to: rejected}
    state: reset
    tick: 1s
    checkpoint: 30s
    instances: 1
    allow: {}
consumers:
  print: {from: spreads, to: {stdout: {}}}
  late: {from: late, to: {stdout: {}}}
  bad: {from: rejected, to: {file: {path: rejected.jsonl}}}
"#;

#[test]
fn a_manifest_with_every_key_is_loaded() {
    let graph = graph(WHOLE);
    assert_eq!(graph.network.as_ref().unwrap().as_str(), "markets");
    assert_eq!(graph.node.listen, ["0.0.0.0:4433".parse().unwrap()]);
    assert_eq!(graph.node.bootstrap[0].peer[31], 2);
    assert!(graph.node.mdns);
    assert_eq!(
        graph.node.protocol,
        mosaik_streams::discovery::Generation::V0_4
    );
    assert_eq!(graph.node.secret_key.as_ref().unwrap().expose()[31], 1);
    let prices = &graph.streams["prices"];
    assert_eq!(prices.id, mosaik_streams::StreamId::from("oracle.price"));
    assert_eq!(
        (
            prices.settings.scope,
            prices.settings.buffer_size,
            prices.settings.max_consumers
        ),
        (Scope::Network, 4096, Some(16))
    );
    assert_eq!(
        prices.settings.disconnect_lagging,
        Lagging::After(Duration::from_secs(5))
    );
    assert_eq!(
        prices.settings.online_when.producer,
        prices.settings.online_when.consumer
    );
    assert_eq!(
        prices.settings.require.producers.tags[0].as_str(),
        "primary"
    );
    assert_eq!(prices.settings.backoff, Backoff::default());
    assert_eq!(
        graph.streams["spreads"].settings.disconnect_lagging,
        Lagging::After(Duration::from_secs(30))
    );

    let StageKind::Operator(operator) = &graph.stage(&key(Role::Operator, "spread")).unwrap().kind
    else {
        panic!()
    };
    // In the component's order of ports, not the manifest's.
    assert_eq!(operator.inputs[0].port.as_str(), "trades");
    assert_eq!(operator.outputs[0].stream.as_str(), "spreads");
    let [trades, quotes] = [&operator.inputs[0].edge, &operator.inputs[1].edge];
    assert_eq!((trades.buffer_size(), quotes.buffer_size()), (7, 4096));
    assert_eq!(trades.settings.online_when.as_ref().unwrap().minimum_of, 2);
    let both: Criteria =
        serde_json::from_str(r#"[{"price": {"gte": 100}, "symbol": ["ETH", "BTC"]}]"#).unwrap();
    assert_eq!(*trades.criteria, both);
    assert_eq!(quotes.criteria.paths().count(), 1);
    assert_eq!(
        operator.settings.on_error,
        OnError::To(StreamName::new("rejected").unwrap())
    );
    assert_eq!(
        (
            operator.settings.state,
            operator.settings.tick,
            operator.settings.checkpoint
        ),
        (
            StatePolicy::Reset,
            Some(Duration::from_secs(1)),
            Some(Duration::from_secs(30))
        )
    );
    assert_eq!(operator.settings.limits.memory, 1 << 20);
    assert_eq!(
        *operator.config,
        serde_json::json!({"window": "60s", "key": "sekrit"})
    );
    assert!(!format!("{graph:?}").contains("sekrit"), "{graph:?}");
    assert_eq!(graph.petgraph().edge_count(), 4);
    assert_eq!(
        graph.writers(&StreamName::new("rejected").unwrap()).count(),
        1
    );
}

#[test]
fn loading_lists_the_files_to_watch() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("key", "1".repeat(64).as_bytes());
    write("x.wasm", b"\0asm....");
    write("t.json", b"[1]");
    write(
        "mosaik.yaml",
        b"mosaik: v1\nnode: {secret_key: \"${file:key}\"}\nstreams: {a: {}, b: {}}\n\
          producers: {p: {from: {stdin: {}}, to: a}}\noperators: {o: {wasm: x.wasm, from: a, to: b, files: {table: t.json}}}\n\
          consumers: {c: {from: b, to: {stdout: {}}}}\n",
    );
    let loaded = load(
        &folder.path().join("mosaik.yaml"),
        &BTreeMap::new(),
        &Described,
    )
    .unwrap();
    let names: Vec<_> = loaded
        .files
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names, ["key", "mosaik.yaml", "t.json", "x.wasm"]);
    assert!(loaded.files.iter().all(|file| file.is_absolute()));
    assert_eq!(loaded.hash.len(), 64);
}

#[test]
fn unquoted_substitutions_have_the_type_they_resemble() {
    let text = |value: &str| {
        format!(
            "mosaik: v1\nstreams: {{a: {{buffer_size: '${{env:N:-12}}'}}, b: {{}}}}\n\
             producers: {{p: {{from: {{generate: {{rate: '${{env:N:-2.5}}'}}}}, to: a}}}}\n\
             operators:\n  o:\n    wasm: builtin:x\n    from: a\n    to: b\n    config:\n      n: {value}\n\
             consumers: {{c: {{from: b, to: {{stdout: {{}}}}}}}}\n"
        )
    };
    for (value, expected) in [
        ("${env:N:-7}", serde_json::json!({"n": 7})),
        ("\"${env:N:-7}\"", serde_json::json!({"n": "7"})),
        ("\"$${x}\"", serde_json::json!({"n": "${x}"})),
    ] {
        let graph = graph(&text(value));
        assert_eq!(graph.streams["a"].settings.buffer_size, 12);
        let StageKind::Operator(operator) = &graph.stage(&key(Role::Operator, "o")).unwrap().kind
        else {
            panic!()
        };
        assert_eq!(*operator.config, expected, "{value}");
    }
}

const BASE: &str = "mosaik: v1
network: markets
node: {tags: [eu]}
streams:
  a: {}
  b: {}
  c: {scope: network}
producers:
  p: {from: {generate: {rate: 1}}, to: a}
operators:
  o: {wasm: 'builtin:v1', from: a, to: b}
consumers:
  s: {from: b, to: {stdout: {}}}
  t: {from: c, to: {stdout: {}}}
";

#[test]
fn graphs_are_drawn_in_both_formats() {
    let graph = graph(BASE);
    assert_eq!(
        graph.to_mermaid(),
        "flowchart LR\n    s0([\"p\"])\n    s1[\"o\"]\n    s2[/\"s\"/]\n    s3[/\"t\"/]\n    \
         network{{\"network markets\"}}\n    network -.->|\"c\"| s3\n    s0 -->|\"a\"| s1\n    s1 -->|\"b\"| s2\n"
    );
    let dot = graph.to_dot();
    assert!(
        dot.contains("    network -> s3 [label=\"c\", style=dashed];\n"),
        "{dot}"
    );
    assert!(dot.contains("    s1 [label=\"o\", shape=box];\n"), "{dot}");
}

#[test]
fn a_network_named_by_the_environment_is_not_drawn() {
    let graph = graph(&BASE.replace("markets", "'${env:SECRET}'"));
    assert_eq!(graph.network.as_ref().unwrap().as_str(), "sekrit");
    assert!(!graph.to_mermaid().contains("sekrit"));
}

#[test]
fn a_rejected_configuration_is_reported_at_its_place() {
    let refusing = |config: &str| {
        let text = BASE.replace("to: b}", &format!("to: b, config: {config}}}"));
        assert_ne!(text, BASE);
        text
    };
    let plain = refusing("{refuse: 1}");
    let wrong = try_load(&plain).unwrap_err();
    let found: Vec<_> = wrong.iter().collect();
    let [found] = found.as_slice() else {
        panic!("{wrong}");
    };
    assert_eq!(found.message, "operator `o` failed to open: no such key");
    // A line that points at a column keeps its indentation.
    assert_eq!(found.help.as_deref(), Some("it says\n  refuse"));
    let (span, _) = found.primary.as_ref().unwrap();
    assert_eq!(&plain[span.start..span.end], "config");

    let secret = try_load(&refusing("{refuse: '${env:SECRET}'}")).unwrap_err();
    assert!(
        secret.to_string().contains("`o` failed to open"),
        "{secret}"
    );
    assert!(!secret.to_string().contains("no such key"), "{secret}");

    // Reported together with other mistakes; an operator that is not wired is not opened.
    let beside = try_load(&plain.replace("from: b", "from: nowhere")).unwrap_err();
    assert!(beside.to_string().contains("no such key"), "{beside}");
    assert!(beside.to_string().contains("`nowhere`"), "{beside}");
    let unwired = try_load(&plain.replace("to: b,", "to: nowhere,")).unwrap_err();
    assert!(unwired.to_string().contains("`nowhere`"), "{unwired}");
    assert!(!unwired.to_string().contains("no such key"), "{unwired}");
}

#[test]
fn size_is_bounded_before_parsing() {
    let mut text = BASE.to_owned();
    text.push_str(&"#".repeat(MAX_MANIFEST_BYTES - text.len()));
    assert!(try_load(&text).is_ok());
    text.push('#');
    assert!(
        try_load(&text)
            .unwrap_err()
            .to_string()
            .contains("too large")
    );
}

proptest! {
    #[test]
    fn mutated_manifests_never_panic(
        whole in any::<bool>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, "[ -~\\n\\té→&*!|>\u{feff}]{0,6}"), 1..8),
    ) {
        let mut text: Vec<char> = if whole { WHOLE } else { BASE }.chars().collect();
        for (at, remove, insert) in edits {
            let start = at.index(text.len() + 1);
            let end = (start + remove).min(text.len());
            text.splice(start..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(wrong) = try_load(&text) {
            prop_assert!(!wrong.is_empty());
            let (plain, coloured) = (wrong.to_string(), wrong.render(true));
            prop_assert!(plain.len() <= coloured.len());
            for found in &wrong {
                prop_assert!(wrong.position(found).is_none_or(|(line, column)| line > 0 && column > 0));
            }
        }
    }
}
