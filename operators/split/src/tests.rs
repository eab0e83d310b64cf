//! Tests of the whole operator.

use super::*;
use mosaik_wasm_sdk::testing::{Harness, binding, counted};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Opens the operator with a JSON stream on these output ports.
fn open(config: &Value, outputs: &[&str]) -> Result<Harness<SplitOperator>> {
    let outputs: Vec<Binding> = outputs.iter().map(|port| binding(port, "json")).collect();
    Harness::open_on(&config.to_string(), &[binding("in", "json")], &outputs)
}

/// The outputs, with the names of their ports.
fn sent(harness: &mut Harness<SplitOperator>) -> Vec<(&'static str, String)> {
    let sent = harness.take().into_iter();
    sent.map(|(port, datum)| (PORTS[port], String::from_utf8(datum).unwrap()))
        .collect()
}

#[test]
fn the_schema_is_json_and_names_the_ports() {
    let schema: Value = serde_json::from_str(SplitOperator::CONFIG_SCHEMA).unwrap();
    assert_eq!(schema["properties"]["default"]["enum"], json!(PORTS));
}

#[test]
fn the_first_route_that_wants_a_datum_takes_it() {
    let config = json!({"routes": [
        {"to": "b", "when": {"n": {"gte": 10}}},
        {"to": "a", "when": {"s": ["x", "y"]}},
        {"to": "b", "when": [{"s": {"prefix": "z"}}, {"n": 0}]},
    ]});
    let mut split = open(&config, &["a", "b", "other"]).unwrap();
    let records = [
        r#"{ "n" : 10 , "s":"x" }"#,
        r#"{"n":9,"s":"x"}"#,
        r#"{"s":"zz"}"#,
        r#"{"n":0.0}"#,
        r#"{"n":1}"#,
        "[]",
    ];
    split.send(0, records).unwrap();
    let mut went = sent(&mut split);
    went.sort();
    let expected = [
        ("a", records[1]),
        ("b", records[0]),
        ("b", records[2]),
        ("b", records[3]),
        ("other", records[5]),
        ("other", records[4]),
    ];
    let mut expected = expected.map(|(port, datum)| (port, datum.to_owned()));
    expected.sort();
    assert_eq!(went, expected);
}

