//! Tests of the whole operator.

use super::*;
use mosaik_wasm_sdk::testing::{Harness, binding, counted, set_now};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

fn open(config: &Value) -> Harness<SampleOperator> {
    Harness::open(&config.to_string()).unwrap()
}

/// The records that passed, as JSON.
fn passed(harness: &mut Harness<SampleOperator>) -> Vec<Value> {
    let sent = harness.take().into_iter().filter(|(port, _)| *port == 0);
    sent.map(|(_, datum)| serde_json::from_slice(&datum).unwrap())
        .collect()
}

fn known(harness: &mut Harness<SampleOperator>) -> usize {
    let operator = harness.driver().operator().unwrap();
    operator.by_key.len()
}

#[test]
fn the_schema_is_json() {
    serde_json::from_str::<Value>(SampleOperator::CONFIG_SCHEMA).unwrap();
}

#[test]
fn one_in_so_many() {
    let mut sample = open(&json!({"every": 3}));
    sample.send(0, (0..8).map(|i| i.to_string())).unwrap();
    let sent = sample.take();
    let on = |port: usize| -> Vec<String> {
        let on = sent.iter().filter(|(at, _)| *at == port);
        on.map(|(_, datum)| String::from_utf8(datum.clone()).unwrap())
            .collect()
    };
    assert_eq!(on(0), ["0", "3", "6"]);
    assert_eq!(on(REST), ["1", "2", "4", "5", "7"]);
    assert_eq!(counted("left_out"), 5);

    let mut all = open(&json!({"every": 1}));
    all.send(0, ["1", "2"]).unwrap();
    assert_eq!(passed(&mut all).len(), 2);
}

