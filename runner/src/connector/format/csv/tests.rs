//! Rows in any chunking, compared with the `csv` crate on the whole content.

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
    connector::{Delimiter, Format},
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
fn one_byte_order_mark_is_passed_over_and_no_second() {
    let (datums, _) = rows(b"\xef\xbb\xbf\xef\xbb\xbfa\n1\n");
    assert_eq!(datums, ["{\"\u{feff}a\":1}"]);
}

#[test]
fn quoted_fields_hold_commas_quotes_and_lines() {
    let (datums, _) = rows(b"\xef\xbb\xbf\"a,b\",c\n\"1\n2\r\n3\",\"say \"\"hi\"\"\"\n\n\"\",\n");
    assert_eq!(
        datums,
        [
            r#"{"a,b":"1\n2\r\n3","c":"say \"hi\""}"#,
            r#"{"a,b":"","c":null}"#
        ]
    );
}

#[test]
fn an_empty_quoted_field_is_text_after_one_with_quotes_where_none_belong() {
    let header = "a,b,c,d\n";
    for (row, expected) in [
        (
            "\"x\"y\"z,\"\",,1",
            r#"{"a":"xy\"z","b":"","c":null,"d":1}"#,
        ),
        ("x\"y,\"\",,1", r#"{"a":"x\"y","b":"","c":null,"d":1}"#),
        (
            "\"x\"\"y\"z,\"\",,1",
            r#"{"a":"x\"yz","b":"","c":null,"d":1}"#,
        ),
    ] {
        let text = format!("{header}{row}\n");
        for length in 1..text.len() {
            let (datums, _) = cut(1000, &chunks(text.as_bytes(), &[length]));
            let datum = String::from_utf8(datums.unwrap().remove(0)).unwrap();
            assert_eq!(datum, expected, "{row:?} in pieces of {length}");
        }
    }
}

#[test]
fn an_empty_field_is_null_and_a_quoted_one_is_text() {
    let text = b"a,b,c\n,\"\",\"x\"\"\"\n\"\",,\"\"\r\n\"\",\"\"\"\",\n";
    let expected = [
        r#"{"a":null,"b":"","c":"x\""}"#,
        r#"{"a":"","b":null,"c":""}"#,
        r#"{"a":"","b":"\"","c":null}"#,
    ];
    assert_eq!(rows(text).0, expected);
    for size in 1..text.len() {
        let (datums, _) = cut(1000, &chunks(text, &[size]));
        let datums = datums.unwrap();
        let datums: Vec<_> = datums
            .iter()
            .map(|datum| std::str::from_utf8(datum).unwrap())
            .collect();
        assert_eq!(datums, expected, "in pieces of {size}");
    }
}

#[test]
fn rows_of_another_width_are_counted_and_named_by_line() {
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
fn a_header_that_cannot_name_columns_is_an_error() {
    let duplicate = HeaderError::Duplicate { name: "a".into() };
    assert_eq!(cut(100, &[b"a,b,a\n1,2,3\n"]).0, Err(duplicate));
    assert_eq!(cut(100, &[b"a,\xff\n1,2\n"]).0, Err(HeaderError::NotUtf8));
    assert_eq!(
        cut(3, &[b"abcd,e\n"]).0,
        Err(HeaderError::TooLong { max_bytes: 3 })
    );
    assert_eq!(
        cut(100, &[b"abcd,abcd"]).0,
        Err(HeaderError::Duplicate {
            name: "abcd".into()
        })
    );
    let wide = ",".repeat(MAX_COLUMNS + 7);
    assert_eq!(
        cut(1000, &[wide.as_bytes()]).0,
        Err(HeaderError::TooManyColumns { max: MAX_COLUMNS })
    );
}

#[test]
fn many_columns_are_no_problem() {
    let header = (0..1000)
        .map(|n| format!("c{n}"))
        .collect::<Vec<_>>()
        .join(",");
    let (datums, tally) = cut(
        100_000,
        &[format!("{header}\n{}\n", vec!["1"; 1000].join(",")).as_bytes()],
    );
    let value: Value = serde_json::from_slice(&datums.unwrap()[0]).unwrap();
    assert_eq!(value.as_object().unwrap().len(), 1000);
    assert_eq!(tally.invalid, 0);
}

#[test]
fn a_quote_that_never_closes_costs_bounded_memory() {
    let max = 1024 * 1024;
    let mut cutter = Cutter::new(Format::Csv.into(), &Encoding::Json, max);
    let piece = "x,\"\"\n".repeat(20_000);
    let mut pieces: Vec<&[u8]> = vec![b"a,b\n1,2\n3,\""];
    pieces.extend(std::iter::repeat_n(piece.as_bytes(), 300));
    let mut held = 0;
    let mut tally = Tally::default();
    let mut out = FramesBuilder::new();
    for piece in pieces {
        let mut target = Target {
            out: &mut out,
            tally: &mut tally,
            postcard: None,
            full_bytes: usize::MAX,
        };
        assert_eq!(cutter.cut(piece, &mut target), Ok(piece.len()));
        held = held.max(cutter.held_bytes());
    }
    assert_eq!(out.finish().count(), 1);
    assert_eq!((tally.too_large, tally.invalid), (1, 0));
    assert_eq!(
        tally.take_first(),
        Some((3, Refusal::TooLarge { max_bytes: max }))
    );
    assert!(held <= max + 1024, "{held} bytes held");
}

#[test]
fn a_quote_that_never_closes_is_named_by_its_line_and_counts_what_it_takes() {
    let (datums, mut tally) = rows(b"id,note\n1,ok\n2,\"never\n3,c\n4,d");
    assert_eq!(datums, [r#"{"id":1,"note":"ok"}"#]);
    assert_eq!((tally.invalid, tally.too_large), (3, 0));
    assert_eq!(
        tally.take_first(),
        Some((3, Refusal::OpenQuote { lines: 3 }))
    );
    // A row beyond the record limit counts as too large, and the remaining lines as invalid.
    let long = format!("id,note\n1,ok\n2,\"never\n{}", "3,c\n".repeat(999));
    let (datums, tally) = rows(long.as_bytes());
    assert_eq!((datums.len(), tally.too_large, tally.invalid), (1, 1, 999));
    // A quote that closes at the end of the file is not open.
    let (datums, tally) = rows(b"id,note\n1,\"two\nlines\"");
    assert_eq!((datums.len(), tally.invalid), (1, 0));
}

fn cut_contents(contents: &[&str]) -> (Vec<String>, Tally) {
    let mut cutter = Cutter::new(Format::Csv.into(), &Encoding::Json, 1000);
    let (mut found, mut invalid) = (Vec::new(), 0);
    for content in contents {
        let (datums, tally) = cut_all(&mut cutter, &[content.as_bytes()], 64);
        let text = |datum| String::from_utf8(datum).unwrap();
        found.extend(datums.unwrap().into_iter().map(text));
        invalid += tally.invalid;
    }
    let mut tally = Tally::default();
    tally.invalid = invalid;
    (found, tally)
}

#[test]
fn columns_outlive_content_that_another_follows() {
    for (second, expected, invalid) in [
        // Without a header, and with the same one.
        ("3,c\n", r#"{"ts":3,"host":"c"}"#, 0),
        ("ts,host\n3,c\n", r#"{"ts":3,"host":"c"}"#, 0),
        // In another order, with another name, with another number of columns.
        ("host,ts\nc,3\n", r#"{"host":"c","ts":3}"#, 0),
        ("ts,name\n3,c\n", r#"{"ts":3,"name":"c"}"#, 0),
        ("ts,host,v\n3,c,1\n", r#"{"ts":3,"host":"c","v":1}"#, 0),
        // A row with no valid names is data; with another number of fields it is refused.
        ("1,2,3\n3,c\n", r#"{"ts":3,"host":"c"}"#, 1),
        ("a,a,a\n3,c\n", r#"{"ts":3,"host":"c"}"#, 1),
    ] {
        let (found, tally) = cut_contents(&["ts,host\n1,a\n", second]);
        assert_eq!(found, [r#"{"ts":1,"host":"a"}"#, expected], "{second}");
        assert_eq!(tally.invalid, invalid, "{second}");
    }
}

#[test]
fn a_long_quoted_field_is_warned_of_with_the_line_of_its_quote() {
    let long = "x\n".repeat(150);
    let text = format!("a,b\n\nx,y\n\"two\nlines\",\"{long}\"\nz,\"{long}\"\n");
    for size in [1, 7, 100, 10_000] {
        let (datums, mut tally) = cut(1000, &chunks(text.as_bytes(), &[size]));
        assert_eq!(datums.unwrap().len(), 3);
        let notes: Vec<_> = tally.take_notes().collect();
        let [note] = &notes[..] else {
            panic!("{notes:?}");
        };
        assert!(
            note.starts_with("line 5: the quote that opens here holds more than 100 lines"),
            "{note}"
        );
    }
    // Many lines spread over many fields cause no warning.
    let text = format!("a,b\n{}", "\"x\n\n\n\",\"\n\n\n\"\n".repeat(50));
    assert_eq!(rows(text.as_bytes()).1.take_notes().count(), 0);
}

#[test]
fn another_delimiter_cuts_and_a_wrong_one_is_told_of() {
    let cut = |delimiter: &str, text: &str| {
        let delimiter = Delimiter::try_from(delimiter).unwrap();
        let format = Format::Csv;
        let mut cutter = Cutter::new(Cut { format, delimiter }, &Encoding::Json, 1000);
        let (datums, mut tally) = cut_all(&mut cutter, &[text.as_bytes()], 64);
        let odd = tally.take_notes().next();
        (String::from_utf8(datums.unwrap().concat()).unwrap(), odd)
    };
    for (delimiter, text) in [
        (";", "id;name\n1;a,b\n"),
        ("tab", "id\tname\n1\ta,b\n"),
        ("|", "id|name\n1|a,b\n"),
    ] {
        let expected = (r#"{"id":1,"name":"a,b"}"#.to_owned(), None);
        assert_eq!(cut(delimiter, text), expected);
    }
    let (_, odd) = cut(",", "id;name\n1;a\n");
    assert!(odd.unwrap().contains("`delimiter: \";\"`"));
    let (_, odd) = cut(";", "a b\n1\n");
    assert_eq!(odd, None);
    for wrong in ["", "ab", "\"", "a", "1", "\n", "é"] {
        assert!(Delimiter::try_from(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_row_past_the_limit_is_passed_over_and_the_next_one_is_read() {
    let (datums, tally) = cut(
        20,
        &[b"a,b\n1,\"22222222222222222222222222,\n\"\"2\"\n3,4\n"],
    );
    assert_eq!(datums.unwrap(), [br#"{"a":3,"b":4}"#.to_vec()]);
    assert_eq!((tally.too_large, tally.invalid), (1, 0));
}

/// Returns whether a quote is open at the end, in which case appended bytes do not begin a new row.
fn is_open(bytes: &[u8]) -> bool {
    let count = |bytes: &[u8]| {
        let mut builder = csv::ReaderBuilder::new();
        let builder = builder.has_headers(false).flexible(true);
        builder.from_reader(bytes).byte_records().count()
    };
    count(&[bytes, b"\nx"].concat()) == count(bytes)
}

/// Computes the expected result with the `csv` crate.
fn by_csv(max: usize, bytes: &[u8]) -> Result<(Vec<Vec<u8>>, u64, u64), HeaderError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes);
    let mut records = reader.byte_records().map(Result::unwrap);
    let Some(header) = records.next() else {
        return Ok(Default::default());
    };
    if header.as_slice().len() > max {
        return Err(HeaderError::TooLong { max_bytes: max });
    }
    let mut seen = HashSet::new();
    for name in &header {
        let name = std::str::from_utf8(name).map_err(|_| HeaderError::NotUtf8)?;
        if !seen.insert(name.to_owned()) {
            return Err(HeaderError::Duplicate {
                name: name.to_owned(),
            });
        }
    }
    let (mut datums, mut too_large, mut invalid) = (Vec::new(), 0, 0);
    let records: Vec<_> = records.collect();
    let is_text = |value: &str| !value.is_empty() && !is_number(value.as_bytes());
    let is_text: Vec<bool> = (0..header.len())
        .map(|column| {
            records.iter().any(|record| {
                let is_row = record.len() == header.len() && record.as_slice().len() <= max;
                is_row && std::str::from_utf8(&record[column]).is_ok_and(is_text)
            })
        })
        .collect();
    for record in records {
        // If a row has two faults, their position in the row determines which one is found first.
        let within: usize = record.iter().take(header.len() + 1).map(<[u8]>::len).sum();
        if within > max {
            too_large += 1;
            continue;
        }
        if record.len() != header.len() {
            invalid += 1;
            continue;
        }
        let mut datum = String::new();
        let mut fault = None;
        for ((key, value), is_text) in header.iter().zip(&record).zip(&is_text) {
            datum.push(if datum.is_empty() { '{' } else { ',' });
            datum += &serde_json::to_string(std::str::from_utf8(key).unwrap()).unwrap();
            datum.push(':');
            match std::str::from_utf8(value) {
                Ok("") => datum += "null",
                Ok(value) if !is_text && is_number(value.as_bytes()) => datum += value,
                Ok(value) => datum += &serde_json::to_string(value).unwrap(),
                Err(_) => fault = fault.or(Some(Refusal::NotUtf8)),
            }
            if datum.len() >= max {
                fault = fault.or(Some(Refusal::TooLarge { max_bytes: max }));
            }
        }
        datum.push('}');
        match fault {
            None => datums.push(datum.into_bytes()),
            Some(Refusal::TooLarge { .. }) => too_large += 1,
            Some(_) => invalid += 1,
        }
    }
    Ok((datums, too_large, invalid))
}

/// Returns the fields of each record, with texts that look like numbers converted to numbers. This removes differences
/// caused only by the kind of a column.
fn without_kinds(datums: &[Vec<u8>]) -> Vec<Vec<(String, String)>> {
    let fields = |datum: &Vec<u8>| {
        let object: serde_json::Map<String, Value> = serde_json::from_slice(datum).unwrap();
        let text = |value: Value| match value {
            Value::String(text) if is_number(text.as_bytes()) => {
                serde_json::from_str::<Value>(&text).unwrap().to_string()
            }
            other => other.to_string(),
        };
        object
            .into_iter()
            .map(|(key, value)| (key, text(value)))
            .collect()
    };
    datums.iter().map(fields).collect()
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(b','), 3 => Just(b'\n'), 1 => Just(b'\r'), 2 => Just(b'"'), 3 => b'0'..=b'9', 4 => b'a'..=b'f',
        1 => Just(b'.'), 1 => Just(b'-'), 1 => any::<u8>(), 1 => Just(0xef),
    ];
    let header =
        prop_oneof![4 => Just("a,b\n"), 2 => Just("\"x\"\r\n"), 1 => Just("a,b,\n"), 2 => Just("")];
    (0usize..=3, header, prop::collection::vec(byte, 0..120)).prop_map(|(mark, header, bytes)| {
        [&b"\xef\xbb\xbf"[..mark], header.as_bytes(), &bytes].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_chunking_gives_what_the_csv_crate_reads(
        bytes in content(),
        cuts in prop::collection::vec(1usize..20, 1..6),
        max in prop_oneof![1usize..40, Just(1000)],
    ) {
        let (datums, mut tally) = cut(max, &chunks(&bytes, &cuts));
        if is_open(&bytes) {
            // Rows before the open quote are read normally, unless the open quote is in the header.
            let whole = by_csv(max, &bytes);
            let (Ok(datums), Ok((all, ..))) = (datums, whole) else { return Ok(()) };
            let is_known = memchr::memmem::find(&bytes, b"\"\"").is_none();
            if is_known && max == 1000 {
                let (all, datums) = (without_kinds(&all), without_kinds(&datums));
                prop_assert!(all.starts_with(&datums) && all.len() <= datums.len() + 1);
            }
            let refused = tally.invalid + tally.too_large;
            prop_assert!(refused > 0 && tally.take_first().is_some());
            return Ok(());
        }
        // The `csv` crate does not report which empty fields are quoted. Quoting also affects whether a row is within
        // the size limit.
        if memchr::memmem::find(&bytes, b"\"\"").is_none() {
            let whole = [&bytes[..], b"\n"].concat();
            let expected = by_csv(max, &whole);
            let (at_once, at_once_tally) = cut(max, &[&whole]);
            let at_once = at_once.map(|datums| (datums, at_once_tally.too_large, at_once_tally.invalid));
            prop_assert_eq!(&at_once, &expected);
            // In pieces, a number may be handed out before the first text of its column. Nothing else differs.
            let found = datums.map(|datums| (datums, tally.too_large, tally.invalid));
            match (found, expected) {
                (Ok(found), Ok(expected)) if max == 1000 => {
                    prop_assert_eq!(without_kinds(&found.0), without_kinds(&expected.0));
                    prop_assert_eq!((found.1, found.2), (expected.1, expected.2));
                }
                (Ok(found), Ok(expected)) => {
                    let count = |(datums, too_large, invalid): (Vec<_>, u64, u64)| {
                        datums.len() as u64 + too_large + invalid
                    };
                    prop_assert_eq!(count(found), count(expected));
                }
                (found, expected) => prop_assert_eq!(found, expected),
            }
        }
    }
}

#[test]
fn what_is_held_of_a_row_is_a_line_or_all_that_an_open_quote_has_taken_in() {
    let line = Some(Held::Line);
    let quote = |line, lines| Some(Held::OpenQuote { line, lines });
    for (text, expected) in [
        ("a,b\n", None),
        ("a,b\n1,2\n", None),
        ("a,b\n1,2", line),
        ("a,b\n1,\"2\"", line),
        ("a,b\n1,\"2", quote(2, 0)),
        ("a,b\n1,2\n\"7,8\n9,10\n11,", quote(3, 2)),
        ("a,b\n1,2,3\n\"7,8\n9,10\n", quote(3, 2)),
    ] {
        for length in 1..=text.len() {
            let mut cutter = Cutter::new(Format::Csv.into(), &Encoding::Json, 1000);
            let (mut out, mut tally) = (FramesBuilder::new(), Tally::default());
            for mut chunk in chunks(text.as_bytes(), &[length]) {
                while !chunk.is_empty() {
                    let mut target = Target {
                        out: &mut out,
                        tally: &mut tally,
                        postcard: None,
                        full_bytes: 1000,
                    };
                    chunk = &chunk[cutter.cut(chunk, &mut target).unwrap()..];
                }
            }
            assert_eq!(cutter.held(), expected, "{text:?} in pieces of {length}");
        }
    }
}
