//! Tests of the whole operator with windows of one length by event time. Other windows are tested in `kinds`.

mod kinds;
mod numbers;
mod times;

use super::*;
use mosaik_wasm_sdk::testing::{Harness, binding, counted, run_frames};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn config(every: &str, more: Json) -> String {
    let mut config = json!({
        "every": every, "by": "k", "time": {"field": "t", "unit": "s"},
        "aggregate": {"avg": {"avg": "v"}, "first": {"first": "v"}, "last": {"last": "v"}, "max": {"max": "v"}, "min": {"min": "v"}, "n": "count", "sum": {"sum": "v"}},
    });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    config.to_string()
}

fn open(config: &str) -> Harness<WindowOperator> {
    Harness::open(config).unwrap()
}

/// The outputs on the port `out`.
fn outputs(harness: &mut Harness<WindowOperator>) -> Vec<Json> {
    let sent = harness.take().into_iter().filter(|(port, _)| *port == 0);
    sent.map(|(_, datum)| serde_json::from_slice(&datum).unwrap())
        .collect()
}

fn datum(key: impl Into<Json>, time_s: i64, value: impl Into<Json>) -> String {
    json!({"k": key.into(), "t": time_s, "v": value.into()}).to_string()
}

#[test]
fn the_readme_tells_the_truth() {
    let readme = include_str!("../README.md");
    let blocks: Vec<&str> = readme.split("```").skip(1).step_by(2).collect();
    let lines = |block: &str| block.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let yaml = lines(blocks[0]).join("\n");
    let config: Json = serde_saphyr::from_str(&yaml).unwrap();
    let mut harness = open(&config.to_string());
    harness.send(0, lines(blocks[1])).unwrap();
    harness.finish(0).unwrap();
    assert_eq!(harness.take_text().unwrap(), lines(blocks[2]));
}

#[test]
fn the_schema_is_json() {
    serde_json::from_str::<Json>(WindowOperator::CONFIG_SCHEMA).unwrap();
}

#[test]
fn keys_with_several_and_nested_fields() {
    let config = json!({"every": "day", "by": ["a.b", "c"], "time": {"field": "t", "unit": "s"}, "aggregate": {"n": "count"}});
    let mut harness = open(&config.to_string());
    harness
        .send(
            0,
            [
                r#"{"t":0,"a":{"x":1,"b":"\u0078\""},"c":null}"#,
                r#"{"c":null,"a":{"b":"x\u0022"},"t":1}"#,
                r#"{"t":0,"a":{"b":7},"c":true}"#,
            ],
        )
        .unwrap();
    harness.finish(0).unwrap();
    assert_eq!(
        harness.take_text().unwrap(),
        [
            r#"{"b":"x\"","c":null,"start":"1970-01-01T00:00:00Z","end":"1970-01-02T00:00:00Z","n":2}"#,
            r#"{"b":7,"c":true,"start":"1970-01-01T00:00:00Z","end":"1970-01-02T00:00:00Z","n":1}"#
        ]
    );
    let everyone =
        json!({"every": "day", "time": {"field": "t", "unit": "s"}, "aggregate": {"n": "count"}});
    let ran = run_frames::<WindowOperator>(everyone, [json!({"t": 0}), json!({"t": 1})]).unwrap();
    assert_eq!(
        ran.outputs,
        [json!({"start": "1970-01-01T00:00:00Z", "end": "1970-01-02T00:00:00Z", "n": 2})]
    );
}

