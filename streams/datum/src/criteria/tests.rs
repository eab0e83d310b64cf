//! Compares criteria with a naive evaluation of parsed values, and tests them on arbitrary bytes.

mod numbers;

use std::{cmp::Ordering, fmt::Write};

use proptest::prelude::*;
use serde::Serialize;
use serde_json::Value;

use super::*;
use crate::{Encoding, Frames, Schema, number::Number};

fn lookup<'v>(value: &'v Value, path: &Path) -> Option<&'v Value> {
    path.fields()
        .try_fold(value, |value, name| value.as_object()?.get(name))
}

fn compare(value: &Value, scalar: &Scalar) -> Option<Ordering> {
    match (value, scalar) {
        (Value::Null, Scalar::Null) => Some(Ordering::Equal),
        (Value::Bool(a), Scalar::Bool(b)) if a == b => Some(Ordering::Equal),
        (Value::String(a), Scalar::Text(b)) => Some(a.as_str().cmp(b)),
        (Value::Number(a), Scalar::Int(b)) => Decimal::parse(&a.to_string())
            .ok()
            .and_then(|a| Number::Text(a.as_str()).compare(Number::Int(*b))),
        (Value::Number(a), Scalar::Float(b)) => a.as_f64()?.partial_cmp(b),
        _ => None,
    }
}

fn holds(condition: &Condition, value: Option<&Value>) -> bool {
    match (condition, value) {
        (Condition::Not(inner), _) => !holds(inner, value),
        (Condition::Exists(exists), _) => value.is_some() == *exists,
        (_, None) => false,
        (Condition::OneOf(values), Some(value)) => values
            .iter()
            .any(|scalar| compare(value, scalar) == Some(Ordering::Equal)),
        (Condition::Prefix(prefix), Some(value)) => {
            value.as_str().is_some_and(|text| text.starts_with(prefix))
        }
        (Condition::Range(range), Some(value)) => {
            let within = |bound: &Option<Scalar>, allowed: &[Ordering]| {
                bound
                    .as_ref()
                    .is_none_or(|bound| compare(value, bound).is_some_and(|o| allowed.contains(&o)))
            };
            (value.is_number() || value.is_string())
                && within(&range.gt, &[Ordering::Greater])
                && within(&range.gte, &[Ordering::Greater, Ordering::Equal])
                && within(&range.lt, &[Ordering::Less])
                && within(&range.lte, &[Ordering::Less, Ordering::Equal])
        }
    }
}

fn naive(criteria: &Criteria, value: &Value) -> bool {
    let any = |alternative: &Alternative| {
        alternative
            .all
            .iter()
            .all(|(path, c)| holds(c, lookup(value, path)))
    };
    criteria.any.is_empty() || criteria.any.iter().any(any)
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "é", "q\"\\", "\n"]).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        Just(Scalar::Null),
        any::<bool>().prop_map(Scalar::Bool),
        (-3i64..4).prop_map(Scalar::Int),
        Just(Scalar::Int(i64::MAX)),
        (-8i32..9).prop_map(|quarters| Scalar::Float(f64::from(quarters) / 4.0)),
        name().prop_map(Scalar::Text),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let range = (
        prop::option::of(scalar()),
        prop::option::of(scalar()),
        prop::option::of(scalar()),
    )
        .prop_map(|(gt, gte, lte)| {
            Condition::Range(Range {
                gt,
                gte,
                lte,
                lt: None,
            })
        });
    let leaf = prop_oneof![
        prop::collection::vec(scalar(), 0..3).prop_map(Condition::OneOf),
        range,
        name().prop_map(Condition::Prefix),
        any::<bool>().prop_map(Condition::Exists),
    ];
    leaf.prop_recursive(2, 4, 1, |inner| {
        inner.prop_map(|inner| Condition::Not(Box::new(inner)))
    })
}