#[test]
fn text_and_bytes_pass_as_they_came() {
    for encoding in ["text", "bytes"] {
        let bind = |port| [binding(port, encoding)];
        let mut sample =
            Harness::<SampleOperator>::open_on(r#"{"every":2}"#, &bind("in"), &bind("out"))
                .unwrap();
        sample.send(0, ["{a", "b", ""]).unwrap();
        assert_eq!(sample.take_text().unwrap(), ["{a", ""]);
        let refused = Harness::<SampleOperator>::open_on(
            r#"{"every":2,"by":"k"}"#,
            &bind("in"),
            &bind("out"),
        );
        assert!(refused.unwrap_err().reason().contains("`in` is"));
    }
}

#[test]
fn a_rate_by_the_hosts_clock_and_by_key() {
    let mut sample = open(&json!({"rate": "2/s", "burst": 1, "by": "k"}));
    for (now_ms, key, passes) in [
        (10_000, "a", true),
        (10_000, "a", false),
        (10_000, "b", true),
        (10_499, "a", false),
        (10_500, "a", true),
        (10_500, "b", true),
        (10_600, "a", false),
        (60_000, "a", true),
        (60_000, "a", false),
    ] {
        set_now(Some(now_ms));
        sample.send(0, [json!({"k": key}).to_string()]).unwrap();
        assert_eq!(
            passed(&mut sample).len(),
            usize::from(passes),
            "{key} at {now_ms}"
        );
    }
    assert_eq!(known(&mut sample), 2);
    // The bucket of b has been full for a while, that of a is not full yet.
    sample.tick(60_499).unwrap();
    assert_eq!(known(&mut sample), 1);
    sample.tick(60_500).unwrap();
    assert_eq!(known(&mut sample), 0);
    set_now(None);
}

#[test]
fn the_key_not_used_for_longest_makes_room() {
    let mut sample = open(&json!({"every": 2, "by": "k", "max_keys": 2}));
    // The third key evicts 2, which then starts over and evicts 1.
    let keys = [1, 2, 1, 3, 2, 3, 1];
    sample
        .send(0, keys.map(|k| json!({"k": k}).to_string()))
        .unwrap();
    let passing = [1, 2, 3, 2, 1].map(|k| json!({"k": k}));
    assert_eq!(passed(&mut sample), passing);
    assert_eq!((counted("evicted"), known(&mut sample)), (3, 2));
}

#[test]
fn what_is_rejected_does_not_count() {
    let mut sample = open(&json!({"every": 2, "by": ["k", "l"]}));
    sample
        .send(
            0,
            ["[1]", r#"{"k":1}"#, r#"{"k":[],"l":2}"#, r#"{"k":1,"l":2}"#],
        )
        .unwrap();
    let reasons: Vec<&str> = sample
        .rejected
        .iter()
        .map(|(_, reason)| &**reason)
        .collect();
    assert!(reasons[0].starts_with("not a JSON object"));
    assert_eq!(
        reasons[1..],
        [
            "missing field `l`",
            "`k` is an object or an array, which is invalid as a key"
        ]
    );
    assert_eq!(passed(&mut sample).len(), 1);

    let mut alone = open(&json!({"every": 2}));
    alone.send(0, ["x".repeat(9 << 20)]).unwrap();
    assert_eq!(alone.rejected.len(), 1);
    alone.send(0, ["1"]).unwrap();
    assert_eq!(
        passed(&mut alone).len(),
        1,
        "what does not fit is not the first"
    );
}

#[test]
fn a_fraction_of_the_keys_passes_whole() {
    let passing = |config: &Value| -> HashSet<u64> {
        let mut sample = open(config);
        let records = (0..4000).map(|i| json!({"k": i % 2000, "i": i}).to_string());
        sample.send(0, records).unwrap();
        let passed = passed(&mut sample);
        let keys: HashSet<u64> = passed.iter().map(|d| d["k"].as_u64().unwrap()).collect();
        assert_eq!(passed.len(), 2 * keys.len(), "both of a key, or none");
        assert!(sample.snapshot().unwrap().entries.is_empty());
        keys
    };
    let tenth = passing(&json!({"fraction": 0.1, "by": "k"}));
    let fifth = passing(&json!({"fraction": 0.2, "by": "k"}));
    assert!((150..250).contains(&tenth.len()), "{}", tenth.len());
    assert!(tenth.is_subset(&fifth));
    let other = passing(&json!({"fraction": 0.1, "by": "k", "seed": "other"}));
    assert!(other.intersection(&tenth).count() < 50);
    assert_eq!(passing(&json!({"fraction": 0, "by": "k"})).len(), 0);
    assert_eq!(passing(&json!({"fraction": 1, "by": "k"})).len(), 2000);
    let mut whole = open(&json!({"fraction": 0.5}));
    whole.send(0, (0..1000).map(|i| i.to_string())).unwrap();
    assert!((400..600).contains(&passed(&mut whole).len()));
}

#[test]
fn a_state_of_another_configuration_is_refused() {
    let mut saved = open(&json!({"every": 2, "by": "k"}));
    saved.send(0, [r#"{"k":"IBM"}"#]).unwrap();
    let state = saved.snapshot().unwrap();
    assert_eq!(state.entries[0].key.as_deref(), Some(&br#""IBM""#[..]));
    for config in [
        json!({"every": 3, "by": "k"}),
        json!({"every": 2, "by": "j"}),
        json!({"every": 2}),
        json!({"rate": "2/s", "by": "k"}),
    ] {
        let error = open(&config).restore(state.clone()).unwrap_err();
        assert!(error.reason().contains("another configuration"), "{config}");
    }
    let other = State {
        version: 2,
        ..state
    };
    let error = open(&json!({"every": 2, "by": "k"})).restore(other);
    assert!(error.unwrap_err().reason().contains("has version 2"));
    let mut alone = open(&json!({"every": 2}));
    alone.send(0, ["1"]).unwrap();
    let state = alone.snapshot().unwrap();
    assert!(open(&json!({"every": 3})).restore(state).is_err());
    // The burst does not affect the saved counts.
    let mut rate = open(&json!({"rate": "2/s"}));
    rate.send(0, ["1"]).unwrap();
    let state = rate.snapshot().unwrap();
    open(&json!({"rate": "2/s", "burst": 1}))
        .restore(state)
        .unwrap();
}

/// A key, and the step of the host's clock before it.
fn inputs() -> impl Strategy<Value = Vec<(u8, u64)>> {
    prop::collection::vec((0u8..5, 0u64..400), 0..100)
}

/// Sends the inputs, each with its number, and returns the numbers that pass. At `restored_at`, another instance
/// continues.
fn run(config: &Value, inputs: &[(u8, u64)], restored_at: Option<usize>) -> Vec<usize> {
    let mut sample = open(config);
    let mut now_ms = 1_000_000;
    let mut passing = Vec::new();
    for (index, (key, passes_ms)) in inputs.iter().enumerate() {
        if restored_at == Some(index) {
            let state = sample.snapshot().unwrap();
            sample = open(config);
            sample.restore(state.clone()).unwrap();
            assert_eq!(sample.snapshot().unwrap(), state);
        }
        now_ms += passes_ms;
        set_now(Some(now_ms));
        let datum = json!({"k": key, "i": index}).to_string();
        sample.send(0, [datum]).unwrap();
        let passed = passed(&mut sample);
        passing.extend(
            passed
                .iter()
                .map(|datum| datum["i"].as_u64().unwrap() as usize),
        );
    }
    set_now(None);
    passing
}

proptest! {
    #[test]
    fn of_every_key_exactly_one_in_so_many_passes(inputs in inputs(), every in 1usize..6, by_key: bool, at in 0usize..100) {
        let mut config = json!({"every": every});
        if by_key {
            config["by"] = json!("k");
        }
        let mut came: HashMap<u8, usize> = HashMap::new();
        let expected: Vec<usize> = inputs.iter().enumerate().filter(|(_, (key, _))| {
            let came = came.entry(if by_key { *key } else { 0 }).or_default();
            *came += 1;
            (*came - 1).is_multiple_of(every)
        }).map(|(index, _)| index).collect();
        prop_assert_eq!(&run(&config, &inputs, None), &expected);
        prop_assert_eq!(run(&config, &inputs, Some(at)), expected, "taken over at {}", at);
    }

    #[test]
    fn a_state_can_be_taken_over_at_any_point(inputs in inputs(), rate in "[1-5]/[1-9]00ms", max_keys in 1usize..6, by_rate: bool, at in 0usize..100) {
        let mut config = json!({"by": "k", "max_keys": max_keys});
        if by_rate {
            config["rate"] = json!(rate);
        } else {
            config["every"] = json!(3);
        }
        prop_assert_eq!(run(&config, &inputs, Some(at)), run(&config, &inputs, None));
    }

    #[test]
    fn forgetting_full_buckets_changes_nothing(inputs in inputs()) {
        let run = |ticks: bool| {
            let mut sample = open(&json!({"rate": "3/s", "burst": 2, "by": "k"}));
            let mut now_ms = 1_000_000;
            for (index, (key, passes_ms)) in inputs.iter().enumerate() {
                now_ms += passes_ms;
                set_now(Some(now_ms));
                if ticks {
                    sample.tick(now_ms).unwrap();
                }
                sample.send(0, [json!({"k": key, "i": index}).to_string()]).unwrap();
            }
            set_now(None);
            passed(&mut sample)
        };
        prop_assert_eq!(run(true), run(false));
    }

    #[test]
    fn no_datum_panics(datum in "\\PC{0,40}", config in "\\PC{0,40}") {
        open(&json!({"every": 2, "by": "k"})).send(0, [&datum]).unwrap();
        open(&json!({"fraction": 0.5})).send(0, [&datum]).unwrap();
        let _ = parse_config::<Config>(&config);
    }
}
