//! Types for the tests, and their schemas.

mod errors;
mod hostile;
mod like_serde;

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Schema, TranscodeError, Transcoder};

#[expect(
    clippy::option_option,
    clippy::zero_sized_map_values,
    reason = "whatever can be written down is read"
)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct All {
    flag: bool,
    small: (u8, i8),
    middle: (u16, i16, u32, i32),
    wide: (u64, i64),
    widest: (u128, i128),
    single: f32,
    double: f64,
    letter: char,
    text: String,
    nothing: (),
    perhaps: Option<f64>,
    twice: Option<Option<bool>>,
    list: Vec<Inner>,
    set: BTreeSet<i16>,
    array: [u16; 3],
    pair: Pair,
    wrapped: Wrapped,
    bare: Bare,
    side: Side,
    by_number: BTreeMap<i32, f32>,
    by_wide: BTreeMap<u128, bool>,
    by_text: BTreeMap<String, Vec<u8>>,
    by_flag: BTreeMap<bool, ()>,
    by_letter: BTreeMap<char, u8>,
    by_kind: BTreeMap<Kind, Option<Inner>>,
    padding: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Inner {
    #[serde(rename = "a \"name\"")]
    name: Option<String>,
    side: Side,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pair(i64, String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Wrapped(Option<u32>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Bare;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Side {
    Bid,
    Ask { size: u32, note: Option<String> },
    Cross(bool, char),
    Mid(f64),
    Void(()),
    Empty {},
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Kind {
    Spot,
    Future,
}

fn structure<const N: usize>(fields: [(&str, Schema); N]) -> Schema {
    Schema::Struct(fields.map(|(name, field)| (name.to_owned(), field)).into())
}

fn option(inner: Schema) -> Schema {
    Schema::Option(Box::new(inner))
}

fn list(item: Schema) -> Schema {
    Schema::Sequence(Box::new(item))
}

fn map(key: Schema, value: Schema) -> Schema {
    Schema::Map(Box::new(key), Box::new(value))
}

fn variants<const N: usize>(variants: [(&str, Option<Schema>); N]) -> Schema {
    Schema::Enum(
        variants
            .map(|(name, content)| (name.to_owned(), content))
            .into(),
    )
}

fn side() -> Schema {
    variants([
        ("Bid", None),
        (
            "Ask",
            Some(structure([
                ("size", Schema::Unsigned(32)),
                ("note", option(Schema::String)),
            ])),
        ),
        (
            "Cross",
            Some(Schema::Tuple(vec![Schema::Bool, Schema::Char])),
        ),
        ("Mid", Some(Schema::F64)),
        ("Void", Some(Schema::Unit)),
        ("Empty", Some(Schema::Struct(Vec::new()))),
    ])
}

fn inner() -> Schema {
    structure([("a \"name\"", option(Schema::String)), ("side", side())])
}

fn all() -> Schema {
    use Schema::{Signed, Tuple, Unsigned};
    structure([
        ("flag", Schema::Bool),
        ("small", Tuple(vec![Unsigned(8), Signed(8)])),
        (
            "middle",
            Tuple(vec![Unsigned(16), Signed(16), Unsigned(32), Signed(32)]),
        ),
        ("wide", Tuple(vec![Unsigned(64), Signed(64)])),
        ("widest", Tuple(vec![Unsigned(128), Signed(128)])),
        ("single", Schema::F32),
        ("double", Schema::F64),
        ("letter", Schema::Char),
        ("text", Schema::String),
        ("nothing", Schema::Unit),
        ("perhaps", option(Schema::F64)),
        ("twice", option(option(Schema::Bool))),
        ("list", list(inner())),
        ("set", list(Signed(16))),
        ("array", Schema::Array(Box::new(Unsigned(16)), 3)),
        ("pair", Tuple(vec![Signed(64), Schema::String])),
        ("wrapped", option(Unsigned(32))),
        ("bare", Schema::Unit),
        ("side", side()),
        ("by_number", map(Signed(32), Schema::F32)),
        ("by_wide", map(Unsigned(128), Schema::Bool)),
        ("by_text", map(Schema::String, list(Unsigned(8)))),
        ("by_flag", map(Schema::Bool, Schema::Unit)),
        ("by_letter", map(Schema::Char, Unsigned(8))),
        (
            "by_kind",
            map(
                variants([("Spot", None), ("Future", None)]),
                option(inner()),
            ),
        ),
        ("padding", Schema::Bytes),
    ])
}

fn a_side() -> impl Strategy<Value = Side> {
    prop_oneof![
        Just(Side::Bid),
        (any::<u32>(), any::<Option<String>>()).prop_map(|(size, note)| Side::Ask { size, note }),
        any::<(bool, char)>().prop_map(|(flag, letter)| Side::Cross(flag, letter)),
        any::<f64>().prop_map(Side::Mid),
        Just(Side::Void(())),
        Just(Side::Empty {}),
    ]
}

fn an_inner() -> impl Strategy<Value = Inner> {
    (any::<Option<String>>(), a_side()).prop_map(|(name, side)| Inner { name, side })
}

/// Any values with finite floats, which survive JSON.
fn an_all() -> impl Strategy<Value = All> {
    let few = || 0..4_usize;
    let scalars = (
        any::<bool>(),
        any::<((u8, i8), (u16, i16, u32, i32), (u64, i64), (u128, i128))>(),
        any::<(f32, f64, char, String)>(),
        any::<(Option<f64>, Option<Option<bool>>)>(),
    );
    let lists = (
        prop::collection::vec(an_inner(), few()),
        prop::collection::btree_set(any::<i16>(), few()),
        any::<([u16; 3], (i64, String), Option<u32>)>(),
        a_side(),
        prop::collection::vec(any::<u8>(), 0..300),
    );
    let maps = (
        prop::collection::btree_map(any::<i32>(), any::<f32>(), few()),
        prop::collection::btree_map(any::<u128>(), any::<bool>(), few()),
        prop::collection::btree_map(any::<String>(), any::<Vec<u8>>(), few()),
        prop::collection::btree_map(any::<bool>(), Just(()), few()),
        prop::collection::btree_map(any::<char>(), any::<u8>(), few()),
        prop::collection::btree_map(
            prop_oneof![Just(Kind::Spot), Just(Kind::Future)],
            prop::option::of(an_inner()),
            few(),
        ),
    );
    (scalars, lists, maps).prop_map(|(scalars, lists, maps)| {
        let (flag, (small, middle, wide, widest), floats, (perhaps, twice)) = scalars;
        let (single, double, letter, text) = floats;
        let (list, set, (array, pair, wrapped), side, padding) = lists;
        let (by_number, by_wide, by_text, by_flag, by_letter, by_kind) = maps;
        All {
            flag,
            small,
            middle,
            wide,
            widest,
            single,
            double,
            letter,
            text,
            nothing: (),
            perhaps,
            // `Some(None)` is `null` in JSON, and therefore becomes `None`.
            twice: twice.filter(Option::is_some),
            list,
            set,
            array,
            pair: Pair(pair.0, pair.1),
            wrapped: Wrapped(wrapped),
            bare: Bare,
            side,
            by_number,
            by_wide,
            by_text,
            by_flag,
            by_letter,
            by_kind,
            padding,
        }
    })
}

fn transcoder(schema: &Schema) -> Transcoder {
    Transcoder::new(schema).expect("a schema that can be")
}

fn to_json(schema: &Schema, datum: &[u8]) -> Result<String, TranscodeError> {
    let mut out = BytesMut::from(&b"before"[..]);
    let done = transcoder(schema).to_json(datum, &mut out);
    assert!(done.is_ok() || out == "before");
    done.map(|()| String::from_utf8(out[6..].to_vec()).expect("JSON is UTF-8"))
}

fn from_json(schema: &Schema, json: &str) -> Result<Vec<u8>, TranscodeError> {
    let mut out = BytesMut::from(&b"before"[..]);
    let done = transcoder(schema).to_postcard(json.as_bytes(), &mut out);
    assert!(done.is_ok() || out == "before");
    done.map(|()| out[6..].to_vec())
}
