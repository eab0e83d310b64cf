//! The errors for records that do not match a schema, and for invalid schemas.

use super::{
    Schema, TranscodeError, Transcoder, from_json, list, map, option, side, structure, to_json,
    variants,
};
use crate::schema::{MAX_SCHEMA_DEPTH, SchemaError};

fn order() -> Schema {
    let leg = structure([("price", Schema::F64), ("side", side())]);
    structure([
        ("id", Schema::Unsigned(8)),
        ("legs", list(leg)),
        ("labels", map(Schema::String, Schema::Char)),
        ("note", option(Schema::String)),
    ])
}

#[test]
fn a_refusal_of_json_names_the_field() {
    for (json, said) in [
        (r#"{"legs":[],"labels":{}}"#, "missing field `id`"),
        (r#"{"id":1,"id":2}"#, "duplicate field `id`"),
        (
            r#"{"id":300}"#,
            "`id`: invalid value: integer `300`, expected u8",
        ),
        (
            r#"{"id":-1}"#,
            "`id`: invalid value: integer `-1`, expected u8",
        ),
        (
            r#"{"id":"1"}"#,
            "`id`: invalid type: string \"1\", expected u8",
        ),
        (
            r#"{"id":1.5}"#,
            "`id`: invalid type: floating point `1.5`, expected u8",
        ),
        (
            r#"{"note":7}"#,
            "`note`: invalid type: integer `7`, expected a string",
        ),
        (
            r#"{"legs":[{"price":1,"side":"Bid"},{"price":null}]}"#,
            "`legs.1.price`: invalid type: null, expected f64",
        ),
        (
            r#"{"legs":[{"price":1}]}"#,
            "`legs.0`: missing field `side`",
        ),
        (
            r#"{"legs":[{"side":"Buy"}]}"#,
            "`legs.0.side`: unknown variant `Buy`, expected one of `Bid`, `Ask`",
        ),
        (
            r#"{"legs":[{"side":{"Ask":{"note":null}}}]}"#,
            "`legs.0.side.Ask`: missing field `size`",
        ),
        (
            r#"{"legs":[{"side":{"Cross":[true]}}]}"#,
            "`legs.0.side.Cross`: invalid length 1, expected a list of 2",
        ),
        (
            r#"{"labels":{"a":"xy"}}"#,
            "`labels.a`: invalid value: string \"xy\", expected a character",
        ),
        ("7", "invalid type: integer `7`, expected an object"),
        (r#"{"id":"#, "`id`: EOF while parsing a value"),
    ] {
        let error = from_json(&order(), json).unwrap_err().to_string();
        let expected = format!("invalid for the schema: {said}");
        assert!(error.starts_with(&expected), "{json}: {error}");
    }
}

#[test]
fn a_refusal_of_postcard_names_the_field() {
    let nan = f64::NAN.to_le_bytes();
    let leg = |rest: &[u8]| [&[1, 1][..], &nan, rest].concat();
    for (datum, said) in [
        (vec![], "`id`: the record ends too early"),
        (vec![1, 200], "`legs`: the record ends too early"),
        (leg(&[9]), "`legs.0.side`: no variant number 9"),
        (
            leg(&[2, 5]),
            "`legs.0.side.Cross.0`: the byte 5 is neither 0 nor 1",
        ),
        (
            leg(&[2, 1, 2, b'a', b'b']),
            "`legs.0.side.Cross.1`: not exactly one character",
        ),
        (
            leg(&[1, 255, 255, 255, 255, 31]),
            "`legs.0.side.Ask.size`: the number exceeds its type",
        ),
        (vec![1, 0, 1, 1, 0xff], "`labels.0`: not UTF-8"),
        (
            vec![1, 0, 1, 1, b'k', 0],
            "`labels.k`: not exactly one character",
        ),
        (vec![1, 0, 0, 2], "`note`: the byte 2 is neither 0 nor 1"),
    ] {
        let error = to_json(&order(), &datum).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("invalid for the schema: {said}"),
            "{datum:?}"
        );
    }
}

#[test]
fn what_comes_out_is_bounded_whatever_goes_in() {
    let limit = |schema: &Schema| Transcoder::new(schema).unwrap().with_max_datum_bytes(1000);
    let hostile = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
    for schema in [
        list(Schema::Unit),
        list(Schema::Struct(Vec::new())),
        list(Schema::Array(Box::new(Schema::Unit), u32::MAX)),
        list(Schema::Tuple(Vec::new())),
    ] {
        let mut out = bytes::BytesMut::new();
        let refused = limit(&schema).to_json(&hostile, &mut out);
        assert_eq!(refused, Err(TranscodeError::TooLarge { max_bytes: 1000 }));
        assert!(out.is_empty());
    }
    let datum = postcard::to_stdvec(&vec![255_u8; 600]).unwrap();
    let mut out = bytes::BytesMut::new();
    let too_large = Err(TranscodeError::TooLarge { max_bytes: 1000 });
    assert_eq!(limit(&Schema::Bytes).to_json(&datum, &mut out), too_large);
    let json = format!("[{:?}]", "x".repeat(999));
    let schema = list(Schema::String);
    assert_eq!(
        limit(&schema).to_postcard(json.as_bytes(), &mut out),
        too_large
    );
    let json = format!("[{:?}]", "x".repeat(997));
    assert_eq!(
        limit(&schema).to_postcard(json.as_bytes(), &mut out),
        Ok(())
    );
    assert_eq!(out.len(), 1000);
}

#[test]
fn schemas_that_cannot_be_are_refused() {
    let nested = |depth| (1..depth).fold(Schema::Bool, |inner, _| option(inner));
    assert_eq!(nested(MAX_SCHEMA_DEPTH).check(), Ok(()));
    assert_eq!(
        nested(MAX_SCHEMA_DEPTH + 1).check(),
        Err(SchemaError::TooDeep)
    );
    assert_eq!(Schema::Unsigned(7).check(), Err(SchemaError::Bits(7)));
    let twice = structure([("a", Schema::Bool), ("a", Schema::Bool)]);
    assert_eq!(twice.check(), Err(SchemaError::Twice("a".into())));
    let twice = variants([("A", None), ("A", None)]);
    assert_eq!(list(twice).check(), Err(SchemaError::Twice("A".into())));
    for key in [
        Schema::F64,
        Schema::Bytes,
        Schema::Unit,
        option(Schema::String),
        side(),
    ] {
        assert_eq!(map(key, Schema::Bool).check(), Err(SchemaError::Key));
    }
    let inside = variants([("A", Some(list(Schema::Signed(0))))]);
    assert_eq!(inside.check(), Err(SchemaError::Bits(0)));
}

#[test]
fn the_deepest_schema_is_read_from_json() {
    let schema = (1..MAX_SCHEMA_DEPTH).fold(Schema::Bool, |inner, _| list(inner));
    let deep = MAX_SCHEMA_DEPTH - 1;
    let json = format!("{}true{}", "[".repeat(deep), "]".repeat(deep));
    let datum = from_json(&schema, &json).unwrap();
    assert_eq!(datum, vec![1; MAX_SCHEMA_DEPTH]);
    assert_eq!(to_json(&schema, &datum).unwrap(), json);
}
