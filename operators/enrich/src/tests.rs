//! Tests of the whole operator.

use super::*;
use mosaik_wasm_sdk::testing::{Harness, binding, counted};
use proptest::prelude::*;
use serde_json::{Value, json};

fn config(more: Value) -> String {
    let mut config = json!({
        "by": "city",
        "table": [
            {"city": "Lisbon", "country": "PT", "people": 545_796},
            {"city": "Oslo", "country": "NO", "note": "\u{1F3BF}", "people": null},
        ],
    });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    config.to_string()
}

fn enriched(config: &str, datum: &str) -> String {
    let mut enrich = Harness::<EnrichOperator>::open(config).unwrap();
    enrich.send(0, [datum]).unwrap();
    assert_eq!(enrich.rejected, []);
    enrich.take_text().unwrap().concat()
}

#[test]
fn the_schema_is_json() {
    serde_json::from_str::<Value>(EnrichOperator::CONFIG_SCHEMA).unwrap();
}

#[test]
fn fields_are_added_behind_those_of_the_datum() {
    for (more, datum, expected) in [
        (
            json!({}),
            r#"{"city":"Lisbon","x": [1, 2]}"#,
            r#"{"city":"Lisbon","x":[1, 2],"country":"PT","people":545796}"#,
        ),
        (
            json!({}),
            r#"{"\u0063ity":"\u004fslo"}"#,
            r#"{"city":"\u004fslo","country":"NO","note":"🎿","people":null}"#,
        ),
        (
            json!({"fields": ["people"]}),
            r#"{"city":"Lisbon","country":"?"}"#,
            r#"{"city":"Lisbon","country":"?","people":545796}"#,
        ),
        (
            json!({"fields": {"land": "country", "remark": "note"}}),
            r#"{"city":"Lisbon"}"#,
            r#"{"city":"Lisbon","land":"PT"}"#,
        ),
        (
            json!({"into": "place", "fields": ["country"]}),
            r#"{"city":"Lisbon","country":1}"#,
            r#"{"city":"Lisbon","country":1,"place":{"country":"PT"}}"#,
        ),
        (
            json!({}),
            r#"{"country":null,"city":"Lisbon"}"#,
            r#"{"country":null,"city":"Lisbon","people":545796}"#,
        ),
        (
            json!({"overwrite": true}),
            r#"{"country":null,"city":"Lisbon"}"#,
            r#"{"country":"PT","city":"Lisbon","people":545796}"#,
        ),
        (
            json!({"by": {"record": ["at.name", "n"], "table": ["city", "people"]}, "table": [{"city": "A", "people": 7, "is": true}]}),
            r#"{"at":{"name":"A"},"n":"7"}"#,
            r#"{"at":{"name":"A"},"n":"7","is":true}"#,
        ),
        (
            json!({"by": "id", "table": [{"id": "007", "x": 1}, {"id": 7.0, "x": 2}]}),
            r#"{"id":"7"}"#,
            r#"{"id":"7","x":2}"#,
        ),
        (
            json!({"table": [{"city": "Lisbon"}]}),
            r#"{"city":"Lisbon"}"#,
            r#"{"city":"Lisbon"}"#,
        ),
        (
            json!({"table": [{"city": "Lisbon"}], "into": "place"}),
            r#"{"city":"Lisbon"}"#,
            r#"{"city":"Lisbon","place":{}}"#,
        ),
    ] {
        assert_eq!(enriched(&config(more.clone()), datum), expected, "{more}");
    }
}

