//! Rows and their fields.

mod headers;
mod oracle;
mod quotes;
mod settings;
mod typing;

use std::collections::HashSet;

use mosaik_streams::{Encoding, FramesBuilder};
use proptest::prelude::*;
use serde_json::Value;

use crate::{
    connector::format::{
        csv::MAX_COLUMNS,
        framing::{Cut, Cutter, HeaderError, Held, Refusal, Tally, Target, chunks, cut_all},
        json::is_number,
    },
    connector::{
        Delimiter, Format,
        format::csv::settings::{CsvRead, Dialect},
    },
};

fn cut(max: usize, chunks: &[&[u8]]) -> (Result<Vec<Vec<u8>>, HeaderError>, Tally) {
    cut_all(
        &mut Cutter::new(Format::Csv.into(), &Encoding::Json, max),
        chunks,
        64,
    )
}

fn rows(input: &[u8]) -> (Vec<String>, Tally) {
    let (datums, tally) = cut(1000, &[input]);
    (
        datums
            .unwrap()
            .into_iter()
            .map(|datum| String::from_utf8(datum).unwrap())
            .collect(),
        tally,
    )
}

#[test]
fn a_row_is_an_object_in_the_order_of_the_header() {
    let (datums, tally) = rows(b"symbol,date,price\r\nMSFT,Jan 1 2000,39.81\r\nGOOG,,223.02");
    assert_eq!(
        datums,
        [
            r#"{"symbol":"MSFT","date":"Jan 1 2000","price":39.81}"#,
            r#"{"symbol":"GOOG","date":null,"price":223.02}"#
        ]
    );
    assert_eq!((tally.invalid, tally.too_large), (0, 0));
}

#[test]
fn numbers_stay_as_written() {
    let numbers = ["1.50", "1e5", "-0", "0.1", "12"];
    let (datums, tally) = rows(format!("v\n{}\n\"7\"\n\n,\n", numbers.join("\n")).as_bytes());
    let expected = numbers.iter().chain(&["7"]);
    let expected: Vec<_> = expected.map(|value| format!("{{\"v\":{value}}}")).collect();
    assert_eq!(datums, expected);
    assert_eq!((tally.mixed, tally.invalid), (0, 1));
}

#[test]
fn only_the_first_byte_order_mark_is_skipped() {
    let (datums, _) = rows(b"\xef\xbb\xbf\xef\xbb\xbfa\n1\n");
    assert_eq!(datums, ["{\"\u{feff}a\":1}"]);
}

#[test]
fn rows_of_another_width_are_counted_and_reported_by_line() {
    let (datums, mut tally) = rows(b"a,b\n\r\n\"x\ny\",1\r\n2\n3,4\n5,6,7\n8,\xff\n9,9\n");
    assert_eq!(
        datums,
        [
            r#"{"a":"x\ny","b":1}"#,
            r#"{"a":"3","b":4}"#,
            r#"{"a":"9","b":9}"#
        ]
    );
    assert_eq!((tally.invalid, tally.too_large), (3, 0));
    assert_eq!(
        tally.take_first(),
        Some((5, Refusal::Columns { expected: 2 }))
    );
}

#[test]
fn a_row_above_the_limit_is_skipped_and_the_next_is_read() {
    let (datums, tally) = cut(
        20,
        &[b"a,b\n1,\"22222222222222222222222222,\n\"\"2\"\n3,4\n"],
    );
    assert_eq!(datums.unwrap(), [br#"{"a":3,"b":4}"#.to_vec()]);
    assert_eq!((tally.too_large, tally.invalid), (1, 0));
}