#[test]
fn aggregates_by_event_time_and_without_null() {
    let mut harness = open(&config("60s", json!({})));
    harness
        .send(
            0,
            [
                datum("a", 10, 2.5),
                datum("a", 5, Json::Null),
                datum("a", 30, -1),
                datum("a", 7, 1e300),
                datum("a", 8, -1e300),
            ],
        )
        .unwrap();
    harness.send(0, [datum("b", 0, Json::Null)]).unwrap();
    harness.finish(0).unwrap();
    let out = harness.take_text().unwrap();
    assert!(
        out[0].ends_with(
            r#""avg":0.375,"first":1e+300,"last":-1,"max":1e+300,"min":-1e+300,"n":5,"sum":1.5}"#
        ),
        "{}",
        out[0]
    );
    assert!(
        out[1].ends_with(
            r#""avg":null,"first":null,"last":null,"max":null,"min":null,"n":1,"sum":0}"#
        ),
        "{}",
        out[1]
    );
    let config = json!({"every": "day", "time": {"field": "t", "unit": "s"}, "aggregate": {"n": {"count": "v"}}});
    let ran = run_frames::<WindowOperator>(
        config,
        [json!({"t": 0, "v": null}), json!({"t": 1, "v": "x"})],
    )
    .unwrap();
    assert_eq!(ran.outputs[0]["n"], 1);
}

#[test]
fn averages_are_right_to_the_last_digit() {
    let config = json!({"every": "day", "time": {"field": "t", "unit": "s"}, "aggregate": {"a": {"avg": "v"}, "s": {"sum": "v"}}});
    let inputs = std::iter::repeat_n(json!({"t": 0, "v": 0.1}), 100_000);
    let ran = run_frames::<WindowOperator>(config, inputs).unwrap();
    assert_eq!(
        (&ran.outputs[0]["a"], &ran.outputs[0]["s"]),
        (&json!(0.1), &json!(10_000))
    );
}

