//! Overlapping windows, sessions, and windows by the host's clock.

use super::*;
use mosaik_operator_common::civil::write_rfc3339;
use mosaik_wasm_sdk::testing::set_now;
use std::collections::BTreeMap;

fn rfc3339(time_s: i64) -> String {
    let mut text = Vec::new();
    write_rfc3339(time_s * 1000, &mut text);
    String::from_utf8(text).unwrap()
}

fn of(windows: Json, more: Json) -> String {
    let mut config = json!({
        "by": "k", "time": {"field": "t", "unit": "s"}, "aggregate": {"first": {"first": "v"}, "last": {"last": "v"}, "max": {"max": "v"}, "min": {"min": "v"}, "n": "count", "sum": {"sum": "v"}},
    });
    for part in [windows, more] {
        for (name, value) in part.as_object().unwrap() {
            config[name] = value.clone();
        }
    }
    config.to_string()
}

/// The start, end and number of records of every window, by key.
fn counts(out: &[Json]) -> BTreeMap<(u64, String, String), u64> {
    let mut counts = BTreeMap::new();
    for window in out {
        let text = |name: &str| window[name].as_str().unwrap().to_owned();
        let key = (window["k"].as_u64().unwrap(), text("start"), text("end"));
        let twice = counts.insert(key, window["n"].as_u64().unwrap());
        assert_eq!(twice, None, "a window left twice: {window}");
    }
    counts
}

#[test]
fn a_datum_is_in_every_window_that_holds_it() {
    let mut harness = open(&of(json!({"every": "10s", "length": "30s"}), json!({})));
    harness
        .send(0, [datum(1, 35, 1), datum(1, 52, 2), datum(1, 41, 4)])
        .unwrap();
    let left = counts(&outputs(&mut harness));
    let expected = [
        ((1, rfc3339(10), rfc3339(40)), 1),
        ((1, rfc3339(20), rfc3339(50)), 1),
    ];
    assert_eq!(left, expected.into());
    assert_eq!(
        counted("late_in_part"),
        1,
        "41 came when 20 to 50 had closed"
    );
    harness.finish(0).unwrap();
    let left = outputs(&mut harness);
    let sums: Vec<_> = left.iter().map(|window| &window["sum"]).collect();
    assert_eq!(sums, [&json!(7), &json!(6), &json!(2)]);
}

