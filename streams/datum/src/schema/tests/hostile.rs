//! Any schema with any bytes and any JSON: a result or an error, never a panic.

use proptest::prelude::*;
use serde_json::Value;

use super::{Schema, from_json, list, map, option, to_json};
use crate::{Criteria, Encoding};

fn key() -> impl Strategy<Value = Schema> {
    prop_oneof![
        Just(Schema::Bool),
        Just(Schema::Char),
        Just(Schema::String),
        bits().prop_map(Schema::Unsigned),
        bits().prop_map(Schema::Signed),
        Just(Schema::Enum(vec![("A".into(), None), ("B".into(), None)])),
    ]
}

fn bits() -> impl Strategy<Value = u8> {
    prop::sample::select(vec![8, 16, 32, 64, 128])
}

fn name(index: usize) -> String {
    ["a", "b", "c", "d"][index].to_owned()
}

fn schema() -> impl Strategy<Value = Schema> {
    let leaf = prop_oneof![
        3 => key(),
        1 => prop::sample::select(vec![Schema::F32, Schema::F64, Schema::Bytes, Schema::Unit]),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let some = prop::collection::vec(inner.clone(), 0..4);
        let perhaps = prop::collection::vec(prop::option::of(inner.clone()), 0..4);
        prop_oneof![
            inner.clone().prop_map(option),
            inner.clone().prop_map(list),
            (inner.clone(), 0..4_u32).prop_map(|(item, len)| Schema::Array(Box::new(item), len)),
            some.clone().prop_map(Schema::Tuple),
            (key(), inner).prop_map(|(key, value)| map(key, value)),
            some.prop_map(|fields| {
                Schema::Struct(
                    fields
                        .into_iter()
                        .enumerate()
                        .map(|(i, f)| (name(i), f))
                        .collect(),
                )
            }),
            perhaps.prop_map(|variants| {
                Schema::Enum(
                    variants
                        .into_iter()
                        .enumerate()
                        .map(|(i, v)| (name(i), v))
                        .collect(),
                )
            }),
        ]
    })
}

/// Mostly plausible lengths, flags and variants.
fn datum() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => 0..4_u8, 1 => any::<u8>()];
    prop::collection::vec(byte, 0..80)
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..300_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-d1é]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-d1]", inner, 0..4)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn bytes_become_json_which_comes_back_as_itself(schema in schema(), datum in datum()) {
        schema.check().unwrap();
        if let Ok(json) = to_json(&schema, &datum) {
            let value: Value = serde_json::from_str(&json).unwrap();
            // NaN becomes null, and null is not a number.
            match from_json(&schema, &json) {
                Ok(back) => prop_assert_eq!(to_json(&schema, &back).unwrap(), json),
                Err(error) => prop_assert!(json.contains("null"), "{} {}", value, error),
            }
        }
    }

    #[test]
    fn json_becomes_postcard_which_can_be_read(schema in schema(), json in json()) {
        if let Ok(datum) = from_json(&schema, &json.to_string()) {
            let again = to_json(&schema, &datum).unwrap();
            let back = from_json(&schema, &again);
            prop_assert!(back == Ok(datum) || again.contains("null"), "{} {:?}", again, back);
        }
    }

    #[test]
    fn criteria_find_in_postcard_what_they_find_in_its_json(
        schema in schema(), datum in datum(), path in "[abcd1](\\.[abcd1]){0,2}", scalar in 0..4_i64, text in "[ab]",
    ) {
        let field = || Criteria::field(path.as_str());
        let wanted = [
            field().exists(true), field().eq(scalar), field().eq(text.as_str()), field().not().gte(scalar), field().eq(true),
        ];
        let of_last = Criteria::field("d").not().eq(scalar);
        for criteria in wanted.into_iter().flat_map(|one| [one.clone(), one.and(of_last.clone())]) {
            let (Ok(selector), Ok(json)) =
                (criteria.selector(&Encoding::Postcard(schema.clone())), to_json(&schema, &datum))
            else {
                return Ok(());
            };
            let by_json = criteria.selector(&Encoding::Json).unwrap().matches(json.as_bytes());
            prop_assert_eq!(selector.matches(&datum), by_json, "{} in {}", path, json);
        }
    }

    #[test]
    fn criteria_on_any_bytes_answer(schema in schema(), datum in datum(), path in "[abcd](\\.[abcd]){0,2}") {
        let criteria = Criteria::field(path.as_str()).eq(1).or(Criteria::field("d").exists(true));
        if let Ok(selector) = criteria.selector(&Encoding::Postcard(schema)) {
            let _ = selector.matches(&datum);
        }
    }
}
