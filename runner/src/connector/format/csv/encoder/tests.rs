//! Rows, and records that are not rows.

use proptest::prelude::*;

use super::*;
use crate::connector::Format;
use crate::connector::format::{
    csv::settings::{ColumnType, CsvRead, InputHeader},
    framing::{Cut, Cutter, cut_all},
};
use mosaik_streams::Encoding;

const COMMA: Dialect = Dialect {
    delimiter: b',',
    quote: Some(b'"'),
};

fn encoded(encoder: &mut CsvEncoder, records: &[&str]) -> (Vec<String>, Vec<(usize, String)>) {
    let batch: Frames = records.iter().map(|record| record.as_bytes()).collect();
    let (rows, refused) = encoder.encode(&batch);
    let rows = rows
        .iter()
        .map(|row| String::from_utf8(row.to_vec()).unwrap());
    let refused = refused.into_iter();
    let refused = refused.map(|no_row| (no_row.index, no_row.error.to_string()));
    (rows.collect(), refused.collect())
}

fn heading(encoder: &CsvEncoder) -> Option<String> {
    let heading = encoder.heading()?;
    let line = heading.get()?.clone();
    Some(String::from_utf8(line).unwrap())
}

#[test]
fn the_first_record_names_the_columns() {
    let mut encoder = CsvEncoder::new(COMMA, &OutputHeader::FirstRecord);
    assert_eq!(heading(&encoder), None);
    let (rows, refused) = encoded(
        &mut encoder,
        &[
            r#"{"id":007}"#,
            "{}",
            r#"{"id":1.50,"name":"a, b","tags":["x",1],"ok":true}"#,
            r#"{"ok":false,"id":18446744073709551615}"#,
            r#"{"id":2,"name":"","tags":null}"#,
            r#"{"id":3,"colour":"red","size":1}"#,
            r#"{"id":4,"name":"say \"hi\"\nthere"}"#,
            "[1]",
            "text",
        ],
    );
    assert_eq!(heading(&encoder).unwrap(), "id,name,tags,ok\n");
    assert_eq!(
        rows,
        [
            "1.50,\"a, b\",\"[\"\"x\"\",1]\",true",
            "18446744073709551615,,,false",
            "2,\"\",,",
            "4,\"say \"\"hi\"\"\nthere\",,",
        ]
    );
    let no_object = "it is not a JSON object, which a row of `csv` requires".to_owned();
    assert_eq!(
        refused,
        [
            (0, no_object.clone()),
            (1, no_object.clone()),
            (5, "its field \"colour\" is not a column".to_owned()),
            (7, no_object.clone()),
            (8, no_object),
        ]
    );
}

#[test]
fn a_list_sets_the_columns_and_their_order() {
    let names = ["name".to_owned(), "id;".to_owned()];
    let semicolon = Dialect {
        delimiter: b';',
        quote: Some(b'\''),
    };
    let mut encoder = CsvEncoder::new(semicolon, &OutputHeader::Names(names.to_vec()));
    assert_eq!(heading(&encoder).unwrap(), "name;'id;'\n");
    let records = [r#"{"id;":1,"name":"it's"}"#, r#"{"name":"a \"b\""}"#];
    let (rows, refused) = encoded(&mut encoder, &records);
    assert_eq!(
        (rows, refused.len()),
        (vec!["'it''s';1".to_owned(), "a \"b\";".to_owned()], 0)
    );
}

#[test]
fn a_value_that_needs_quotes_is_refused_without_them() {
    let tab = Dialect {
        delimiter: b'\t',
        quote: None,
    };
    let mut encoder = CsvEncoder::new(tab, &OutputHeader::None);
    let records = [
        r#"{"a":"say \"hi\"","b":""}"#,
        r#"{"a":"one\ttwo"}"#,
        r#"{"b":"line\n"}"#,
    ];
    let (rows, refused) = encoded(&mut encoder, &records);
    assert_eq!(rows, ["say \"hi\"\t"]);
    assert_eq!(heading(&encoder), None);
    assert_eq!(
        refused,
        [
            (
                1,
                "its field \"a\" needs quotes, and `quote` is `none`".to_owned()
            ),
            (
                2,
                "its field \"b\" needs quotes, and `quote` is `none`".to_owned()
            ),
        ]
    );
}

#[test]
fn a_row_of_one_empty_column_is_not_an_empty_line() {
    let mut encoder = CsvEncoder::new(COMMA, &OutputHeader::None);
    let (rows, _) = encoded(
        &mut encoder,
        &[r#"{"a":null}"#, r#"{"a":""}"#, r#"{"a":0}"#],
    );
    assert_eq!(rows, ["\"\"", "\"\"", "0"]);
}

proptest! {
    /// What a sink writes, a source with the same settings reads.
    #[test]
    fn rows_are_read_as_they_were(
        rows in proptest::collection::vec((any::<i64>(), any::<bool>(), "\\PC{0,6}[\n\r,;\"'\t]{0,3}\\PC{0,6}"), 1..20),
        delimiter in prop::sample::select(b",;\t|".to_vec()),
        quote in prop::sample::select(b"\"'".to_vec()),
    ) {
        let dialect = Dialect { delimiter, quote: Some(quote) };
        let mut encoder = CsvEncoder::new(dialect, &OutputHeader::FirstRecord);
        let records: Vec<String> = rows
            .iter()
            .map(|(n, is, text)| serde_json::json!({"n": n, "is": is, "text": text}).to_string())
            .collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let (lines, refused) = encoded(&mut encoder, &records);
        prop_assert!(refused.is_empty());
        let content = heading(&encoder).unwrap() + &lines.join("\n") + "\n";
        let csv = CsvRead {
            dialect,
            header: InputHeader::FirstLine,
            types: vec![
                ("is".to_owned(), ColumnType::Boolean),
                ("text".to_owned(), ColumnType::String),
            ],
        };
        let mut cutter = Cutter::new(Cut { format: Format::Csv, csv }, &Encoding::Json, 10_000);
        let (read, tally) = cut_all(&mut cutter, &[content.as_bytes()], 64);
        prop_assert_eq!(tally.invalid, 0);
        let read: Vec<String> = read.unwrap().into_iter().map(|row| String::from_utf8(row).unwrap()).collect();
        prop_assert_eq!(read, records);
    }
}
