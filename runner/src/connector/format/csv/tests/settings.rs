//! Names, types and quotes that are set.

use super::*;
use crate::connector::{ColumnType, InputHeader};

/// Cuts contents one after the other, each in chunks of 3 bytes. Returns the records, and the reasons of refusals.
fn cut_with(csv: CsvRead, contents: &[&str]) -> (Vec<String>, Vec<String>, Vec<String>) {
    let format = Format::Csv;
    let mut cutter = Cutter::new(Cut { format, csv }, &Encoding::Json, 1000);
    let (mut found, mut refused, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for content in contents {
        let (datums, mut tally) = cut_all(&mut cutter, &chunks(content.as_bytes(), &[3]), 64);
        let text = |datum| String::from_utf8(datum).unwrap();
        found.extend(datums.unwrap().into_iter().map(text));
        notes.extend(tally.take_notes());
        let reasons = tally.take_refused();
        refused.extend(reasons.map(|refused| format!("line {} {}", refused.line, refused.refusal)));
    }
    (found, refused, notes)
}

fn names(names: &[&str]) -> InputHeader {
    InputHeader::Names(names.iter().map(|name| (*name).to_owned()).collect())
}

fn types(types: &[(&str, ColumnType)]) -> Vec<(String, ColumnType)> {
    let owned = types
        .iter()
        .map(|(name, column)| ((*name).to_owned(), *column));
    owned.collect()
}

#[test]
fn names_that_are_set_make_the_first_line_a_row() {
    let csv = CsvRead {
        header: names(&["id", "name"]),
        ..CsvRead::default()
    };
    let (found, refused, _) = cut_with(csv, &["\u{feff}1,a\n2,b\n1,2,3\n", "id,name\n"]);
    assert_eq!(
        found,
        [
            r#"{"id":1,"name":"a"}"#,
            r#"{"id":2,"name":"b"}"#,
            r#"{"id":"id","name":"name"}"#,
        ]
    );
    assert_eq!(refused, ["line 3 does not have the header's 2 columns"]);
}

#[test]
fn columns_without_names_are_numbered() {
    let csv = CsvRead {
        header: InputHeader::Numbered,
        types: types(&[("column2", ColumnType::String), ("x", ColumnType::Number)]),
        ..CsvRead::default()
    };
    let (found, refused, notes) = cut_with(csv, &["1,007\n2\n", "3,4\n"]);
    assert_eq!(
        found,
        [
            r#"{"column1":1,"column2":"007"}"#,
            r#"{"column1":3,"column2":"4"}"#,
        ]
    );
    assert_eq!(refused, ["line 2 does not have the header's 2 columns"]);
    assert_eq!(
        notes,
        ["`types` names the column \"x\", which the content does not have"]
    );
}

#[test]
fn the_first_row_may_be_too_long_if_it_names_no_columns() {
    for header in [names(&["a", "b"]), InputHeader::Numbered] {
        let csv = CsvRead {
            header,
            ..CsvRead::default()
        };
        let format = Format::Csv;
        let mut cutter = Cutter::new(Cut { format, csv }, &Encoding::Json, 30);
        let content = format!("{},1\n2,3\n", "x".repeat(40));
        let (datums, tally) = cut_all(&mut cutter, &[content.as_bytes()], 64);
        assert_eq!((datums.unwrap().len(), tally.too_large), (1, 1));
    }
}

#[test]
fn a_type_that_is_set_decides_each_value() {
    let csv = CsvRead {
        types: types(&[
            ("zip", ColumnType::String),
            ("n", ColumnType::Number),
            ("flag", ColumnType::Boolean),
        ]),
        ..CsvRead::default()
    };
    let text = "zip,n,flag,other\n\
                01234,007,TRUE,1\n\
                5,+1.50,0,2\n\
                ,,,\n\
                \"\",\"\",\"\",3\n\
                6,n/a,true,4\n\
                7,8,maybe,5\n\
                9,n/b,false,6\n";
    let (found, refused, notes) = cut_with(csv, &[text]);
    assert_eq!(
        found,
        [
            r#"{"zip":"01234","n":7,"flag":true,"other":1}"#,
            r#"{"zip":"5","n":1.50,"flag":false,"other":2}"#,
            r#"{"zip":null,"n":null,"flag":null,"other":null}"#,
            r#"{"zip":"","n":null,"flag":null,"other":3}"#,
        ]
    );
    assert_eq!(
        refused,
        [
            "line 6 has a value in the column \"n\" that is not a number",
            "line 7 has a value in the column \"flag\" that is not a boolean",
        ]
    );
    assert!(notes.is_empty());
}

#[test]
fn another_quote_or_none_is_read() {
    let with = |quote| CsvRead {
        dialect: Dialect {
            delimiter: b'\t',
            quote,
        },
        ..CsvRead::default()
    };
    let (found, ..) = cut_with(with(Some(b'\'')), &["a\tb\n'x\ty'\t''\n\"1\t'it''s'\n"]);
    assert_eq!(
        found,
        [r#"{"a":"x\ty","b":""}"#, r#"{"a":"\"1","b":"it's"}"#]
    );
    let (found, refused, _) = cut_with(with(None), &["a\tb\n\"x\t''\n5\"\t\n"]);
    assert_eq!(
        found,
        [r#"{"a":"\"x","b":"''"}"#, r#"{"a":"5\"","b":null}"#]
    );
    assert!(refused.is_empty());
}

#[test]
fn columns_of_earlier_content_take_the_settings_of_their_reader() {
    let header = |csv: CsvRead, content: &str| {
        let format = Format::Csv;
        let mut cutter = Cutter::new(Cut { format, csv }, &Encoding::Json, 1000);
        let mut tally = Tally::default();
        let mut out = FramesBuilder::new();
        let mut target = Target {
            out: &mut out,
            tally: &mut tally,
            postcard: None,
            full_bytes: 1000,
        };
        cutter.cut(content.as_bytes(), &mut target).unwrap();
        cutter.header().unwrap()
    };
    let next = |header, csv| {
        let format = Format::Csv;
        let mut cutter = Cutter::new(Cut { format, csv }, &Encoding::Json, 1000);
        cutter.go_on_with(header);
        assert!(cutter.header().is_some());
        let (datums, _) = cut_all(&mut cutter, &[b"2,3\n"], 64);
        String::from_utf8(datums.unwrap().concat()).unwrap()
    };
    let read = |types: &[(&str, ColumnType)]| CsvRead {
        types: self::types(types),
        ..CsvRead::default()
    };
    let first = || header(read(&[("a", ColumnType::String)]), "a,b\n1,x\n");
    assert_eq!(next(first(), read(&[])), r#"{"a":2,"b":"3"}"#);
    let set = read(&[("b", ColumnType::Number)]);
    assert_eq!(next(first(), set), r#"{"a":2,"b":3}"#);
    let named = CsvRead {
        header: names(&["b", "c"]),
        ..CsvRead::default()
    };
    assert_eq!(next(first(), named), r#"{"b":"2","c":3}"#);
}
