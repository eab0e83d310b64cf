//! Numbers that are added, compared and used as keys; and field names with dots.

use super::*;

#[test]
fn integers_are_exact_whatever_their_size() {
    let aggregate = |values: &[&str]| {
        let mut harness = open(&config("60s", json!({})));
        let records = values
            .iter()
            .map(|value| format!("{{\"k\":1,\"t\":0,\"v\":{value}}}"));
        harness.send(0, records).unwrap();
        harness.finish(0).unwrap();
        let rejected = harness.rejected.len();
        let out = harness.take_text().unwrap().concat();
        let field = |name: &str| {
            let (_, rest) = out.split_once(&format!("\"{name}\":")).unwrap();
            rest.split([',', '}']).next().unwrap().to_owned()
        };
        (["sum", "min", "max", "avg"].map(field), rejected)
    };
    for (values, expected) in [
        (
            &["9007199254740993", "2"][..],
            [
                "9007199254740995",
                "2",
                "9007199254740993",
                "4503599627370498",
            ],
        ),
        (
            &[
                "9223372036854775807",
                "9223372036854775807",
                "9223372036854775806",
            ],
            [
                "27670116110564327420",
                "9223372036854775806",
                "9223372036854775807",
                "9.223372036854776e+18",
            ],
        ),
        (
            &["100000000000000000001", "100000000000000000003"],
            [
                "200000000000000000004",
                "100000000000000000001",
                "100000000000000000003",
                "100000000000000000002",
            ],
        ),
        (
            &["-170141183460469231731687303715884105728"; 2],
            [
                "-340282366920938463463374607431768211456",
                "-170141183460469231731687303715884105728",
                "-170141183460469231731687303715884105728",
                "-170141183460469231731687303715884105728",
            ],
        ),
        (&["1", "0.5"], ["1.5", "0.5", "1", "0.75"]),
        (
            &["0.30000000000000000002", "0.30000000000000000001"],
            [
                "0.6",
                "0.30000000000000000001",
                "0.30000000000000000002",
                "0.3",
            ],
        ),
    ] {
        assert_eq!(
            aggregate(values),
            (expected.map(str::to_owned), 0),
            "{values:?}"
        );
    }
    // An integer that cannot be added exactly is rejected.
    let long = "9".repeat(40);
    let (fields, rejected) = aggregate(&["1", &long]);
    assert_eq!((fields[0].as_str(), rejected), ("1", 1));
    let (_, rejected) = aggregate(&["1", "1e999"]);
    assert_eq!(rejected, 1);
}

#[test]
fn decimals_as_keys_leave_as_they_came() {
    let lats = include_str!("decimal_keys.jsonl");
    let config = json!({"by": "lat", "every": "hour", "time": {"field": "t", "unit": "s"}, "aggregate": {"n": "count"}});
    let mut harness = open(&config.to_string());
    harness.send(0, lats.lines()).unwrap();
    harness.finish(0).unwrap();
    let out = harness.take_text().unwrap();
    assert_eq!(out.len(), 61);
    for (window, datum) in out.iter().zip(lats.lines()) {
        let lat = datum.split(',').next().unwrap();
        assert!(
            window.starts_with(&format!("{lat},")),
            "{window} of {datum}"
        );
    }
}

#[test]
fn a_field_may_have_a_dot_in_its_name() {
    let config =
        json!({"by": r"http\.status", "every": "hour", "time": "t", "aggregate": {"n": "count"}});
    let mut harness = open(&config.to_string());
    harness
        .send(0, [r#"{"http.status":200,"t":"2024-01-01"}"#])
        .unwrap();
    harness.finish(0).unwrap();
    assert_eq!(
        harness.take_text().unwrap(),
        [
            r#"{"http.status":200,"start":"2024-01-01T00:00:00Z","end":"2024-01-01T01:00:00Z","n":1}"#
        ]
    );
    let mut harness = open(&config.to_string().replace(r"\\.", "."));
    harness
        .send(0, [r#"{"http.status":200,"t":"2024-01-01"}"#])
        .unwrap();
    assert_eq!(
        harness.rejected[0].1,
        r"missing field `http.status` (write a dot within a name as `\.`)"
    );
}
