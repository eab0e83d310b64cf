//! Detection of columns of numbers and of text.

use super::*;

/// Cuts several contents, one after the other and each in chunks. Returns the values of the only column as JSON, the
/// number of mixed values, and the notes.
fn values(contents: &[&[&str]]) -> (Vec<String>, u64, Vec<String>) {
    let mut cutter = Cutter::new(Format::Csv.into(), &Encoding::Json, 1000);
    let (mut found, mut mixed, mut notes) = (Vec::new(), 0, Vec::new());
    for content in contents {
        let chunks: Vec<_> = content.iter().map(|chunk| chunk.as_bytes()).collect();
        let (datums, mut tally) = cut_all(&mut cutter, &chunks, 64);
        for datum in datums.unwrap() {
            let text = String::from_utf8(datum).unwrap();
            let value = text.strip_prefix("{\"v\":").unwrap_or(&text);
            found.push(value.strip_suffix('}').unwrap().to_owned());
        }
        mixed += tally.mixed;
        notes.extend(tally.take_notes());
    }
    (found, mixed, notes)
}

fn lines(values: &[&str]) -> String {
    let lines = values.iter().flat_map(|value| [value, "\n"]);
    lines.collect()
}

#[test]
fn a_column_that_mixes_numbers_and_texts_is_text() {
    for odd in [
        "007",
        "+1",
        "1e999",
        " 1",
        "true",
        "n/a",
        "92233720368547758079",
    ] {
        let text = lines(&["v", "12", "3.5", odd, "4", "\"5\""]);
        let (found, mixed, notes) = values(&[&[&text]]);
        let expected = ["12", "3.5", odd, "4", "5"].map(|value| format!("\"{value}\""));
        assert_eq!(found, expected);
        assert_eq!((mixed, notes.len()), (0, 0));
    }
}

#[test]
fn an_empty_field_does_not_determine_the_type_of_its_column() {
    let (datums, tally) = rows(b"a,b,c\n,\"\",\n1,2,\n,,x\n\"\",3,\n");
    let expected = [
        r#"{"a":null,"b":"","c":null}"#,
        r#"{"a":1,"b":2,"c":null}"#,
        r#"{"a":null,"b":null,"c":"x"}"#,
        r#"{"a":"","b":3,"c":null}"#,
    ];
    assert_eq!(datums, expected);
    assert_eq!(tally.mixed, 0);
}

#[test]
fn columns_are_typed_independently_and_refused_rows_are_ignored() {
    let long = "x".repeat(1001);
    let text = format!("a,b\n1,x\nn/a,2,3\n{long},y\nn/a\n2,3\n");
    let (datums, tally) = rows(text.as_bytes());
    assert_eq!(datums, [r#"{"a":1,"b":"x"}"#, r#"{"a":2,"b":"3"}"#]);
    assert_eq!((tally.mixed, tally.invalid, tally.too_large), (0, 2, 1));
}

#[test]
fn a_text_after_the_sample_stays_text_and_is_counted() {
    let mut all = vec!["v"];
    all.extend(["1"; 100]);
    all.extend(["n/a", "2", "", "007", "3"]);
    let (found, mixed, notes) = values(&[&[&lines(&all)]]);
    assert_eq!(found[..100], vec!["1"; 100]);
    assert_eq!(found[100..], ["\"n/a\"", "2", "\"007\"", "3"]);
    assert_eq!(mixed, 2);
    let [note] = &notes[..] else {
        panic!("{notes:?}");
    };
    assert!(
        note.starts_with("line 102: the column \"v\" has numbers"),
        "{note}"
    );
    // One row earlier it is part of the sample.
    all.remove(1);
    let (found, mixed, _) = values(&[&[&lines(&all)]]);
    assert_eq!(
        (found[0].as_str(), found[100].as_str(), mixed),
        ("\"1\"", "\"2\"", 0)
    );
}

#[test]
fn a_sample_is_at_most_64_kib() {
    let wide = format!("{},1\n", "x".repeat(900));
    let text = |rows: usize| format!("w,v\n{}y,z\n", wide.repeat(rows));
    let is_text = |rows: usize| rows_of(&text(rows))[0].ends_with("\"v\":\"1\"}");
    // 72 rows of 903 bytes, and one of 4 bytes.
    assert!(is_text(72));
    assert!(!is_text(73));
}

fn rows_of(text: &str) -> Vec<String> {
    rows(text.as_bytes()).0
}

#[test]
fn single_rows_are_sampled_without_waiting() {
    let (found, mixed, notes) = values(&[&["v\n", "1\n2\n", "", "3\n", "a\n", "4\n"]]);
    assert_eq!(found, ["1", "2", "3", "\"a\"", "\"4\""]);
    assert_eq!(mixed, 3);
    let [note] = &notes[..] else {
        panic!("{notes:?}");
    };
    assert!(
        note.starts_with("line 5: the column \"v\" is text from here on"),
        "{note}"
    );
    assert!(note.contains("3 of its values"), "{note}");
    let mut one_by_one = vec!["v\n"];
    one_by_one.extend(["1\n"; 100]);
    one_by_one.extend(["a\n", "2\n"]);
    let (found, mixed, _) = values(&[&one_by_one]);
    assert_eq!(
        (found[100].as_str(), found[101].as_str(), mixed),
        ("\"a\"", "2", 1)
    );
}

#[test]
fn rows_in_pairs_count_individually_in_the_sample() {
    let pairs = ["1\n1\n"; 49];
    // The 100th row is part of the sample; the next one is not.
    for (rest, mixed) in [("1\na\n", 98), ("1\n1\na\n", 1)] {
        let chunks = [&["v\n"][..], &pairs, &[rest]].concat();
        assert_eq!(values(&[&chunks]).1, mixed);
    }
}

#[test]
fn a_column_empty_in_the_sample_takes_the_type_of_its_first_value() {
    let empty = "x,\n".repeat(100);
    for (first, second, expected, mixed) in [
        ("1", "a", ["1", "\"a\""], 1),
        ("a", "1", ["\"a\"", "\"1\""], 0),
    ] {
        let text = format!("w,v\n{empty}x,{first}\nx,{second}\n");
        let (datums, tally) = rows(text.as_bytes());
        let expected = expected.map(|value| format!("{{\"w\":\"x\",\"v\":{value}}}"));
        assert_eq!(datums[100..], expected);
        assert_eq!(tally.mixed, mixed);
    }
}

#[test]
fn column_types_are_kept_for_the_next_file() {
    let sample = lines(&[&["v"][..], &["1"; 99]].concat());
    for header in ["", "v\n"] {
        // The last row of the sample.
        let (found, mixed, _) = values(&[&[&sample], &[&format!("{header}2\na\n3\n")]]);
        assert_eq!(found[99..], ["2", "\"a\"", "3"]);
        assert_eq!(mixed, 1);
        let text = lines(&["v", "1", "a"]);
        let (found, ..) = values(&[&[&text], &[&format!("{header}2\n")]]);
        assert_eq!(found, ["\"1\"", "\"a\"", "\"2\""]);
    }
    // New columns have their own sample.
    let second = format!("v,w\na,1\n2,{}\n", "b");
    let sample = lines(&[&["v"][..], &["1"; 100]].concat());
    let (found, mixed, _) = values(&[&[&sample], &[&second]]);
    assert_eq!(found[100..], ["\"a\",\"w\":\"1\"", "2,\"w\":\"b\""]);
    assert_eq!(mixed, 1);
}