#[test]
fn all_routes_take_a_datum_but_each_port_once() {
    let config = json!({
        "match": "all",
        "default": "c",
        "routes": [
            {"to": "a", "when": {"n": {"gt": 0}}},
            {"to": "p", "when": {"n": {"gt": 1}}},
            {"to": "a", "when": {"n": 2}},
        ],
    });
    let mut split = open(&config, &["a", "p", "c"]).unwrap();
    for (datum, ports) in [
        (r#"{"n":2}"#, &["a", "p"][..]),
        (r#"{"n":1}"#, &["a"]),
        (r#"{"n":0}"#, &["c"]),
    ] {
        split.send(0, [datum]).unwrap();
        let went: Vec<_> = sent(&mut split).iter().map(|(port, _)| *port).collect();
        assert_eq!(went, ports, "{datum}");
    }
}

#[test]
fn what_matches_nothing_and_leads_nowhere_is_counted() {
    let config = json!({"routes": [{"to": "a", "when": {"n": 1}}]});
    let mut split = open(&config, &["a"]).unwrap();
    split.send(0, [r#"{"n":1}"#, r#"{"n":2}"#, "{}"]).unwrap();
    assert_eq!(split.take().len(), 1);
    assert_eq!((counted("unmatched"), split.rejected.len()), (2, 0));
    let mut split = open(&config, &["a", "other"]).unwrap();
    split.send(0, [r#"{"n":2}"#]).unwrap();
    assert_eq!((counted("unmatched"), split.take().len()), (0, 1));
}

#[test]
fn what_is_not_json_is_rejected() {
    let config = json!({"routes": [{"to": "a", "when": {"n": 1}}]});
    let mut split = open(&config, &["a", "other"]).unwrap();
    let deep = "[".repeat(200) + &"]".repeat(200);
    split
        .send(0, ["{\"n\":", "", "1 2", &deep, r#"{"n":1}"#])
        .unwrap();
    let rejected: Vec<_> = split.rejected.iter().map(|(index, _)| *index).collect();
    assert_eq!(rejected, [0, 1, 2, 3]);
    assert_eq!(split.rejected[0].1, "not JSON, or nested too deep");
    assert_eq!(split.take().len(), 1);

    let bind = |encoding| [binding("a", encoding)];
    let config = config.to_string();
    let refused =
        Harness::<SplitOperator>::open_on(&config, &[binding("in", "text")], &bind("json"));
    let refused = refused.unwrap_err().into_reason();
    assert_eq!(
        refused,
        "the stream on port `in` is text; split reads and writes json"
    );
}

#[test]
fn nothing_is_kept() {
    let config = json!({"routes": [{"to": "a", "when": {"n": 1}}]});
    let mut split = open(&config, &["a", "other"]).unwrap();
    split.send(0, [r#"{"n":1}"#]).unwrap();
    assert!(split.snapshot().unwrap().entries.is_empty());
}

/// Criteria on `n` and `s`, and equivalent functions.
type Meaning = (&'static str, fn(i64, &str) -> bool);

const WANTED: [Meaning; 7] = [
    (r#"{"n":{"gte":3}}"#, |n, _| n >= 3),
    (r#"{"n":[1,4]}"#, |n, _| n == 1 || n == 4),
    (r#"{"s":{"prefix":"a"}}"#, |_, s| s.starts_with('a')),
    (r#"{"n":{"lt":2},"s":{"not":"b"}}"#, |n, s| {
        n < 2 && s != "b"
    }),
    (r#"[{"s":"b"},{"n":5}]"#, |n, s| s == "b" || n == 5),
    (r#"{"missing":{"exists":true}}"#, |_, _| false),
    (r#"{"missing":{"not":1}}"#, |_, _| true),
];

proptest! {
    #[test]
    fn every_datum_leaves_as_it_came_by_the_ports_that_want_it(
        routes in prop::collection::vec((0usize..4, 0..WANTED.len()), 1..6),
        records in prop::collection::vec((0i64..6, "[ab]{0,2}"), 0..40),
        all: bool,
    ) {
        let config = json!({
            "match": if all { "all" } else { "first" },
            "routes": routes.iter().map(|(port, wanted)| {
                json!({"to": PORTS[*port], "when": serde_json::from_str::<Value>(WANTED[*wanted].0).unwrap()})
            }).collect::<Vec<_>>(),
        });
        let mut bound: Vec<&str> = routes.iter().map(|(port, _)| PORTS[*port]).collect();
        bound.push("other");
        let mut split = open(&config, &bound).unwrap();
        let lines: Vec<String> = records.iter().enumerate().map(|(i, (n, s))| json!({"i": i, "n": n, "s": s}).to_string()).collect();
        split.send(0, &lines).unwrap();
        prop_assert!(split.rejected.is_empty());
        let went = sent(&mut split);
        if !all {
            prop_assert_eq!(went.len(), lines.len());
        }
        for port in PORTS {
            let expected: Vec<&String> = lines.iter().zip(&records).filter(|(_, (n, s))| {
                let mut ports = routes.iter().filter(|(_, wanted)| WANTED[*wanted].1(*n, s)).map(|(port, _)| PORTS[*port]).peekable();
                match (ports.peek(), all) {
                    (None, _) => *port == "other",
                    (Some(first), false) => port == first,
                    (Some(_), true) => ports.any(|wants| wants == *port),
                }
            }).map(|(line, _)| line).collect();
            let came: Vec<&String> = went.iter().filter(|(by, _)| by == port).map(|(_, datum)| datum).collect();
            prop_assert_eq!(came, expected, "port {}", port);
        }
    }

    #[test]
    fn no_datum_panics(datum in "\\PC{0,40}") {
        let config = json!({"routes": [{"to": "a", "when": {"a.b": {"not": "x"}, "c": {"gt": 1}}}]});
        open(&config, &["a"]).unwrap().send(0, [datum]).unwrap();
    }

    #[test]
    fn no_config_panics(config in "\\PC{0,60}") {
        let _ = Config::parse(&config, &[]);
    }
}
