//! Lines in any chunking, compared with a trivial implementation on the whole content.

use mosaik_streams::Encoding;
use proptest::prelude::*;

use crate::{
    connector::Format,
    connector::format::framing::{Cutter, Refusal, Tally, chunks, cut_all},
};

fn cut(format: Format, encoding: &Encoding, max: usize, chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Tally) {
    let mut cutter = Cutter::new(format.into(), encoding, max);
    let (datums, tally) = cut_all(&mut cutter, chunks, 64);
    (datums.unwrap(), tally)
}

fn texts(datums: &[Vec<u8>]) -> Vec<&str> {
    datums
        .iter()
        .map(|datum| std::str::from_utf8(datum).unwrap())
        .collect()
}

#[test]
fn lines_are_json_strings_on_a_stream_of_json() {
    let (datums, tally) = cut(
        Format::Lines,
        &Encoding::Json,
        100,
        &[b"one\r\n\nsay \"hi\"\t\n\xff\nlast"],
    );
    assert_eq!(
        texts(&datums),
        [r#""one""#, r#""""#, r#""say \"hi\"\t""#, r#""last""#]
    );
    assert_eq!((tally.invalid, tally.too_large), (1, 0));
}

#[test]
fn lines_are_unchanged_on_streams_of_text_or_bytes() {
    let input: &[u8] = b"one\r\n\n\"two\"\n\xff\n";
    let (datums, tally) = cut(Format::Lines, &Encoding::Bytes, 100, &[input]);
    assert_eq!(datums, [&b"one"[..], b"", b"\"two\"", b"\xff"]);
    assert_eq!(tally.invalid, 0);
    let (datums, mut tally) = cut(Format::Lines, &Encoding::Text, 100, &[input]);
    assert_eq!(texts(&datums), ["one", "", "\"two\""]);
    assert_eq!(
        (tally.invalid, tally.take_first()),
        (1, Some((4, Refusal::NotUtf8)))
    );
}

#[test]
fn json_lines_are_unchanged_and_blank_lines_are_skipped() {
    let (datums, tally) = cut(
        Format::Jsonl,
        &Encoding::Json,
        100,
        &[b"\xef\xbb", b"\xbf{\"a\": 1}\r\n  \n\n[2]\n\r\n3.10"],
    );
    assert_eq!(texts(&datums), ["{\"a\": 1}", "[2]", "3.10"]);
    assert_eq!((tally.invalid, tally.too_large), (0, 0));
}

#[test]
fn a_json_string_counts_with_its_escapes_against_the_limit() {
    let (datums, tally) = cut(
        Format::Lines,
        &Encoding::Json,
        8,
        &[b"123456\n1234567\n\"\"\"\n\"\"\"\"\n"],
    );
    assert_eq!(texts(&datums), [r#""123456""#, r#""\"\"\"""#]);
    assert_eq!(tally.too_large, 2);
}

#[test]
fn a_line_of_50_mib_is_skipped_in_little_memory() {
    let max = 1024 * 1024;
    let mut cutter = Cutter::new(Format::Lines.into(), &Encoding::Text, max);
    let piece = vec![b'x'; 100_000];
    let mut pieces: Vec<&[u8]> = vec![b"before\n"];
    pieces.extend(std::iter::repeat_n(&piece[..], 524));
    pieces.push(b"\nafter\n");
    let (datums, mut tally) = cut_all(&mut cutter, &pieces, 64 * 1024);
    assert_eq!(texts(&datums.unwrap()), ["before", "after"]);
    assert_eq!((tally.too_large, tally.invalid), (1, 0));
    assert_eq!(
        tally.take_first(),
        Some((2, Refusal::TooLarge { max_bytes: max }))
    );
    assert!(
        cutter.held_bytes() <= 2 * (max + 1),
        "{} bytes held",
        cutter.held_bytes()
    );
}

/// Computes the expected result with a trivial implementation on the whole content.
fn plainly(
    format: Format,
    encoding: &Encoding,
    max: usize,
    bytes: &[u8],
) -> (Vec<Vec<u8>>, u64, u64) {
    let (mut datums, mut too_large, mut invalid) = (Vec::new(), 0, 0);
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if lines.last() == Some(&&b""[..]) {
        lines.pop();
    }
    for (index, line) in lines.into_iter().enumerate() {
        let mut trimmed = line.strip_suffix(b"\r").unwrap_or(line);
        if index == 0 && (format == Format::Jsonl || *encoding != Encoding::Bytes) {
            trimmed = trimmed.strip_prefix(b"\xef\xbb\xbf").unwrap_or(trimmed);
        }
        let is_blank = trimmed.trim_ascii().is_empty() && line.len() <= max + 1;
        if format == Format::Jsonl && is_blank {
            continue;
        }
        if trimmed.len() > max || line.len() > max + 1 {
            too_large += 1;
        } else if format == Format::Lines
            && *encoding != Encoding::Bytes
            && std::str::from_utf8(trimmed).is_err()
        {
            invalid += 1;
        } else if format == Format::Lines && *encoding == Encoding::Json {
            let datum = serde_json::to_vec(std::str::from_utf8(trimmed).unwrap()).unwrap();
            if datum.len() > max {
                too_large += 1;
            } else {
                datums.push(datum);
            }
        } else {
            datums.push(trimmed.to_vec());
        }
    }
    (datums, too_large, invalid)
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => Just(b'\n'), 2 => Just(b'\r'), 1 => Just(b' '), 2 => Just(b'"'), 6 => b'a'..=b'z', 1 => any::<u8>(),
    ];
    (any::<bool>(), prop::collection::vec(byte, 0..120)).prop_map(|(marked, mut bytes)| {
        if marked {
            bytes.splice(0..0, *b"\xef\xbb\xbf");
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_records(
        bytes in content(),
        cuts in prop::collection::vec(1usize..20, 1..6),
        max in 1usize..16,
        jsonl in any::<bool>(),
        encoding in prop_oneof![Just(Encoding::Json), Just(Encoding::Text), Just(Encoding::Bytes)],
    ) {
        let format = if jsonl { Format::Jsonl } else { Format::Lines };
        let (datums, tally) = cut(format, &encoding, max, &chunks(&bytes, &cuts));
        let expected = plainly(format, &encoding, max, &bytes);
        prop_assert_eq!((datums, tally.too_large, tally.invalid), expected);
    }
}