fn criteria() -> impl Strategy<Value = Criteria> {
    let path = prop::collection::vec(name(), 1..4).prop_map(Path);
    let alternative =
        prop::collection::vec((path, condition()), 0..4).prop_map(|all| Alternative { all });
    prop::collection::vec(alternative, 0..3).prop_map(|any| Criteria { any })
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..4).prop_map(Value::from),
        Just(Value::from(i64::MAX)),
        Just(Value::from(u64::MAX)),
        (-8i32..9).prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        name().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map(name(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Text in which every character beyond letters and digits is escaped.
fn escape_all(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            escaped.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(escaped, "\\u{unit:04X}").unwrap();
        }
    }
    escaped
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn json_is_selected_as_its_parsed_value_would_be(criteria in criteria(), value in json(), pretty: bool) {
        let selector = criteria.selector(&Encoding::Json).unwrap();
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        prop_assert_eq!(selector.matches(&text), Ok(naive(&criteria, &value)));
    }

    #[test]
    fn text_that_is_nearly_json_is_judged_as_serde_json_does(
        criteria in criteria(),
        text in "[\\[\\]{},:\"\\\\ 0-9eE.+\\-abnultrfs\u{e9}\u{1}]{0,14}",
    ) {
        let parsed: Result<Value, _> = serde_json::from_str(&text);
        let selector = criteria.clone().and(Criteria::field("a").exists(false)).selector(&Encoding::Json).unwrap();
        let expected = parsed.map(|value| naive(&criteria, &value) && lookup(&value, &"a".into()).is_none());
        let judged = selector.matches(text.as_bytes());
        if let Ok(expected) = expected {
            prop_assert_eq!(judged, Ok(expected));
        } else {
            // A number beyond the largest float is still a number.
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(judged.is_ok(), is_json);
        }
    }

    #[test]
    fn a_datum_cut_or_damaged_is_judged_as_serde_json_does(value in json(), at: prop::sample::Index, byte: u8) {
        let mut text = serde_json::to_vec(&value).unwrap();
        let at = at.index(text.len());
        text[at] = byte;
        let selector = Criteria::field("a").not().exists(false).selector(&Encoding::Json).unwrap();
        let expected = serde_json::from_slice::<Value>(&text).ok().map(|v| lookup(&v, &"a".into()).is_some());
        let is_json = |text: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
        // A number beyond the largest float is still a number.
        prop_assume!(expected.is_some() || !is_json(&text));
        prop_assert_eq!(selector.matches(&text).ok(), expected);
        let cut = serde_json::from_slice::<Value>(&text[..at]).ok().map(|v| lookup(&v, &"a".into()).is_some());
        prop_assert_eq!(selector.matches(&text[..at]).ok(), cut);
    }

    #[test]
    fn escaped_text_is_the_text_it_stands_for(text: String, other: String, len in 0usize..4) {
        let datum = format!("{{\"x\":\"{}\"}}", escape_all(&text));
        let matches = |criteria: Criteria| criteria.selector(&Encoding::Json).unwrap().matches(datum.as_bytes()).unwrap();
        prop_assert!(matches(Criteria::field("x").eq(text.as_str())));
        prop_assert_eq!(matches(Criteria::field("x").lt(other.as_str())), text < other);
        let prefix: String = text.chars().take(len).collect();
        prop_assert!(matches(Criteria::field("x").prefix(prefix)));
    }

    #[test]
    fn criteria_survive_the_wire_and_the_human_form(criteria in criteria()) {
        let wire = criteria.to_wire().unwrap();
        prop_assert_eq!(&Criteria::from_wire(&wire).unwrap(), &criteria);
        let mut cut = wire.clone();
        cut.pop();
        prop_assert!(wire.is_empty() || Criteria::from_wire(&cut).is_err());
    }

    #[test]
    fn no_bytes_make_the_wire_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Criteria::from_wire(&bytes);
    }

    #[test]
    fn no_bytes_make_the_postcard_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let zero_sized = Schema::Sequence(Box::new(Schema::Struct(Vec::new())));
        let mut schema = trade_schema();
        if let Schema::Struct(fields) = &mut schema {
            fields.insert(0, ("nothing".to_owned(), zero_sized));
        }
        let selector = Criteria::field("inner.wide").gt(1).selector(&Encoding::Postcard(schema)).unwrap();
        let _ = selector.matches(&bytes);
    }

    #[test]
    fn postcard_is_selected_as_the_same_json_would_be(
        symbol in name(), price in -8i32..9, size in -3i64..4, note in prop::option::of(name()), wide: u64,
        bounds in (scalar(), scalar()), negate: bool,
    ) {
        let trade = Trade {
            symbol, price: f64::from(price) / 4.0, flags: vec![(true, 7), (false, 300)], size, note,
            inner: Some(Inner { small: -1, wide, ratio: 0.5 }),
        };
        for path in ["symbol", "price", "size", "note", "inner", "inner.small", "inner.wide", "inner.ratio"] {
            let field = || if negate { Criteria::field(path).not() } else { Criteria::field(path) };
            let (gte, one) = (field().gte(bounds.0.clone()), field().eq(bounds.1.clone()));
            for wanted in [gte.clone(), one.clone(), gte.clone().and(one.clone()), gte.or(one)] {
                let expected = naive(&wanted, &serde_json::to_value(&trade).unwrap());
                let selector = wanted.selector(&Encoding::Postcard(trade_schema())).unwrap();
                prop_assert_eq!(selector.matches(&::postcard::to_stdvec(&trade).unwrap()), Ok(expected), "{}", path);
            }
        }
    }
}

