//! Event times that are far ahead of the clock, or unlikely to be times.

use super::*;
use mosaik_wasm_sdk::testing::set_now;

#[test]
fn a_time_far_ahead_makes_nothing_late() {
    const NOW_MS: u64 = 1_714_557_600_000;
    set_now(Some(NOW_MS));
    let at = |time: &str| format!("{{\"t\":\"{time}\"}}");
    for (max_ahead, rejected) in [(json!({}), 1), (json!({"max_ahead": "5200w"}), 0)] {
        let mut config = json!({"every": "hour", "time": "t", "aggregate": {"n": "count"}});
        for (name, value) in max_ahead.as_object().unwrap() {
            config[name] = value.clone();
        }
        let mut harness = open(&config.to_string());
        let times = [
            "2024-05-01T10:00:00Z",
            "2042-05-01T10:00:00Z",
            "2024-05-01T10:30:00Z",
            "2024-05-02T09:59:59Z",
        ];
        harness.send(0, times.map(at)).unwrap();
        harness.finish(0).unwrap();
        assert_eq!(harness.rejected.len(), rejected, "{config}");
        assert_eq!(counted("too_far_ahead"), u64::from(rejected == 1));
        assert_eq!(
            outputs(&mut harness)[0]["n"],
            if rejected == 1 { 2 } else { 1 }
        );
    }
    set_now(None);
}

#[test]
fn moments_of_one_hour_are_in_its_window_however_they_are_written() {
    let config = json!({"by": "i", "time": "t", "every": "hour", "aggregate": {"n": "count"}});
    let mut harness = open(&config.to_string());
    let records = [
        r#"{"i":0,"t":"2024-05-01T09:59:59.9996Z"}"#,
        r#"{"i":1,"t":1714557599.9996}"#,
        r#"{"i":2,"t":1714557599999600}"#,
        r#"{"i":3,"t":"Wed, 01 May 2024 09:59:59 GMT"}"#,
        r#"{"i":4,"t":"01/May/2024:11:59:59 +0200"}"#,
    ];
    harness.send(0, records).unwrap();
    harness.finish(0).unwrap();
    let out = outputs(&mut harness);
    assert_eq!(out.len(), 5);
    assert!(
        out.iter().all(|out| out["start"] == "2024-05-01T09:00:00Z"),
        "{out:?}"
    );
}

#[test]
fn dates_that_are_numbers_are_rejected_with_a_hint() {
    let config = json!({"time": "day", "every": "month", "aggregate": {"s": {"sum": "v"}}});
    let mut harness = open(&config.to_string());
    let records = [20_240_501, 20_240_502, 20_240_601, 2010, 45413];
    harness
        .send(
            0,
            records.map(|day| json!({"day": day, "v": 1}).to_string()),
        )
        .unwrap();
    assert_eq!(harness.rejected.len(), 5);
    assert!(
        harness.rejected[0]
            .1
            .starts_with("`day`: 20240501 is not a likely time since 1970; set a unit"),
        "{}",
        harness.rejected[0].1
    );
}
