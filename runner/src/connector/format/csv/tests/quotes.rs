//! Quoted fields, empty fields, and quotes that never close.

use super::*;

#[test]
fn quoted_fields_contain_commas_quotes_and_line_ends() {
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
fn an_empty_quoted_field_is_text_after_a_field_with_stray_quotes() {
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
fn an_unclosed_quote_uses_bounded_memory() {
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
fn an_unclosed_quote_is_reported_by_line_with_the_lines_it_contains() {
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

#[test]
fn a_long_quoted_field_is_reported_with_its_first_line() {
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
fn a_partial_row_is_one_line_or_all_lines_of_its_open_quote() {
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
