//! Going on at a place gives the records of one run.

use mosaik_streams::Encoding;
use proptest::prelude::*;

use super::*;
use crate::connector::Format;

/// Where a run stops or begins.
#[derive(Debug, Clone)]
struct Stop {
    /// The content, and the offset in it.
    content: usize,
    offset: usize,
    /// The end of the chunk that was read last.
    read: usize,
    place: String,
}

/// The settings of a run.
#[derive(Debug, Clone, Copy)]
struct Run<'a> {
    contents: &'a [Vec<u8>],
    format: Format,
    chunk: usize,
    batch: usize,
    max: usize,
}

impl Run<'_> {
    fn intake(self) -> Intake {
        let context = SourceContext {
            max_datum_bytes: self.max,
            batch_bytes: self.batch,
            ..SourceContext::new(Encoding::Json)
        };
        Intake::new("test".to_owned(), self.format.into(), &context).unwrap()
    }

    /// Reads from the start or a stop, up to the end or this number of batches.
    fn read(self, from: Option<&Stop>, batches: usize) -> (Vec<Vec<u8>>, SourceCounts, Stop) {
        let mut intake = self.intake();
        let (mut content, mut at, mut chunk_end) = (0, 0, 0);
        if let Some(stop) = from {
            (content, at, chunk_end) = (stop.content, stop.offset, stop.read);
            let place = serde_json::from_str(&stop.place).unwrap();
            intake.resume(&place, at > 0).unwrap();
        }
        let mut records = Vec::new();
        let mut left = batches;
        let stop = |intake: &Intake, content: usize, at: usize| {
            let (unread, place) = intake.place();
            Stop {
                content,
                offset: at - usize::try_from(unread).unwrap(),
                read: at,
                place: serde_json::to_string(&place).unwrap(),
            }
        };
        loop {
            // Whatever happens before a batch does not change its place.
            let batch = match intake.cut().unwrap() {
                Some(batch) => Some(batch),
                None if content == self.contents.len() => break,
                None if at == self.contents[content].len() => {
                    (content, at, chunk_end) = (content + 1, 0, 0);
                    // A buffer is emptied before the next content.
                    intake.buffer();
                    intake.finish().unwrap()
                }
                None => {
                    let grid = (at / self.chunk + 1) * self.chunk;
                    let end = if at < chunk_end { chunk_end } else { grid };
                    let end = end.min(self.contents[content].len());
                    let bytes = &self.contents[content][at..end];
                    intake.buffer().extend_from_slice(bytes);
                    at = end;
                    None
                }
            };
            let Some(batch) = batch else { continue };
            records.extend(batch.iter().map(<[u8]>::to_vec));
            left = left.saturating_sub(1);
            if left == 0 {
                break;
            }
        }
        let stop = stop(&intake, content, at);
        (records, intake.counts(), stop)
    }
}

/// Text with quotes and line ends, numbers and texts.
fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[0-9]{1,3}",
        2 => "[a-z]{0,3}",
        1 => "\"[a-z,\\n]{0,6}\"",
        1 => "\"a\"\"[a-z\\r\\n]{0,3}\"",
        1 => "[a-z]{30,90}",
        1 => Just(String::new()),
    ]
}

fn csv() -> impl Strategy<Value = String> {
    let row = prop_oneof![
        8 => (field(), field()).prop_map(|(a, b)| format!("{a},{b}")),
        1 => Just(String::new()),
        1 => "[0-9],[0-9],[0-9]",
        1 => Just("a,b".to_owned()),
    ];
    // A column of numbers that becomes text behind the sample.
    let late = (0usize..130).prop_map(|rows| "1,2\n".repeat(rows));
    let end = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
    let rows = proptest::collection::vec((row, end), 0..25);
    let last = prop_oneof![4 => Just(""), 1 => Just("\"open\nquote\n"), 1 => Just("7,8")];
    let mark = prop_oneof![3 => Just(""), 1 => Just("\u{feff}")];
    let header = prop_oneof![3 => Just("a,b\n"), 1 => Just("\na,b\r\n"), 1 => Just("b,a\n")];
    (mark, header, late, rows, last).prop_map(|(mark, header, late, rows, last)| {
        let rows = rows.into_iter().map(|(row, end)| row + end);
        format!("{mark}{header}{late}{}{last}", rows.collect::<String>())
    })
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => "[a-z]{0,12}".prop_map(String::into_bytes),
        1 => "[a-z]{30,100}".prop_map(String::into_bytes),
        1 => Just(b"a\xff".to_vec()),
        1 => Just(b" ".to_vec()),
    ];
    let end = prop_oneof![Just(&b"\n"[..]), Just(&b"\r\n"[..])];
    let lines = proptest::collection::vec((line, end), 0..40);
    let mark = prop_oneof![Just(&b""[..]), Just("\u{feff}".as_bytes())];
    (mark, lines, any::<bool>()).prop_map(|(mark, lines, is_ended)| {
        let lines = lines.into_iter().map(|(line, end)| [&line, end].concat());
        let mut all = [mark.to_vec(), lines.collect::<Vec<_>>().concat()].concat();
        if !is_ended {
            all.extend_from_slice(b"rest");
        }
        all
    })
}

fn content() -> impl Strategy<Value = (Format, Vec<Vec<u8>>)> {
    let csv = csv().prop_map(String::into_bytes);
    prop_oneof![
        3 => proptest::collection::vec(csv, 1..4).prop_map(|all| (Format::Csv, all)),
        1 => proptest::collection::vec(lines(), 1..4).prop_map(|all| (Format::Lines, all)),
        1 => proptest::collection::vec(lines(), 1..4).prop_map(|all| (Format::Jsonl, all)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn runs_that_go_on_give_the_records_and_counts_of_one_run(
        (format, contents) in content(),
        chunk in 1usize..200,
        batch in 1usize..120,
        crashes in proptest::collection::vec(1usize..12, 1..5),
    ) {
        let run = Run { contents: &contents, format, chunk, batch, max: 24 };
        let (expected, counts, _) = run.read(None, usize::MAX);
        let sum = |a: SourceCounts, b: SourceCounts| SourceCounts {
            datums: a.datums + b.datums,
            bytes: a.bytes + b.bytes,
            too_large: a.too_large + b.too_large,
            invalid: a.invalid + b.invalid,
            mixed: a.mixed + b.mixed,
            ..a
        };
        let (mut found, mut stop, mut total) = (Vec::new(), None, SourceCounts::default());
        for batches in crashes.into_iter().chain([usize::MAX]) {
            let (records, counted, next) = run.read(stop.as_ref(), batches);
            found.extend(records);
            total = sum(total, counted);
            stop = Some(next);
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(total, counts);
    }
}
