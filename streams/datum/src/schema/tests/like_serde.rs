//! Compares transcoding with serde_json and postcard on the Rust type: the same bytes, the same refusals.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, value::RawValue};

use super::{All, all, an_all, from_json, list, map, option, structure, to_json, transcoder};
use crate::{
    Criteria, Datum as _, Encoding, Frames, Schema,
    schema::{DEFAULT_PART_BYTES, Refused},
};

fn postcard(value: &All) -> Vec<u8> {
    ::postcard::to_stdvec(value).unwrap()
}

/// Parses with serde_json; `None` if it refuses the text.
fn by_serde(json: &str) -> Option<All> {
    serde_json::from_str(json).ok()
}

fn by_schema(json: &str) -> Option<All> {
    let datum = from_json(&all(), json).ok()?;
    Some(All::decode(&datum).expect("what was made is postcard of the type"))
}

proptest! {
    #[test]
    fn any_value_is_the_same_json_and_the_same_postcard(value in an_all()) {
        let json = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(to_json(&all(), &postcard(&value)).unwrap(), json.as_str());
        prop_assert_eq!(from_json(&all(), &json).unwrap(), postcard(&value));
    }

    #[test]
    fn no_number_and_infinities_are_null_and_null_is_no_number(pick in 0..3_usize, bits: u32) {
        let double = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][pick];
        let single = f32::from_bits(bits | 0x7f80_0000);
        let schema = Schema::Tuple(vec![Schema::F64, Schema::F32, option(Schema::F64)]);
        let datum = ::postcard::to_stdvec(&(double, single, Some(double))).unwrap();
        let json = to_json(&schema, &datum).unwrap();
        prop_assert_eq!(&json, &serde_json::to_string(&(double, single, Some(double))).unwrap());
        prop_assert!(from_json(&schema, &json).is_err());
        let without = from_json(&schema, "[1,2,null]").unwrap();
        prop_assert_eq!(without, ::postcard::to_stdvec(&(1.0_f64, 2.0_f32, None::<f64>)).unwrap());
    }

    #[test]
    fn fields_may_come_in_any_order_be_missing_or_be_unknown(
        value in an_all(), mix in Just((0..26_usize).collect::<Vec<_>>()).prop_shuffle(), drop in 0..80_usize, unknown: bool,
    ) {
        let json = serde_json::to_string(&value).unwrap();
        // Raw, so that wide integers stay unchanged.
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&json).unwrap();
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        let mut mixed: Vec<_> = mix.iter().map(|index| fields[*index].as_str()).collect();
        if drop < mixed.len() {
            // A schema cannot distinguish a struct with a single `Option` field from the `Option`, which may be
            // missing.
            let dropped = mixed.remove(drop);
            prop_assume!(!dropped.starts_with("\"wrapped\""));
        }
        if unknown {
            mixed.insert(drop / 4, r#""unknown":{"a":[1,{"b":null}]}"#);
        }
        let json = format!("{{{}}}", mixed.join(" , "));
        prop_assert_eq!(by_schema(&json), by_serde(&json));
    }

    #[test]
    fn damaged_json_is_judged_as_serde_json_does(
        value in an_all(), at: prop::sample::Index, with in "[\\[\\]{},:\"\\\\ 0-9eE.+\\-nu]{0,2}",
    ) {
        let mut json = serde_json::to_string(&value).unwrap();
        let mut start = at.index(json.len());
        while !json.is_char_boundary(start) {
            start -= 1;
        }
        let end = (start + 1..=json.len()).find(|end| json.is_char_boundary(*end)).unwrap();
        json.replace_range(start..end, &with);
        // A schema cannot distinguish a struct with a single `Option` field from the `Option`, which may be missing.
        prop_assume!(json.contains("\"wrapped\""));
        let (ours, theirs) = (by_schema(&json), by_serde(&json));
        // The only input accepted in addition: an integer written with a fraction or an exponent.
        prop_assert!(ours == theirs || (theirs.is_none() && with.contains(['.', 'e', 'E'])), "{}", json);
    }

    #[test]
    fn cut_or_damaged_postcard_is_judged_as_postcard_does(value in an_all(), at: prop::sample::Index, byte: u8) {
        let mut datum = postcard(&value);
        let at = at.index(datum.len());
        prop_assert!(to_json(&all(), &datum[..at]).is_err());
        datum[at] = byte;
        let Ok(theirs) = All::decode(&datum) else {
            prop_assert!(to_json(&all(), &datum).is_err());
            return Ok(());
        };
        // postcard accepts the first of several characters, and sets drop duplicates.
        if let Ok(json) = to_json(&all(), &datum) && postcard(&theirs) == datum {
            prop_assert_eq!(json, serde_json::to_string(&theirs).unwrap());
        }
    }

    #[test]
    fn numbers_of_items_that_take_several_bytes_are_put_in_front(len in prop_oneof![0..300_usize, 16_380..16_390_usize]) {
        let items: Vec<Vec<u16>> = vec![vec![300; len], vec![7; len / 2]];
        let schema = list(list(Schema::Unsigned(16)));
        let json = serde_json::to_string(&items).unwrap();
        prop_assert_eq!(from_json(&schema, &json).unwrap(), ::postcard::to_stdvec(&items).unwrap());
        let named: BTreeMap<usize, &[u16]> = (0..len.min(150)).map(|key| (key, &items[0][..2.min(len)])).collect();
        let schema = map(Schema::Unsigned(64), list(Schema::Unsigned(16)));
        let json = serde_json::to_string(&named).unwrap();
        prop_assert_eq!(from_json(&schema, &json).unwrap(), ::postcard::to_stdvec(&named).unwrap());
    }

    #[test]
    fn a_batch_is_taken_in_parts_and_tells_who_was_refused(lens in prop::collection::vec(0..400_000_usize, 0..12), bad: u16) {
        let schema = structure([("text", Schema::String), ("flag", Schema::Bool)]);
        let is_bad = |index: usize| bad & (1 << index) != 0;
        let datum = |(index, len): (usize, &usize)| {
            let mut datum = ::postcard::to_stdvec(&("x".repeat(*len), true)).unwrap();
            if is_bad(index) {
                *datum.last_mut().unwrap() = 9;
            }
            datum
        };
        let mut rest: Frames = lens.iter().enumerate().map(datum).collect();
        let (whole, mut back, mut refused, mut taken) = (rest.clone(), Vec::new(), Vec::new(), 0);
        while !rest.is_empty() {
            let part = transcoder(&schema).frames_to_json(&mut rest);
            prop_assert!(part.taken.count() > 0);
            prop_assert_eq!(part.taken.count(), part.frames.count() + part.refused.len());
            prop_assert!(part.frames.wire_len() < DEFAULT_PART_BYTES + 400_100);
            refused.extend(part.refused.iter().map(|Refused { index, .. }| taken + index));
            taken += part.taken.count();
            let mut json = part.frames;
            while !json.is_empty() {
                let part = transcoder(&schema).frames_to_postcard(&mut json);
                prop_assert!(part.refused.is_empty());
                back.extend(part.frames.iter().map(<[u8]>::to_vec));
            }
        }
        prop_assert_eq!(taken, whole.count());
        prop_assert!(refused.iter().copied().eq((0..whole.count()).filter(|index| is_bad(*index))));
        let good = whole.iter().enumerate().filter(|(index, _)| !is_bad(*index));
        prop_assert!(back.iter().map(Vec::as_slice).eq(good.map(|(_, datum)| datum)));
    }
}