#[test]
fn sessions_merge_when_a_datum_joins_them() {
    let mut harness = open(&of(json!({"session": "10s"}), json!({"lateness": "60s"})));
    harness
        .send(
            0,
            [
                datum(1, 0, "a"),
                datum(1, 20, "c"),
                datum(1, 40, "d"),
                datum(1, 10, "no"),
            ]
            .map(|datum| datum.replace("\"v\":\"no\"", "\"v\":\"b\"")),
        )
        .unwrap();
    assert_eq!(harness.rejected.len(), 4, "a text has no sum");
    harness.rejected.clear();

    let config = json!({"session": "10s", "by": "k", "time": {"field": "t", "unit": "s"}, "lateness": "60s", "aggregate": {"first": {"first": "v"}, "last": {"last": "v"}, "n": "count"}});
    let mut harness = open(&config.to_string());
    harness
        .send(
            0,
            [
                datum(1, 0, "a"),
                datum(1, 18, "c"),
                datum(1, 40, "d"),
                datum(1, 50, "e"),
                datum(1, 9, "b"),
            ],
        )
        .unwrap();
    harness.finish(0).unwrap();
    let left: Vec<_> = outputs(&mut harness)
        .iter()
        .map(|window| {
            format!(
                "{} {} {}{} {}",
                window["start"], window["end"], window["first"], window["last"], window["n"]
            )
        })
        .collect();
    let line = |from, to, rest: &str| format!("\"{}\" \"{}\" {rest}", rfc3339(from), rfc3339(to));
    // 9 joins 0 and 18; 50 arrives when the session of 40 has just ended.
    assert_eq!(
        left,
        [
            line(0, 28, r#""a""c" 3"#),
            line(40, 50, r#""d""d" 1"#),
            line(50, 60, r#""e""e" 1"#)
        ]
    );
}

#[test]
fn a_late_datum_is_taken_by_a_session_that_is_open() {
    let mut harness = open(&of(json!({"session": "10s"}), json!({})));
    let times = [100, 108, 117, 95, 80];
    harness
        .send(0, times.map(|time| datum(1, time, 1)))
        .unwrap();
    let sent = harness.take();
    assert_eq!(sent.len(), 1, "80 is late, 95 is not: {sent:?}");
    assert_eq!((sent[0].0, counted("late")), (LATE, 1));
    harness.finish(0).unwrap();
    let left = counts(&outputs(&mut harness));
    assert_eq!(left, [((1, rfc3339(95), rfc3339(127)), 4)].into());
}

#[test]
fn sessions_count_as_windows_once_they_are_apart() {
    let config = of(
        json!({"session": "10s"}),
        json!({"lateness": "1h", "max_windows": 2}),
    );
    let mut harness = open(&config);
    let times = [0, 20, 40, 10, 60];
    harness
        .send(0, times.map(|time| datum(1, time, 1)))
        .unwrap();
    // 40 would be the third; 10 ends where 20 begins and would also be a third; 5 joins only the first.
    let refused: Vec<_> = harness.rejected.iter().map(|(index, _)| *index).collect();
    assert_eq!(refused, [2, 3, 4]);
    harness.rejected.clear();
    harness
        .send(0, [9, 15, 50].map(|time| datum(1, time, 1)))
        .unwrap();
    assert_eq!(
        harness.rejected.len(),
        0,
        "9 and 15 make one of the two, so that there is room: {:?}",
        harness.rejected
    );
}

#[test]
fn without_a_time_the_clock_is_taken_and_closes_windows() {
    set_now(Some(61_500));
    let config = json!({"every": "10s", "by": "k", "aggregate": {"n": "count"}});
    let mut harness = open(&config.to_string());
    let send = |harness: &mut Harness<_>, now_ms, key| {
        set_now(Some(now_ms));
        harness.send(0, [datum(key, 0, 1)]).unwrap();
    };
    send(&mut harness, 61_500, 1);
    send(&mut harness, 62_000, 2);
    send(&mut harness, 55_000, 1);
    harness.tick(69_999).unwrap();
    assert!(outputs(&mut harness).is_empty());
    harness.tick(70_000).unwrap();
    let left = counts(&outputs(&mut harness));
    let expected = [
        ((1, rfc3339(60), rfc3339(70)), 2),
        ((2, rfc3339(60), rfc3339(70)), 1),
    ];
    assert_eq!(left, expected.into(), "a clock set back makes nothing late");
    send(&mut harness, 71_000, 1);
    send(&mut harness, 80_000, 2);
    let left = counts(&outputs(&mut harness));
    assert_eq!(left, [((1, rfc3339(70), rfc3339(80)), 1)].into());

    let config = json!({"session": "10s", "by": "k", "aggregate": {"n": "count"}});
    let mut harness = open(&config.to_string());
    send(&mut harness, 100_000, 1);
    send(&mut harness, 109_000, 1);
    harness.tick(118_999).unwrap();
    assert!(outputs(&mut harness).is_empty());
    harness.tick(119_000).unwrap();
    let left = counts(&outputs(&mut harness));
    assert_eq!(left, [((1, rfc3339(100), rfc3339(119)), 2)].into());
}

#[test]
fn the_state_of_each_key_can_be_taken_up_alone() {
    let config = of(
        json!({"every": "10s", "length": "30s"}),
        json!({"watermark": "all"}),
    );
    let mut whole = open(&config);
    let records = [datum(1, 0, 1), datum(2, 25, 1), datum(1, 28, 1)];
    whole.send(0, &records).unwrap();
    let state = whole.snapshot().unwrap();
    let keys: Vec<_> = state
        .entries
        .iter()
        .map(|entry| entry.key.as_deref())
        .collect();
    assert_eq!(keys, [Some(ALL_KEYS), Some(&b"1"[..]), Some(&b"2"[..])]);
    whole.take();
    whole.finish(0).unwrap();
    let mut parts = Vec::new();
    for entry in state.entries {
        let mut part = open(&config);
        part.restore(State {
            version: STATE_VERSION,
            entries: vec![entry],
        })
        .unwrap();
        part.finish(0).unwrap();
        parts.extend(outputs(&mut part));
    }
    assert_eq!(counts(&parts), counts(&outputs(&mut whole)));
}

#[test]
fn the_newest_time_outlives_the_key_that_brought_it() {
    set_now(Some(0));
    let config = of(
        json!({"every": "10s"}),
        json!({"watermark": "all", "idle": "1s"}),
    );
    let mut first = open(&config);
    first.send(0, [datum(1, 100, 1)]).unwrap();
    first.tick(2000).unwrap();
    let mut second = open(&config);
    second.restore(first.snapshot().unwrap()).unwrap();
    second.send(0, [datum(2, 50, 1)]).unwrap();
    assert_eq!(counted("late"), 1);
}

#[test]
fn the_newest_time_of_several_instances_is_that_of_the_furthest() {
    let config = of(json!({"every": "10s"}), json!({"watermark": "all"}));
    let (mut ahead, mut behind) = (open(&config), open(&config));
    ahead.send(0, [datum(1, 5, 1), datum(1, 100, 1)]).unwrap();
    behind.send(0, [datum(2, 33, 1)]).unwrap();
    assert_eq!(counts(&outputs(&mut ahead)).len(), 1);
    let (ahead, behind) = (ahead.snapshot().unwrap(), behind.snapshot().unwrap());
    for states in [[&ahead, &behind], [&behind, &ahead]] {
        let entries = states.iter().flat_map(|state| state.entries.clone());
        let mut whole = open(&config);
        whole
            .restore(State {
                version: STATE_VERSION,
                entries: entries.collect(),
            })
            .unwrap();
        whole.send(0, [datum(1, 6, 1), datum(2, 34, 1)]).unwrap();
        assert_eq!(counted("late"), 2);
        whole.take();
        whole.send(0, [datum(3, 100, 1)]).unwrap();
        let due = counts(&outputs(&mut whole));
        assert_eq!(due, [((2, rfc3339(30), rfc3339(40)), 1)].into());
        whole.finish(0).unwrap();
        assert_eq!(counts(&outputs(&mut whole)).len(), 2);
    }
}

#[test]
fn a_key_that_moves_to_another_instance_brings_the_newest_time() {
    let config = of(json!({"every": "10s"}), json!({"watermark": "all"}));
    let mut one = open(&config);
    one.send(0, [datum(1, 100, 1), datum(2, 99, 1)]).unwrap();
    one.take();
    let mut state = one.snapshot().unwrap();
    // The part for an instance that does not receive key 1.
    state
        .entries
        .retain(|entry| entry.key.as_deref() != Some(b"1"));
    let mut two = open(&config);
    two.restore(state).unwrap();
    two.send(0, [datum(3, 89, 1)]).unwrap();
    assert_eq!(counted("late"), 2, "99 came late, and so does 89");
}

/// Computes the sessions of a key's times by definition: sorted, split where a gap is at least the session's.
fn sessions(times: &BTreeMap<u8, Vec<i64>>, gap: i64) -> BTreeMap<(u64, String, String), u64> {
    let mut all = BTreeMap::new();
    for (key, times) in times {
        let mut times = times.clone();
        times.sort_unstable();
        for session in times.chunk_by(|one, next| next - one < gap) {
            let span = (
                rfc3339(session[0]),
                rfc3339(session[session.len() - 1] + gap),
            );
            all.insert((u64::from(*key), span.0, span.1), session.len() as u64);
        }
    }
    all
}

fn by_key(inputs: &[(u8, i64, i32)]) -> BTreeMap<u8, Vec<i64>> {
    let mut times: BTreeMap<u8, Vec<i64>> = BTreeMap::new();
    for (key, time, _) in inputs {
        times.entry(*key).or_default().push(*time);
    }
    times
}

fn watermarks() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("key"), Just("all")]
}

fn kinds() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(json!({"every": "60s"})),
        Just(json!({"every": "20s", "length": "70s"})),
        Just(json!({"session": "25s"})),
    ]
}

