//! Tests of the whole operator.

use super::*;
use mosaik_wasm_sdk::testing::{Harness, binding, counted, set_now};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;

fn open(config: &Value) -> Harness<DedupeOperator> {
    Harness::open(&config.to_string()).unwrap()
}

/// The records that passed, as JSON.
fn passed(harness: &mut Harness<DedupeOperator>) -> Vec<Value> {
    let sent = harness.take().into_iter().filter(|(port, _)| *port == 0);
    sent.map(|(_, datum)| serde_json::from_slice(&datum).unwrap())
        .collect()
}

#[test]
fn the_schema_is_json() {
    serde_json::from_str::<Value>(DedupeOperator::CONFIG_SCHEMA).unwrap();
}

#[test]
fn whole_records_are_compared_byte_by_byte() {
    for (encoding, records) in [
        ("json", [r#"{"a":1}"#, r#"{"a":1}"#, r#"{ "a":1}"#]),
        ("text", ["a", "a", "a "]),
        ("bytes", ["\0", "\0", ""]),
    ] {
        let bind = |port| [binding(port, encoding)];
        let mut dedupe = Harness::<DedupeOperator>::open_on("", &bind("in"), &bind("out")).unwrap();
        dedupe.send(0, records).unwrap();
        let expected = [records[0], records[2]].map(|datum| (0, datum.as_bytes().to_vec()));
        assert_eq!(dedupe.take(), expected);
        assert_eq!(counted("duplicates"), 1);
    }
}

#[test]
fn keys_are_values_of_one_or_several_fields() {
    let mut dedupe = open(&json!({"by": ["a.b", "c"]}));
    let records = [
        r#"{"a":{"b":"x\""},"c":null,"n":0}"#,
        r#"{"c":null,"a":{"b":"\u0078\u0022","d":0},"n":1}"#,
        r#"{"a":{"b":"x\""},"c":"null","n":2}"#,
        r#"{"a":{"b":7},"c":true,"n":3}"#,
        r#"{"a":{"b":"7"},"c":true,"n":4}"#,
    ];
    dedupe.send(0, records).unwrap();
    let sent = dedupe.take();
    let ports: Vec<usize> = sent.iter().map(|(port, _)| *port).collect();
    assert_eq!(ports.iter().filter(|port| **port == DUPLICATES).count(), 1);
    let dropped = sent.iter().find(|(port, _)| *port == DUPLICATES).unwrap();
    assert_eq!(dropped.1, records[1].as_bytes());
}

#[test]
fn numbers_are_keys_by_their_exact_value() {
    let key = |number: &str| format!("{{\"id\":{number}}}");
    let mut dedupe = open(&json!({"by": "id"}));
    let ids = (0..5).map(|n| key(&format!("10000000000000000000{n}")));
    dedupe.send(0, ids).unwrap();
    assert_eq!(dedupe.take().len(), 5);
    let same = ["1.10", "1.1", "11e-1", "2", "2.0", "0.2e1"];
    dedupe.send(0, same.map(key)).unwrap();
    let passed: Vec<_> = dedupe
        .take()
        .into_iter()
        .filter(|(port, _)| *port == 0)
        .collect();
    let expected = ["1.10", "2"].map(|number| (0, key(number).into_bytes()));
    assert_eq!(passed, expected);
}

#[test]
fn what_is_rejected_is_not_known() {
    let mut dedupe = open(&json!({"by": "k", "within": "1m", "time": {"field": "t", "unit": "s"}}));
    let long = json!({"k": "x".repeat(1100), "t": 0}).to_string();
    for (datum, reason) in [
        ("[1]", "not a JSON object"),
        (r#"{"t":0}"#, "missing field `k`"),
        (r#"{"k":[1],"t":0}"#, "`k` is an object or an array"),
        (r#"{"k":1}"#, "missing field `t`"),
        (r#"{"k":1,"t":"soon"}"#, "`t`: \"soon\" is not a time"),
        (&long, "the key has 1102 bytes"),
    ] {
        dedupe.send(0, [datum]).unwrap();
        let (_, said) = dedupe.rejected.pop().unwrap_or_default();
        assert!(said.starts_with(reason), "{datum}: {said}");
    }
    assert!(dedupe.snapshot().unwrap().entries.is_empty());
    let text = Harness::<DedupeOperator>::open_on(
        r#"{"by":"k"}"#,
        &[binding("in", "text")],
        &[binding("out", "text")],
    );
    assert!(text.unwrap_err().reason().contains("`in` is text"));
}

#[test]
fn a_datum_that_does_not_fit_the_answer_is_not_known() {
    let mut dedupe = open(&json!({"by": "k"}));
    let huge = json!({"k": 1, "x": "x".repeat(9 << 20)}).to_string();
    dedupe.send(0, [&huge]).unwrap();
    assert_eq!(dedupe.rejected.len(), 1);
    dedupe.send(0, [r#"{"k":1}"#]).unwrap();
    assert_eq!(passed(&mut dedupe), [json!({"k": 1})]);
}

#[test]
fn keys_are_forgotten_by_the_hosts_clock() {
    let mut dedupe = open(&json!({"by": "k", "within": "10s"}));
    let known = |dedupe: &mut Harness<DedupeOperator>| {
        let operator = dedupe.driver().operator().unwrap();
        operator.passed.len()
    };
    for (now_ms, passes) in [
        (1_000, true),
        (10_999, false),
        // A dropped record has not extended the time.
        (11_000, true),
        (20_999, false),
        // The clock goes backwards.
        (5, false),
        (21_000, true),
    ] {
        set_now(Some(now_ms));
        dedupe.send(0, [r#"{"k":1}"#]).unwrap();
        assert_eq!(
            passed(&mut dedupe).len(),
            usize::from(passes),
            "at {now_ms}"
        );
        assert_eq!(known(&mut dedupe), 1);
    }
    dedupe.tick(30_999).unwrap();
    assert_eq!(known(&mut dedupe), 1);
    dedupe.tick(31_000).unwrap();
    assert_eq!(known(&mut dedupe), 0);
}

#[test]
fn keys_are_forgotten_by_event_time() {
    let mut dedupe = open(&json!({"by": "k", "within": "1h", "time": {"field": "t", "unit": "s"}}));
    for (time_s, passes) in [
        (7_200, true),
        (10_799, false),
        // Late, and older than the passed record by more than `within`.
        (0, false),
        (10_800, true),
        (7_200, false),
    ] {
        dedupe
            .send(0, [json!({"k": 1, "t": time_s}).to_string()])
            .unwrap();
        assert_eq!(
            passed(&mut dedupe).len(),
            usize::from(passes),
            "at {time_s}"
        );
    }
    // The host's clock has no effect.
    dedupe.tick(u64::MAX).unwrap();
    dedupe.send(0, [r#"{"k":1,"t":10801}"#]).unwrap();
    assert!(passed(&mut dedupe).is_empty());
    let mut whole = open(&json!({"within": "1h", "time": {"field": "t", "unit": "s"}}));
    whole
        .send(0, [r#"{"t":0}"#, r#"{"t":0}"#, r#"{"t":1}"#])
        .unwrap();
    assert_eq!(passed(&mut whole), [json!({"t": 0}), json!({"t": 1})]);
}

#[test]
fn the_key_not_used_for_longest_makes_room() {
    let mut dedupe = open(&json!({"by": "k", "max_keys": 2}));
    let keys = [1, 2, 1, 3, 1, 2];
    dedupe
        .send(0, keys.map(|k| json!({"k": k}).to_string()))
        .unwrap();
    let passing = [1, 2, 3, 2].map(|k| json!({"k": k}));
    assert_eq!(passed(&mut dedupe), passing);
    assert_eq!(counted("evicted"), 2);

    let mut dedupe = open(&json!({"by": "k", "max_bytes": 1200}));
    let long = |first: &str| json!({"k": format!("{first}{}", "x".repeat(500))}).to_string();
    dedupe.send(0, [long("a"), long("b"), long("a")]).unwrap();
    assert_eq!(
        passed(&mut dedupe).len(),
        3,
        "both together take 1206 bytes"
    );
}

#[test]
fn a_state_of_another_configuration_is_refused() {
    let mut saved = open(&json!({"by": "k"}));
    saved.send(0, [r#"{"k":"IBM"}"#]).unwrap();
    let state = saved.snapshot().unwrap();
    assert_eq!(state.entries[0].key.as_deref(), Some(&br#""IBM""#[..]));
    for (config, reason) in [
        (json!({"by": "j"}), "another configuration"),
        (json!({}), "another configuration"),
        (
            json!({"by": "k", "within": "1s", "time": {"field": "t", "unit": "s"}}),
            "another configuration",
        ),
    ] {
        let error = open(&config).restore(state.clone()).unwrap_err();
        assert!(error.reason().contains(reason), "{config}: {error}");
    }
    let other = State {
        version: 2,
        ..state.clone()
    };
    let error = open(&json!({"by": "k"})).restore(other).unwrap_err();
    assert!(error.reason().contains("has version 2"));
    let mut longer = open(&json!({"by": "k", "within": "1h"}));
    longer.restore(state).unwrap();
    longer.send(0, [r#"{"k":"IBM"}"#]).unwrap();
    assert!(passed(&mut longer).is_empty());

    let mut whole = open(&json!({}));
    whole.send(0, ["1", "2"]).unwrap();
    let state = whole.snapshot().unwrap();
    assert!(state.entries.iter().all(|entry| entry.key.is_none()));
    assert!(open(&json!({"by": "k"})).restore(state).is_err());
    let cut = State {
        version: 1,
        entries: vec![Entry {
            key: None,
            value: vec![1; 15],
        }],
    };
    let error = open(&json!({})).restore(cut).unwrap_err();
    assert_eq!(
        error.reason(),
        "failed to read the saved state: it is too short"
    );
}

#[test]
fn smaller_bounds_keep_what_came_last() {
    let mut saved = open(&json!({"by": "k"}));
    let records = [1, 2, 3, 1].map(|k| json!({"k": k}).to_string());
    saved.send(0, records).unwrap();
    let mut smaller = open(&json!({"by": "k", "max_keys": 2}));
    smaller.restore(saved.snapshot().unwrap()).unwrap();
    assert_eq!(counted("evicted"), 1);
    smaller
        .send(0, [r#"{"k":3}"#, r#"{"k":1}"#, r#"{"k":2}"#])
        .unwrap();
    assert_eq!(passed(&mut smaller), [json!({"k": 2})]);
}

/// A key, and the time step before it.
fn inputs() -> impl Strategy<Value = Vec<(u8, u64)>> {
    prop::collection::vec((0u8..8, 0u64..6), 0..100)
}

/// Sends the inputs, each with its number, by the host's clock or with event times. Returns the numbers that pass.
fn run(config: &Value, inputs: &[(u8, u64)], restored_at: Option<usize>) -> Vec<usize> {
    let mut dedupe = open(config);
    let mut now_ms = 1_000_000;
    let mut passing = Vec::new();
    for (index, (key, passes_s)) in inputs.iter().enumerate() {
        if restored_at == Some(index) {
            let state = dedupe.snapshot().unwrap();
            dedupe = open(config);
            dedupe.restore(state).unwrap();
        }
        now_ms += passes_s * 1000;
        set_now(Some(now_ms));
        let datum = json!({"k": key, "t": now_ms, "i": index}).to_string();
        dedupe.send(0, [datum]).unwrap();
        passing.extend(
            passed(&mut dedupe)
                .iter()
                .map(|datum| datum["i"].as_u64().unwrap() as usize),
        );
    }
    set_now(None);
    passing
}

/// Computes the records that pass by comparing each with all earlier ones.
fn expected(inputs: &[(u8, u64)], within_s: Option<u64>, max_keys: usize) -> Vec<usize> {
    let mut passing: Vec<usize> = Vec::new();
    let times: Vec<u64> = inputs
        .iter()
        .scan(0, |now, (_, passes)| {
            *now += passes;
            Some(*now)
        })
        .collect();
    for (index, (key, _)) in inputs.iter().enumerate() {
        let before = inputs[..index].iter().rposition(|(other, _)| other == key);
        let known = before.is_some_and(|before| {
            let between: HashSet<u8> = inputs[before + 1..index]
                .iter()
                .map(|(other, _)| *other)
                .collect();
            between.len() < max_keys
        });
        let last = passing
            .iter()
            .rev()
            .find(|passed| inputs[**passed].0 == *key);
        let recent = last
            .is_some_and(|last| within_s.is_none_or(|within| times[index] - times[*last] < within));
        if !(known && recent) {
            passing.push(index);
        }
    }
    passing
}

proptest! {
    #[test]
    fn no_duplicate_passes_within_the_bounds(inputs in inputs(), max_keys in 1usize..10, at in 0usize..100) {
        let config = json!({"by": "k", "max_keys": max_keys});
        let passing = run(&config, &inputs, None);
        prop_assert_eq!(&passing, &expected(&inputs, None, max_keys));
        prop_assert_eq!(run(&config, &inputs, Some(at)), passing, "taken over at {}", at);
    }

    #[test]
    fn within_a_time_a_key_passes_once(inputs in inputs(), within_s in 1u64..30, by_event_time: bool, at in 0usize..100) {
        let mut config = json!({"by": "k", "within": format!("{within_s}s")});
        if by_event_time {
            config["time"] = json!({"field": "t", "unit": "ms"});
        }
        let passing = run(&config, &inputs, None);
        prop_assert_eq!(&passing, &expected(&inputs, Some(within_s), usize::MAX));
        prop_assert_eq!(run(&config, &inputs, Some(at)), passing, "taken over at {}", at);
    }

    #[test]
    fn output_is_a_subsequence_of_the_input(lines in prop::collection::vec("[ab ]{0,2}", 0..40), at in 0usize..40) {
        let mut dedupe = open(&json!({}));
        let (before, after) = lines.split_at(at.min(lines.len()));
        dedupe.send(0, before).unwrap();
        let mut sent = dedupe.take();
        let mut next = open(&json!({}));
        next.restore(dedupe.snapshot().unwrap()).unwrap();
        prop_assert_eq!(next.snapshot().unwrap(), dedupe.snapshot().unwrap());
        next.send(0, after).unwrap();
        sent.extend(next.take());
        let mut known = HashSet::new();
        let expected: Vec<&String> = lines.iter().filter(|line| known.insert(*line)).collect();
        let out: Vec<String> = sent.iter().filter(|(port, _)| *port == 0).map(|(_, datum)| String::from_utf8(datum.clone()).unwrap()).collect();
        prop_assert_eq!(out.iter().collect::<Vec<_>>(), expected);
        prop_assert_eq!(sent.len(), lines.len());
    }

    #[test]
    fn no_datum_panics(datum in "\\PC{0,40}", config in "\\PC{0,40}") {
        open(&json!({"by": "k"})).send(0, [datum]).unwrap();
        let _ = parse_config::<Config>(&config);
    }
}