#[derive(Serialize)]
struct Trade {
    symbol: String,
    price: f64,
    flags: Vec<(bool, u16)>,
    size: i64,
    note: Option<String>,
    inner: Option<Inner>,
}

#[derive(Serialize)]
struct Inner {
    small: i8,
    wide: u64,
    ratio: f32,
}

fn trade_schema() -> Schema {
    let structure = |fields: Vec<(&str, Schema)>| {
        Schema::Struct(
            fields
                .into_iter()
                .map(|(name, schema)| (name.to_owned(), schema))
                .collect(),
        )
    };
    let pair = structure(vec![("0", Schema::Bool), ("1", Schema::Unsigned(16))]);
    let inner = structure(vec![
        ("small", Schema::Signed(8)),
        ("wide", Schema::Unsigned(64)),
        ("ratio", Schema::F32),
    ]);
    structure(vec![
        ("symbol", Schema::String),
        ("price", Schema::F64),
        ("flags", Schema::Sequence(Box::new(pair))),
        ("size", Schema::Signed(64)),
        ("note", Schema::Option(Box::new(Schema::String))),
        ("inner", Schema::Option(Box::new(inner))),
    ])
}

fn json_matches(criteria: &Criteria, datum: &str) -> Result<bool, NotSelectable> {
    criteria
        .selector(&Encoding::Json)
        .unwrap()
        .matches(datum.as_bytes())
}