#[test]
fn what_no_row_is_for() {
    let records = [r#"{ "city":"Rome"}"#, r#"{"city":null}"#, "{}"];
    for datum in records {
        assert_eq!(enriched(&config(json!({})), datum), datum);
        assert_eq!(enriched(&config(json!({"missing": "drop"})), datum), "");
    }
    assert_eq!(counted("missing"), 6);
    let mut reject =
        Harness::<EnrichOperator>::open(&config(json!({"missing": "reject"}))).unwrap();
    reject.send(0, records).unwrap();
    assert!(reject.take().is_empty());
    let lacks = "`city` is missing or null";
    assert_eq!(
        reject.rejected,
        [
            (0, "the table has no row for it".into()),
            (1, lacks.into()),
            (2, lacks.into())
        ]
    );
    let mut wrong = Harness::<EnrichOperator>::open(&config(json!({}))).unwrap();
    wrong.send(0, ["[]", r#"{"city":{}}"#]).unwrap();
    let reasons: Vec<_> = wrong
        .rejected
        .iter()
        .map(|(_, reason)| &reason[..20])
        .collect();
    assert_eq!(reasons, ["not a JSON object: i", "`city` is an object "]);
    assert!(
        Harness::<EnrichOperator>::open_on(&config(json!({})), &[binding("in", "bytes")], &[])
            .is_err()
    );
}

#[test]
fn errors_say_what_and_where() {
    for (more, expected) in [
        (
            json!({"table": {}}),
            "config.table: must be a list, found a mapping",
        ),
        (json!({"table": [7]}), "config.table[0]: not a JSON object"),
        (
            json!({"table": [{"city": "A"}, {"City": "B"}]}),
            "config.table[1]: `city` is missing or null",
        ),
        (
            json!({"table": [{"city": null}]}),
            "config.table[0]: `city` is missing or null",
        ),
        (
            json!({"table": [{"city": [1]}]}),
            "config.table[0]: `city` is an object or an array",
        ),
        (
            json!({"table": [{"city": 7}, {"city": "B"}, {"city": "7"}]}),
            "config.table[2]: another row has the same key",
        ),
        (
            json!({"fields": ["contry"]}),
            "config.fields: no row of the table has a field `contry`",
        ),
        (
            json!({"fields": ["country", "country"]}),
            "config.fields: two fields would be called `country`",
        ),
        (
            json!({"by": {"record": "a", "table": ["a", "b"]}}),
            "config.by: `record` has 1 and `table` has 2 fields, but each pairs with one",
        ),
        (
            json!({"by": {"record": "a"}}),
            "config.by: missing key `table`",
        ),
        (
            json!({"by": {"datum": "a", "table": "a"}}),
            "config.by.datum: unknown key `datum`, renamed to `record`",
        ),
        (
            json!({"missing": "ignore"}),
            "config.missing: unknown value `ignore`, expected `pass`, `drop`, `reject`",
        ),
        (
            json!({"max_rows": 1}),
            "config.table: 2 rows are more than 1 (max_rows)",
        ),
        (
            json!({"overwrite": "yes"}),
            "config.overwrite: must be `true` or `false`, found a text",
        ),
    ] {
        let error = Harness::<EnrichOperator>::open(&config(more.clone())).unwrap_err();
        let error = error.into_reason();
        assert!(
            error.starts_with(expected),
            "{more}\n  gave {error}\n  not  {expected}"
        );
    }
    let error = Harness::<EnrichOperator>::open(r#"{"by":"k"}"#).unwrap_err();
    assert_eq!(error.reason(), "config: missing key `table`");
}

fn missing() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("pass"), Just("drop"), Just("reject")]
}

proptest! {
    #[test]
    fn every_datum_leaves_or_is_counted(
        rows in proptest::collection::btree_map(0u8..20, any::<i32>(), 0..10),
        keys in proptest::collection::vec(proptest::option::of(0u8..20), 0..40), missing in missing(),
    ) {
        counted("missing");
        let table: Vec<Value> = rows.iter().map(|(key, value)| json!({"k": key, "v": value})).collect();
        let config = json!({"by": "k", "table": table, "missing": missing}).to_string();
        let records: Vec<Value> = keys.iter().zip(0..).map(|(key, n)| json!({"k": key, "n": n})).collect();
        let mut enrich = Harness::<EnrichOperator>::open(&config).unwrap();
        // A new instance in the middle changes nothing.
        let (before, after) = records.split_at(records.len() / 2);
        enrich.send(0, before.iter().map(Value::to_string)).unwrap();
        let mut next = Harness::<EnrichOperator>::open(&config).unwrap();
        next.restore(enrich.snapshot().unwrap()).unwrap();
        next.send(0, after.iter().map(Value::to_string)).unwrap();

        let mut out: Vec<String> = enrich.take_text().unwrap();
        out.extend(next.take_text().unwrap());
        let out: Vec<Value> = out.iter().map(|datum| serde_json::from_str(datum).unwrap()).collect();
        let rejected = enrich.rejected.len() + next.rejected.len();
        let found = |datum: &Value| datum["k"].as_u64().and_then(|key| rows.get(&(key as u8)));
        let unfound = records.iter().filter(|datum| found(datum).is_none()).count();
        let dropped = if missing == "drop" { unfound } else { 0 };
        prop_assert_eq!(records.len(), out.len() + dropped + rejected);
        prop_assert_eq!(rejected, if missing == "reject" { unfound } else { 0 });
        prop_assert_eq!(counted("missing") as usize, unfound);
        let expected: Vec<Value> = records.iter().filter_map(|datum| {
            let mut datum = datum.clone();
            match found(&datum) {
                Some(value) => datum["v"] = json!(value),
                None if missing != "pass" => return None,
                None => {}
            }
            Some(datum)
        }).collect();
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn texts_find_their_row_and_no_other(texts in proptest::collection::btree_set("\\PC{0,6}|[\"\\\\\u{0}\u{1f}]{1,3}", 1..8)) {
        let table: Vec<Value> = texts.iter().enumerate().map(|(n, text)| json!({"a": text, "b": "x", "n": n})).collect();
        let config = json!({"by": ["a", "b"], "table": table, "fields": ["n"]}).to_string();
        let mut enrich = Harness::<EnrichOperator>::open(&config).unwrap();
        enrich.send(0, texts.iter().map(|text| json!({"a": text, "b": "x"}).to_string())).unwrap();
        let found: Vec<Value> = enrich.take_text().unwrap().iter().map(|datum| serde_json::from_str::<Value>(datum).unwrap()["n"].clone()).collect();
        prop_assert_eq!(found, (0..texts.len()).map(|n| json!(n)).collect::<Vec<_>>());
    }

    #[test]
    fn no_datum_panics(datum in "\\PC{0,40}") {
        let mut enrich = Harness::<EnrichOperator>::open(&config(json!({}))).unwrap();
        enrich.send(0, [datum.clone(), json!({"city": datum}).to_string()]).unwrap();
    }
}