#[test]
fn what_is_rejected_and_why() {
    let mut harness = open(&config(
        "60s",
        json!({"max_keys": 2, "max_windows": 3, "lateness": "100s"}),
    ));
    let long = "x".repeat(1100);
    for (datum, reason) in [
        ("[1]".to_owned(), "not a JSON object"),
        (r#"{"k":1"#.to_owned(), "not a JSON object"),
        (r#"{"k":1,"v":2}"#.to_owned(), "missing field `t`"),
        (r#"{"k":1,"t":0}"#.to_owned(), "missing field `v`"),
        (
            r#"{"k":1,"t":"soon","v":2}"#.to_owned(),
            "`t`: \"soon\" is not a time like",
        ),
        (
            r#"{"k":1,"t":null,"v":2}"#.to_owned(),
            "`t`: null is not a time like",
        ),
        (datum(json!([1]), 0, 1), "`k` is an object or an array"),
        (datum(long.as_str(), 0, 1), "the key has 11"),
        (datum(1, 0, "2"), "`v` is \"2\", not a number"),
    ] {
        harness.send(0, [datum.as_str()]).unwrap();
        let (_, said) = harness.rejected.pop().unwrap_or_default();
        assert!(
            said.starts_with(reason),
            "{datum}\n  said {said}\n  not  {reason}"
        );
    }
    harness
        .send(
            0,
            [
                datum(1, 0, 1),
                datum(2, 0, 1),
                datum(3, 0, 1),
                datum(1, 60, 1),
                datum(2, 60, 1),
                datum(1, 59, 1),
                datum(1, 160, 1),
            ],
        )
        .unwrap();
    let said: Vec<_> = harness
        .rejected
        .iter()
        .map(|(index, reason)| (*index, reason.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (2, "the limit of 2 keys is reached (max_keys)"),
            (4, "more than 3 windows would be open (max_windows)"),
            (6, "more than 3 windows would be open (max_windows)")
        ]
    );
    assert!(
        Harness::<WindowOperator>::open_on(&config("1s", json!({})), &[binding("in", "text")], &[])
            .is_err()
    );
}

#[test]
fn late_records_are_rejected_or_go_their_own_way() {
    let config = config("60s", json!({"lateness": "10s"}));
    let inputs = [
        datum("a", 30, 1),
        datum("a", 69, 1),
        datum("a", 31, 2),
        datum("a", 70, 1),
        datum("a", 32, 4),
        datum("b", 0, 8),
    ];
    let mut bound = open(&config);
    bound.send(0, &inputs).unwrap();
    let sent = bound.take();
    assert_eq!(
        sent.iter().map(|(port, _)| *port).collect::<Vec<_>>(),
        [0, 1]
    );
    assert_eq!(
        serde_json::from_slice::<Json>(&sent[0].1).unwrap()["sum"],
        3
    );
    assert_eq!(sent[1].1, inputs[4].as_bytes());
    assert!(bound.rejected.is_empty());

    let mut unbound = Harness::<WindowOperator>::open_on(
        &config,
        &[binding("in", "json")],
        &[binding("out", "json")],
    )
    .unwrap();
    unbound.send(0, &inputs).unwrap();
    assert_eq!(
        unbound.rejected,
        [(4, "late: its window is closed".to_owned())]
    );
    assert_eq!(counted("late"), 2);
}

#[test]
fn one_watermark_for_all() {
    let mut harness = open(&config("60s", json!({"watermark": "all"})));
    harness
        .send(
            0,
            [
                datum("b", 0, 1),
                datum("a", 1, 1),
                datum("b", 61, 1),
                datum("a", 2, 1),
                datum("c", 200, 1),
            ],
        )
        .unwrap();
    let keys = |outputs: Vec<Json>| {
        outputs
            .iter()
            .map(|out| {
                format!(
                    "{}{}",
                    out["k"].as_str().unwrap(),
                    out["start"].as_str().unwrap().get(14..16).unwrap()
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(outputs(&mut harness)), ["b00", "a00", "b01"]);
    assert_eq!(counted("late"), 1, "a's second datum is late by b's time");
    harness.send(0, [datum("a", 201, 1)]).unwrap();
    harness.finish(0).unwrap();
    assert_eq!(keys(outputs(&mut harness)), ["c03", "a03"]);
}

#[test]
fn idle_keys_are_closed_by_the_hosts_clock() {
    mosaik_wasm_sdk::testing::set_now(Some(1000));
    let mut harness = open(&config("60s", json!({"idle": "5s", "max_keys": 1})));
    harness.send(0, [datum("a", 0, 1)]).unwrap();
    harness.tick(5999).unwrap();
    assert!(outputs(&mut harness).is_empty());
    harness.tick(6000).unwrap();
    assert_eq!(outputs(&mut harness).len(), 1);
    harness.send(0, [datum("b", 0, 1)]).unwrap();
    assert!(harness.rejected.is_empty(), "the idle key has made room");
}

#[test]
fn a_great_many_windows_leave_in_parts() {
    let mut harness = open(&config("60s", json!({})));
    harness
        .send(0, (0..50_000).map(|key| datum(key, 0, 1)))
        .unwrap();
    harness.answers = 0;
    harness.finish(0).unwrap();
    assert!(harness.answers > 1);
    let out = outputs(&mut harness);
    assert_eq!(out.len(), 50_000);
    assert!(out.iter().enumerate().all(|(index, out)| out["k"] == index));
}

#[test]
fn a_state_of_another_shape_is_refused() {
    let mut saved = open(&config("60s", json!({})));
    saved.send(0, [datum("a", 0, 1)]).unwrap();
    let state = saved.snapshot().unwrap();
    assert_eq!(state.entries.len(), 1);
    assert_eq!(state.entries[0].key.as_deref(), Some(&br#""a""#[..]));
    assert!(
        open(&config("61s", json!({})))
            .restore(state.clone())
            .unwrap_err()
            .reason()
            .contains("another `every`")
    );
    assert!(
        open(&config("60s", json!({})))
            .restore(State {
                version: 1,
                ..state.clone()
            })
            .is_err()
    );
    open(&config("60s", json!({"lateness": "1s"})))
        .restore(state)
        .unwrap();
}

fn inputs() -> impl Strategy<Value = Vec<(u8, i64, i32)>> {
    proptest::collection::vec((0u8..4, 0i64..600, -1000i32..1000), 0..80)
}

fn run(config: &str, inputs: &[(u8, i64, i32)]) -> (Vec<Json>, usize) {
    let mut harness = open(config);
    harness
        .send(
            0,
            inputs
                .iter()
                .map(|(key, time, value)| datum(*key, *time, *value)),
        )
        .unwrap();
    harness.finish(0).unwrap();
    let sent = harness.take();
    let late = sent.iter().filter(|(port, _)| *port == 1).count();
    (
        sent.iter()
            .filter(|(port, _)| *port == 0)
            .map(|(_, datum)| serde_json::from_slice(datum).unwrap())
            .collect(),
        late,
    )
}

/// The outputs by port, if another instance restores the state after the first `at` inputs, and if one instance
/// receives all.
fn in_parts_and_whole(
    config: &str,
    inputs: &[(u8, i64, i32)],
    at: usize,
) -> [Vec<(usize, Vec<u8>)>; 2] {
    let records = inputs
        .iter()
        .map(|(key, time, value)| datum(*key, *time, *value));
    let records: Vec<String> = records.collect();
    let (before, after) = records.split_at(at.min(records.len()));
    let mut whole = open(config);
    whole.send(0, &records).unwrap();
    whole.finish(0).unwrap();
    let mut first = open(config);
    first.send(0, before).unwrap();
    let mut second = open(config);
    second.restore(first.snapshot().unwrap()).unwrap();
    assert_eq!(second.snapshot().unwrap(), first.snapshot().unwrap());
    second.send(0, after).unwrap();
    second.finish(0).unwrap();
    let by_port = |mut sent: Vec<(usize, Vec<u8>)>| {
        sent.sort_by_key(|(port, _)| *port);
        sent
    };
    let mut parts = first.take();
    parts.extend(second.take());
    [parts, whole.take()].map(by_port)
}

proptest! {
    #[test]
    fn nothing_is_lost_or_counted_twice(inputs in inputs(), watermark in prop_oneof![Just("key"), Just("all")]) {
        let (out, late) = run(&config("60s", json!({"watermark": watermark})), &inputs);
        let n: u64 = out.iter().map(|out| out["n"].as_u64().unwrap()).sum();
        prop_assert_eq!(n as usize + late, inputs.len());
        if late == 0 {
            let sum: f64 = out.iter().map(|out| out["sum"].as_f64().unwrap()).sum();
            prop_assert_eq!(sum as i64, inputs.iter().map(|(_, _, value)| i64::from(*value)).sum::<i64>());
        }
    }

    #[test]
    fn the_order_within_lateness_does_not_matter(
        // Unique times, because equal times leave open which value is the first or last.
        (sorted, shuffled) in proptest::collection::btree_map(0i64..600, (0u8..4, -1000i32..1000), 0..80)
            .prop_map(|inputs| inputs.into_iter().map(|(time, (key, value))| (key, time, value)).collect::<Vec<_>>())
            .prop_flat_map(|inputs| (Just(inputs.clone()), Just(inputs).prop_shuffle())),
        watermark in prop_oneof![Just("key"), Just("all")],
    ) {
        let config = config("60s", json!({"lateness": "600s", "watermark": watermark}));
        let any_order = |inputs: &[_]| {
            let (out, late) = run(&config, inputs);
            let mut out: Vec<String> = out.iter().map(Json::to_string).collect();
            out.sort();
            (out, late)
        };
        prop_assert_eq!(any_order(&sorted), any_order(&shuffled));
    }

    #[test]
    fn a_state_can_be_taken_over_at_any_point(
        inputs in inputs(), at in 0usize..80, watermark in prop_oneof![Just("key"), Just("all")],
    ) {
        let config = config("60s", json!({"lateness": "90s", "watermark": watermark}));
        let [parts, whole] = in_parts_and_whole(&config, &inputs, at);
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn no_datum_panics(datum in "\\PC{0,40}", time in "\\PC{0,20}") {
        let mut harness = open(&config("month", json!({})));
        harness.send(0, [datum, json!({"k": 1, "t": time, "v": 1}).to_string()]).unwrap();
    }
}
