//! Tests of the whole operator.

mod like_jq;

use super::*;
use mosaik_wasm_sdk::testing::{Harness, binding, logged, set_now};
use proptest::prelude::*;
use serde_json::{Value, json};

fn open(filter: &str) -> Result<Harness<JqOperator>> {
    Harness::open(&json!({ "filter": filter }).to_string())
}

/// The outputs of a filter for one record, or the reason for its rejection.
fn run(filter: &str, datum: &str) -> Result<Vec<String>, String> {
    let mut harness = open(filter).unwrap();
    harness.send(0, [datum]).unwrap();
    match harness.rejected.pop() {
        Some((_, reason)) => {
            assert!(harness.take().is_empty(), "a rejected datum has no results");
            Err(reason)
        }
        None => Ok(harness.take_text().unwrap()),
    }
}

#[track_caller]
fn gives(filter: &str, datum: &str, expected: &[&str]) {
    assert_eq!(
        run(filter, datum).unwrap_or_else(|reason| vec![reason]),
        expected,
        "{filter} on {datum}"
    );
}

#[test]
fn decimals_leave_as_they_came_until_they_are_computed_with() {
    gives(".price", r#"{"price":1.10}"#, &["1.10"]);
    gives("1.5 * .", "2", &["3.0"]);
}

#[test]
fn the_schema_is_json() {
    serde_json::from_str::<Value>(JqOperator::CONFIG_SCHEMA).unwrap();
}

#[test]
fn none_one_or_many() {
    gives("select(.a)", r#"{"a":null}"#, &[]);
    gives(
        ".[]",
        r#"[1,null,"x",{"b":2,"a":1}]"#,
        &["1", "null", r#""x""#, r#"{"b":2,"a":1}"#],
    );
    gives("{n: (.a + 1)}", r#"{"a":1}"#, &[r#"{"n":2}"#]);
    let mut bare = Harness::<JqOperator>::open(r#"".price * 2""#).unwrap();
    bare.send(0, [r#"{"price":21}"#]).unwrap();
    assert_eq!(bare.take_text().unwrap(), ["42"]);
}

#[test]
fn numbers_are_kept() {
    for number in [
        "0",
        "-1",
        "9007199254740993",
        "123456789012345678901234567890",
        "1.10",
        "1e5",
        "0.1",
        "-0.0",
        "1E-400",
    ] {
        gives(".", number, &[number]);
    }
    gives(". + 1", "9007199254740992", &["9007199254740993"]);
    gives(". + 1", "2147483647", &["2147483648"]);
    gives(
        "nan, infinite, -infinite",
        "null",
        &[
            "null",
            "1.7976931348623157e+308",
            "-1.7976931348623157e+308",
        ],
    );
}

#[test]
fn what_people_expect_is_there() {
    gives(
        r#"test("^M"), sub("S"; "s"), ascii_downcase"#,
        r#""MSFT""#,
        &["true", r#""MsFT""#, r#""msft""#],
    );
    gives(r#"split(", ") | length"#, r#""a, b, c""#, &["3"]);
    gives(
        r#"capture("(?<a>[a-z]+)-(?<n>\\d+)")"#,
        r#""xyz-14""#,
        &[r#"{"a":"xyz","n":"14"}"#],
    );
    gives(
        "todate, (todate | fromdate)",
        "1425599621",
        &[r#""2015-03-05T23:53:41Z""#, "1425599621"],
    );
    gives(
        r#"strptime("%b %d %Y") | mktime | todate"#,
        r#""Jan 1 2000""#,
        &[r#""2000-01-01T00:00:00Z""#],
    );
    gives(
        "group_by(.k) | map({k: .[0].k, n: length})",
        r#"[{"k":2},{"k":1},{"k":2}]"#,
        &[r#"[{"k":1,"n":1},{"k":2,"n":2}]"#],
    );
    gives("@base64, @uri", r#""a b""#, &[r#""YSBi""#, r#""a%20b""#]);
    gives(
        "(to_entries | from_entries), with_entries(.value += 1)",
        r#"{"a":1}"#,
        &[r#"{"a":1}"#, r#"{"a":2}"#],
    );
    gives(
        "[limit(3; repeat(.))], first(range(10; infinite)), (reduce range(5) as $i (0; . + $i))",
        "1",
        &["[1,1,1]", "10", "10"],
    );
    gives(
        "tojson | fromjson",
        r#"{"z":[1,2.50]}"#,
        &[r#"{"z":[1,2.50]}"#],
    );
    gives(
        "walk(if type == \"number\" then . * 2 end)",
        "[1,[2]]",
        &["[2,[4]]"],
    );
}

#[test]
fn all_places_are_found_before_the_first_is_deleted() {
    let six = "[0,1,2,3,4,5]";
    gives("del(.[0,2])", six, &["[1,3,4,5]"]);
    gives("del(.[0], .[1])", six, &["[2,3,4,5]"]);
    gives("delpaths([[0], [2]])", six, &["[1,3,4,5]"]);
    gives(".[0,2] |= empty", six, &["[1,3,4,5]"]);
    gives("del(.[:2], .[3])", six, &["[2,4,5]"]);
    gives("del(.[] | select(. % 2 == 0))", six, &["[1,3,5]"]);
    gives(
        "del(.a, .c), (.a |= empty)",
        r#"{"a":1,"b":2,"c":3,"d":4}"#,
        &[r#"{"b":2,"d":4}"#, r#"{"b":2,"c":3,"d":4}"#],
    );
    assert!(run("del(.[1:])", "\"abc\"").is_err());
}

#[test]
fn assignments_create_what_is_missing() {
    gives(
        ".a = 1, (.a.b[1] |= 5), (.[2] += 1)",
        "null",
        &[r#"{"a":1}"#, r#"{"a":{"b":[null,5]}}"#, "[null,null,1]"],
    );
    gives(".[3] = 1, .[-1] = 9", "[0]", &["[0,null,null,1]", "[9]"]);
    gives(".a |= empty", "null", &["null"]);
    assert!(run(".[-2] = 1", "[0]").is_err());
    let reason = run(".[3000000] = 1", "null").unwrap_err();
    assert!(reason.contains("is too large"), "{reason}");
    let reason = run(". * 1e9", "\"ab\"").unwrap_err();
    assert!(reason.contains("16777216 bytes"), "{reason}");
}

#[test]
fn groups_that_match_nothing_are_null() {
    gives(
        "[scan(\"([a-z])([0-9])?\")], capture(\"(?<l>a)(?<d>[0-9])?\")",
        "\"ab1\"",
        &[r#"[["a",null],["b","1"]]"#, r#"{"l":"a","d":null}"#],
    );
    gives(
        "[test(\"a.b\"; \"s\"), test(\"a.b\"; \"p\")]",
        r#""a\nb""#,
        &["[false,true]"],
    );
    gives(
        "[match(\"(é)(x)\"; \"g\").captures[].offset]",
        "\"éx éx\"",
        &["[0,1,3,4]"],
    );
    for (filter, datum) in [
        ("flatten", "5"),
        ("select(contains(1))", "\"a\""),
        ("select(inside([1]))", "\"a\""),
        ("select(in([1]))", "\"a\""),
        ("match(\"a\"; \"l\")", "\"a\""),
    ] {
        assert!(run(filter, datum).is_err(), "{filter}");
    }
}

#[test]
fn only_json_is_read() {
    for datum in [
        r#"{"zip":01730}"#,
        r#"{"v":NaN}"#,
        r#"{"v":-Infinity}"#,
        r#"{"v":+5}"#,
        r#"{"a":1} # note"#,
        "{1:2}",
        r#"b"x""#,
        "[1,]",
    ] {
        assert!(
            run(".", datum).unwrap_err().starts_with("not JSON: "),
            "{datum}"
        );
    }
    let mut harness = open(".").unwrap();
    harness.send(0, [&b"{\"v\":\"x\xff\"}"[..]]).unwrap();
    assert!(harness.rejected[0].1.starts_with("not JSON: "));
}

#[test]
fn what_jq_rejects_is_neither_dropped_nor_invented() {
    let filter = "{id, v: (.v|tonumber)}";
    gives(filter, r#"{"id":1,"v":"5"}"#, &[r#"{"id":1,"v":5}"#]);
    for text in ["", "  ", "#x", "1 2"] {
        let datum = json!({"id": 2, "v": text}).to_string();
        assert!(
            run(filter, &datum)
                .unwrap_err()
                .contains("cannot be parsed as a number")
        );
    }
    let filter = "{id, rate: (.err/.all)}";
    gives(
        filter,
        r#"{"id":3,"err":1,"all":4}"#,
        &[r#"{"id":3,"rate":0.25}"#],
    );
    for datum in [
        r#"{"id":1,"err":3,"all":0}"#,
        r#"{"id":2,"err":0,"all":0.0}"#,
    ] {
        assert!(
            run(filter, datum)
                .unwrap_err()
                .contains("the divisor is zero")
        );
    }
}

#[test]
fn raw_results_are_text() {
    let bindings = (&[binding("in", "json")], &[binding("out", "text")]);
    let config = r#"{"filter":".[]","raw":true}"#;
    let mut harness = Harness::<JqOperator>::open_on(config, bindings.0, bindings.1).unwrap();
    harness.send(0, [r#"["a \"b\"",1,["x"],""]"#]).unwrap();
    assert_eq!(
        harness.take_text().unwrap(),
        ["a \"b\"", "1", r#"["x"]"#, ""]
    );
    let json =
        Harness::<JqOperator>::open_on(config, bindings.0, &[binding("out", "json")]).unwrap_err();
    assert_eq!(
        json.reason(),
        "the stream on port `out` is json; with `raw: true`, jq writes text"
    );
}

#[test]
fn the_host_is_clock_and_log() {
    set_now(Some(1_500));
    gives("now", "0", &["1.5"]);
    gives("debug", "{\"a\":1}", &["{\"a\":1}"]);
    assert_eq!(logged()[0].1, "{\"a\":1}");
}

#[test]
fn failures_reject_with_jqs_message() {
    for (filter, datum, reason) in [
        (".a", "[1]", "cannot index [1] with \"a\""),
        ("error(\"no \\(.)\")", "1", "no 1"),
        ("error({a: 1})", "1", "{\"a\":1} (not a string)"),
        (
            ".[] | tonumber",
            r#"["1","x"]"#,
            "string (\"x\") cannot be parsed as a number",
        ),
        ("halt", "1", "the filter has called `halt`"),
        (".", "{\"a\":", "not JSON: "),
        (".", "1 2", "not JSON: "),
        (".", "", "not JSON: "),
        ("tobytes", "\"x\"", "a byte string has no JSON form"),
        (
            "{(.|tostring): 1} | with_entries(.key = 1)",
            "1",
            "object keys must be strings",
        ),
    ] {
        let said = run(filter, datum).unwrap_err();
        assert!(said.starts_with(reason), "{filter} on {datum}: {said}");
    }
}

#[test]
fn errors_point_into_the_filter() {
    let error = |filter: &str| open(filter).unwrap_err().into_reason();
    assert_eq!(
        error(".price *\n  nosuch(1)"),
        "config.filter: line 2, column 3, at `nosuch`: undefined filter\n    nosuch(1)\n    ^^^^^^"
    );
    assert!(
        error(".a |").starts_with("config.filter: line 1, column 5, at the end: expected"),
        "{}",
        error(".a |")
    );
    assert!(
        error("(.a").starts_with("config.filter: line 1, column 4, at the end: expected"),
        "{}",
        error("(.a")
    );
    assert!(
        error("\"é\" ~ 1").starts_with("config.filter: line 1, column 5, at `~`: expected"),
        "{}",
        error("\"é\" ~ 1")
    );
    assert!(error("env").contains("an operator has no environment"));
    assert!(error("$ENV.HOME").contains("an operator has no environment"));
    assert!(error("input").contains("called with each record"));
    assert!(error("include \"x\"; .").contains("config.filter"));
    assert!(
        Harness::<JqOperator>::open("{}")
            .unwrap_err()
            .reason()
            .contains("missing key `filter`")
    );
    assert!(
        Harness::<JqOperator>::open("7")
            .unwrap_err()
            .reason()
            .contains("must be a text, found a number")
    );
    let text = Harness::<JqOperator>::open_on("\".\"", &[binding("in", "text")], &[]).unwrap_err();
    assert_eq!(
        text.reason(),
        "the stream on port `in` is text; jq reads and writes json"
    );
}

#[test]
fn results_without_end_are_bounded() {
    assert_eq!(
        run("repeat(.)", "1").unwrap_err(),
        "more than 100000 outputs (max_outputs)"
    );
    assert_eq!(
        run("range(1e18)", "1").unwrap_err(),
        "more than 100000 outputs (max_outputs)"
    );
    assert!(
        run("repeat(.)", &format!("\"{}\"", "x".repeat(1_000_000)))
            .unwrap_err()
            .contains("outputs of one call")
    );
    let mut harness =
        Harness::<JqOperator>::open(r#"{"filter":"range(.)","max_outputs":2}"#).unwrap();
    harness.send(0, ["2", "3", "1"]).unwrap();
    assert_eq!(harness.take_text().unwrap(), ["0", "1", "0"]);
    assert_eq!(harness.rejected.len(), 1);
}

#[test]
fn many_results_leave_in_parts() {
    let mut harness = open("range(100000) | \"0123456789012345678901234567890123456789012345678901234567890123456789\"").unwrap();
    harness.send(0, ["0", "0"]).unwrap();
    assert!(harness.answers > 3, "{}", harness.answers);
    assert_eq!(harness.take().len(), 200_000);
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    gives("length", &nested(256), &["1"]);
    assert!(run(".", &nested(257)).unwrap_err().contains("256 deep"));
    assert!(run(".", &nested(100_000)).unwrap_err().contains("256 deep"));
    assert!(
        run("reduce range(300) as $i (.; [.])", "0")
            .unwrap_err()
            .contains("256 deep")
    );
    gives(
        "length",
        &format!("\"\\\"{}\"", "[".repeat(1000)),
        &["1001"],
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(Value::from),
        ".{0,10}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(".{0,4}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn identity_keeps_the_value(value in any_json()) {
        prop_assert_eq!(run(".", &value.to_string()), Ok(vec![value.to_string()]));
        prop_assert_eq!(run("[.][0] | tojson | fromjson", &value.to_string()), Ok(vec![value.to_string()]));
    }

    #[test]
    fn no_datum_panics(datum in "\\PC{0,40}") {
        let _ = run(".a", &datum);
    }

    #[test]
    fn no_filter_panics(filter in "\\PC{0,30}") {
        let _ = open(&filter);
    }

    #[test]
    fn no_likely_filter_panics(filter in "[.a(){}|,\\[\\]\"\\\\$1 +*é\n?:;#-]{0,20}") {
        let _ = open(&filter);
    }
}