#[test]
fn a_struct_may_be_a_list_as_for_serde() {
    let schema = structure([("a", Schema::Bool), ("b", Schema::Unsigned(8))]);
    assert_eq!(from_json(&schema, "[true,7]").unwrap(), [1, 7]);
    assert!(from_json(&schema, "[true]").is_err());
    assert!(from_json(&schema, "[true,7,8]").is_err());
}

#[test]
fn a_number_without_a_fraction_is_an_integer() {
    assert_eq!(from_json(&Schema::Unsigned(8), "3.0").unwrap(), [3]);
    assert_eq!(from_json(&Schema::Signed(16), "-2e0").unwrap(), [3]);
    for json in ["3.5", "256.0", "-1.0", "1e300"] {
        assert!(from_json(&Schema::Unsigned(8), json).is_err(), "{json}");
    }
    // The next one could equally be its neighbour.
    assert!(from_json(&Schema::Unsigned(64), "9007199254740992.0").is_ok());
    assert!(from_json(&Schema::Unsigned(64), "9007199254740994.0").is_err());
}

#[test]
fn what_follows_a_postcard_datum_is_passed_over_and_what_follows_json_is_not() {
    assert_eq!(to_json(&Schema::Bool, &[1, 2, 3]).unwrap(), "true");
    assert!(from_json(&Schema::Bool, "true true").is_err());
    assert!(from_json(&Schema::Bool, " true ").is_ok());
}

#[test]
fn a_variant_that_holds_nothing_may_say_so() {
    let value: Value = serde_json::from_str(r#"{"Bid":null}"#).unwrap();
    assert_eq!(from_json(&super::side(), &value.to_string()).unwrap(), [0]);
}

#[test]
fn criteria_look_behind_an_enum_and_take_the_last_of_equal_keys() {
    let schema = structure([
        ("side", super::side()),
        ("sides", map(Schema::Unsigned(8), super::side())),
        ("last", Schema::Bool),
    ]);
    let ask = |size| super::Side::Ask { size, note: None };
    // A map with a duplicate key, which no Rust map has.
    let twice = vec![(7_u8, ask(1)), (7, super::Side::Bid)];
    let datum = ::postcard::to_stdvec(&(ask(300), twice, true)).unwrap();
    let encoding = Encoding::Postcard(schema);
    let holds = |criteria: Criteria| criteria.selector(&encoding).unwrap().matches(&datum);
    let last = || Criteria::field("last").eq(true);
    assert_eq!(
        holds(Criteria::field("side.Cross").exists(true).or(last())),
        Ok(true)
    );
    assert_eq!(
        holds(Criteria::field("side.Ask.size").eq(300).and(last())),
        Ok(true)
    );
    assert_eq!(
        holds(Criteria::field("sides.7").eq("Bid").and(last())),
        Ok(true)
    );
    assert_eq!(
        holds(Criteria::field("sides.7.Ask.size").exists(true)),
        Ok(false)
    );
    assert_eq!(holds(Criteria::field("sides.8").exists(false)), Ok(true));
}