proptest! {
    #[test]
    fn every_datum_is_counted_in_exactly_the_windows_that_hold_it(
        inputs in inputs(), watermark in watermarks(), (apart, long) in prop_oneof![Just((60, 60)), Just((20, 70)), Just((7, 21))],
    ) {
        let windows = json!({"every": format!("{apart}s"), "length": format!("{long}s")});
        let (out, late) = run(&of(windows, json!({"lateness": "600s", "watermark": watermark})), &inputs);
        prop_assert_eq!(late, 0);
        let mut expected = BTreeMap::new();
        for (key, time, _) in &inputs {
            for start in (-100..600).filter(|start| start % apart == 0 && (*start..start + long).contains(time)) {
                *expected.entry((u64::from(*key), rfc3339(start), rfc3339(start + long))).or_insert(0) += 1;
            }
        }
        prop_assert_eq!(counts(&out), expected);
    }

    #[test]
    fn late_records_are_missing_from_closed_windows_only(inputs in inputs(), watermark in watermarks()) {
        counted("late");
        let windows = json!({"every": "20s", "length": "70s"});
        let (out, late) = run(&of(windows, json!({"watermark": watermark})), &inputs);
        // Windows are closed if the newest time, of the key or of all keys, had passed their end when the record
        // arrived.
        let mut expected = BTreeMap::new();
        let (mut expected_late, mut newest) = (0, BTreeMap::new());
        for (key, time, _) in &inputs {
            let closed_to = newest.get(if watermark == "all" { &0 } else { key }).copied().unwrap_or(i64::MIN);
            let open: Vec<i64> = (-100..600)
                .filter(|start| start % 20 == 0 && (*start..start + 70).contains(time) && start + 70 > closed_to)
                .collect();
            expected_late += usize::from(open.is_empty());
            for start in &open {
                *expected.entry((u64::from(*key), rfc3339(*start), rfc3339(start + 70))).or_insert(0) += 1;
            }
            if !open.is_empty() {
                let newest = newest.entry(if watermark == "all" { 0 } else { *key }).or_insert(*time);
                *newest = (*newest).max(*time);
            }
        }
        prop_assert_eq!(counts(&out), expected);
        prop_assert_eq!((late, counted("late") as usize), (expected_late, expected_late));
    }

    #[test]
    fn sessions_do_not_depend_on_the_order_within_lateness(
        inputs in inputs().prop_shuffle(), gap in 1i64..80, watermark in watermarks(),
    ) {
        let windows = json!({"session": format!("{gap}s")});
        let (out, late) = run(&of(windows, json!({"lateness": "600s", "watermark": watermark})), &inputs);
        prop_assert_eq!(late, 0);
        prop_assert_eq!(counts(&out), sessions(&by_key(&inputs), gap));
        let sum: i64 = out.iter().map(|window| window["sum"].as_i64().unwrap()).sum();
        prop_assert_eq!(sum, inputs.iter().map(|(_, _, value)| i64::from(*value)).sum::<i64>());
    }

    #[test]
    fn sessions_close_as_they_should_when_disorder_is_within_lateness(
        steps in proptest::collection::vec((0u8..3, 0i64..9, 0i64..30), 0..60), watermark in watermarks(),
    ) {
        // Times advance, each at most 30 s behind the newest one of all.
        let mut newest = 0;
        let inputs: Vec<_> = steps.iter().map(|(key, step, behind)| {
            newest += step;
            (*key, (newest - behind).max(0), 1)
        }).collect();
        let (out, late) = run(&of(json!({"session": "12s"}), json!({"lateness": "30s", "watermark": watermark})), &inputs);
        prop_assert_eq!(late, 0);
        prop_assert_eq!(counts(&out), sessions(&by_key(&inputs), 12));
    }

    #[test]
    fn a_state_of_any_kind_can_be_taken_over_at_any_point(
        inputs in inputs(), at in 0usize..80, kind in kinds(), watermark in watermarks(),
    ) {
        let config = of(kind, json!({"lateness": "40s", "watermark": watermark}));
        let [parts, whole] = in_parts_and_whole(&config, &inputs, at);
        prop_assert_eq!(parts, whole);
    }
}