#[test]
fn a_name_that_comes_twice_counts_as_its_last() {
    let nested = Criteria::field("a.b").eq(1);
    assert_eq!(
        json_matches(&nested, r#"{"a":{"b":2},"a":{"b":1}}"#),
        Ok(true)
    );
    assert_eq!(json_matches(&nested, r#"{"a":{"b":1},"a":{}}"#), Ok(false));
    assert_eq!(json_matches(&nested, r#"{"a":{"b":1},"a":3}"#), Ok(false));
}

#[test]
fn nesting_is_bounded_where_it_is_passed_over_and_where_it_is_followed() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let wanted = Criteria::field("a").exists(true);
    for levels in [126, 127, 200, 100_000] {
        let parsed: Result<Value, _> = serde_json::from_str(&deep(levels));
        assert_eq!(
            json_matches(&wanted, &deep(levels)).is_ok(),
            parsed.is_ok(),
            "{levels}"
        );
        let inside = format!("{{\"a\":{}}}", deep(levels));
        let parsed: Result<Value, _> = serde_json::from_str(&inside);
        assert_eq!(
            json_matches(&wanted, &inside).is_ok(),
            parsed.is_ok(),
            "{levels} inside"
        );
    }
}

#[test]
fn a_field_may_have_a_dot_in_its_name() {
    let dotted = Criteria::field(r"http\.status").eq(200);
    assert_eq!(json_matches(&dotted, r#"{"http.status":200}"#), Ok(true));
    assert_eq!(
        json_matches(&dotted, r#"{"http":{"status":200}}"#),
        Ok(false)
    );
    assert_eq!(dotted.paths().next().unwrap().to_string(), r"http\.status");
}

#[test]
fn the_human_form_reads_back() {
    for text in [
        r#"{"price":{"gte":100,"lt":200.5},"symbol":["ETH","BTC"]}"#,
        r#"[{"a":null},{"b.c":{"not":{"prefix":"x"}},"d":{"exists":false}}]"#,
        "{}",
        "[{}]",
    ] {
        let criteria: Criteria = serde_json::from_str(text).unwrap();
        let again: Value = serde_json::to_value(&criteria).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(text).unwrap());
    }
}

#[test]
fn the_human_form_refuses_what_means_nothing() {
    for text in [
        r#"{"a":[[1]]}"#,
        r#"{"a":[{"gt":1}]}"#,
        r#"{"a":{"gt":[1]}}"#,
        r#"{"a":{"gt":null}}"#,
        r#"{"a":{"lte":true}}"#,
        r#"{"a":{}}"#,
        r#"{"a":{"above":1}}"#,
        r#"{"a":{"exists":true,"gt":1}}"#,
        r#"{"a":{"exists":true,"prefix":"x"}}"#,
        "7",
    ] {
        assert!(serde_json::from_str::<Criteria>(text).is_err(), "{text}");
    }
}

#[test]
fn criteria_beyond_their_bounds_are_refused_wherever_they_enter() {
    let many = Criteria::field("a").one_of(0..=u32::try_from(MAX_CONDITIONS).unwrap());
    assert!(matches!(
        many.selector(&Encoding::Json),
        Err(NotSelectable::TooCostly(_))
    ));
    assert!(matches!(many.to_wire(), Err(WireError::TooCostly(_))));
    let long = Criteria::field("a").eq("x".repeat(MAX_WIRE_LEN));
    assert!(matches!(long.to_wire(), Err(WireError::TooLong(_))));
    let deep = (0..=MAX_NEGATIONS).fold(Condition::Exists(true), |inner, _| {
        Condition::Not(Box::new(inner))
    });
    assert!(matches!(
        Criteria::field("a").is(deep).to_wire(),
        Err(WireError::TooCostly(_))
    ));
    let path = vec!["a"; MAX_PATH_FIELDS + 1].join(".");
    assert!(matches!(
        Criteria::field(path).exists(true).to_wire(),
        Err(WireError::TooCostly(_))
    ));
    // One alternative with one condition of 255 negations, written by hand.
    let hostile = [1, 1, 1, 1, b'a', 255, 3, 1];
    assert!(matches!(
        Criteria::from_wire(&hostile),
        Err(WireError::TooCostly(_))
    ));
}

#[test]
fn an_encoding_without_fields_cannot_be_selected_from() {
    let wanted = Criteria::field("a").eq(1);
    for encoding in [Encoding::Text, Encoding::Bytes] {
        assert!(matches!(
            wanted.selector(&encoding),
            Err(NotSelectable::Encoding(_))
        ));
        assert!(
            Criteria::default()
                .selector(&encoding)
                .unwrap()
                .matches(b"\xff")
                .unwrap()
        );
    }
    let missing = Criteria::field("inner.nothing")
        .eq(1)
        .selector(&Encoding::Postcard(trade_schema()));
    assert_eq!(
        missing.unwrap_err(),
        NotSelectable::UnknownField("inner.nothing".to_owned())
    );
}

#[test]
fn what_cannot_be_looked_into_is_counted() {
    let frames: Frames = ["{\"a\":1}", "{\"a\":2}", "{\"a\":", "{\"a\":1}"]
        .iter()
        .collect();
    let (wanted, malformed) = Criteria::field("a")
        .eq(1)
        .selector(&Encoding::Json)
        .unwrap()
        .select(&frames);
    assert_eq!((wanted.count(), malformed), (2, 1));
}
