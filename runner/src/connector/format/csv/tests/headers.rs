//! Headers, delimiters, and columns that outlive their content.

use super::*;

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
fn many_columns_are_supported() {
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
fn columns_are_kept_for_the_next_file() {
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
fn a_wrong_delimiter_is_reported() {
    let cut = |delimiter: &str, text: &str| {
        let delimiter = Delimiter::try_from(delimiter).unwrap();
        let format = Format::Csv;
        let csv = CsvRead {
            dialect: Dialect {
                delimiter: delimiter.byte(),
                ..Dialect::default()
            },
            ..CsvRead::default()
        };
        let mut cutter = Cutter::new(Cut { format, csv }, &Encoding::Json, 1000);
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
    assert!(odd.unwrap().contains("`csv: {delimiter: \";\"}`"));
    let (_, odd) = cut(";", "a b\n1\n");
    assert_eq!(odd, None);
    for wrong in ["", "ab", "\"", "a", "1", "\n", "é"] {
        assert!(Delimiter::try_from(wrong).is_err(), "{wrong:?}");
    }
}
