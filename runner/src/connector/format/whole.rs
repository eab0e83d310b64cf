//! Reads a whole data file as one JSON value, with the cutters of the sources. A line that a source would skip and
//! count is an error here. No I/O.

use mosaik_streams::FramesBuilder;
use serde::de::IgnoredAny;

use crate::connector::DEFAULT_MAX_DATUM_BYTES;

use super::{
    csv::{CsvCutter, settings::CsvRead},
    framing::{HeaderError, Refusal, Tally, Target},
};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Batch size of cutting: 64 KiB. Limits the data that is held twice.
const BATCH_BYTES: usize = 64 * 1024;

/// Format of a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataFormat {
    /// Comma-separated values whose first line names the columns. Becomes a list of objects, as in the source.
    Csv,
    /// A JSON value.
    Json,
    /// One JSON value per line. Becomes a list.
    Jsonl,
}

/// The reason that a data file cannot be converted to JSON.
#[derive(Debug, thiserror::Error)]
pub enum DataFileError {
    /// The file is not one JSON value.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A line is not a JSON value.
    #[error("line {line}, column {column}: {reason}")]
    Line {
        /// The number of the line, from 1.
        line: u32,
        /// The column at which the parser stopped, from 1.
        column: usize,
        /// The message of the parser, without its position.
        reason: String,
    },
    /// The file is not in the format `csv`.
    #[error(transparent)]
    Csv(#[from] HeaderError),
    /// A row was refused.
    #[error("the row of line {line} {refusal}")]
    Row {
        /// The number of the line, from 1.
        line: u64,
        /// The reason.
        refusal: Refusal,
    },
    /// The text is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
}

/// Converts the content of a file to JSON: `csv` to a list of objects, `jsonl` to a list, `json` to its own value.
///
/// # Errors
/// The content is invalid in this format.
pub fn to_json(format: DataFormat, bytes: &[u8]) -> Result<String, DataFileError> {
    let json = match format {
        DataFormat::Csv => csv(bytes)?,
        DataFormat::Jsonl => lines(content(bytes))?,
        DataFormat::Json => {
            let content = content(bytes);
            serde_json::from_slice::<IgnoredAny>(content)?;
            content.to_vec()
        }
    };
    String::from_utf8(json).map_err(|_| DataFileError::NotUtf8)
}

fn content(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Builds a JSON list.
struct List(Vec<u8>);

impl List {
    fn add(&mut self, value: &[u8]) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.extend_from_slice(value);
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push(b']');
        self.0
    }
}

fn lines(bytes: &[u8]) -> Result<Vec<u8>, DataFileError> {
    let mut list = List(vec![b'[']);
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1u32..) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(line) {
            // The line number in the message is always 1.
            let (error, column) = (error.to_string(), error.column());
            let reason = error.split(" at line ").next().unwrap_or_default();
            return Err(DataFileError::Line {
                line: number,
                column,
                reason: reason.to_owned(),
            });
        }
        list.add(line);
    }
    Ok(list.finish())
}

fn csv(bytes: &[u8]) -> Result<Vec<u8>, DataFileError> {
    let mut cutter = CsvCutter::new(CsvRead::default(), DEFAULT_MAX_DATUM_BYTES);
    let (mut out, mut tally) = (FramesBuilder::new(), Tally::default());
    let mut list = List(vec![b'[']);
    let mut rest = Some(bytes);
    while let Some(bytes) = rest {
        let mut target = Target {
            out: &mut out,
            tally: &mut tally,
            postcard: None,
            full_bytes: BATCH_BYTES,
        };
        let cut = if bytes.is_empty() {
            rest = None;
            cutter.finish(&mut target)
        } else {
            let cut = cutter.cut(bytes, &mut target);
            cut.map(|taken| rest = bytes.get(taken..))
        };
        cut?;
        if let Some((line, refusal)) = tally.take_first() {
            return Err(DataFileError::Row { line, refusal });
        }
        for row in &out.finish() {
            list.add(row);
        }
    }
    Ok(list.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn data_files_are_converted_to_json() {
        for (format, text, expected) in [
            (
                DataFormat::Csv,
                "\u{feff}city,people,zip\r\nLisbon,545796,\n\"Oslo, NO\",1.5,007\n",
                r#"[{"city":"Lisbon","people":545796,"zip":null},{"city":"Oslo, NO","people":1.5,"zip":"007"}]"#,
            ),
            (DataFormat::Csv, "a,b\n", "[]"),
            (DataFormat::Csv, "", "[]"),
            (
                DataFormat::Jsonl,
                "\u{feff}{\"a\": 1}\r\n\n [2] \n3",
                r#"[{"a": 1},[2],3]"#,
            ),
            (DataFormat::Jsonl, "", "[]"),
            (DataFormat::Json, " {\"a\":\n[1]}\n", " {\"a\":\n[1]}\n"),
        ] {
            assert_eq!(
                to_json(format, text.as_bytes()).unwrap(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn errors_in_data_files_name_the_line() {
        for (format, text, expected) in [
            (
                DataFormat::Csv,
                &b"a,b\n1,2\n1,2,3\n"[..],
                "the row of line 3 does not have the header's 2 columns",
            ),
            (
                DataFormat::Csv,
                b"a,a\n",
                "the header names the column \"a\" twice",
            ),
            (
                DataFormat::Csv,
                b"a\n\xff\n",
                "the row of line 2 is not UTF-8",
            ),
            (
                DataFormat::Jsonl,
                b"1\n\n{\"a\":}\n",
                "line 3, column 6: expected value",
            ),
            (
                DataFormat::Json,
                b"[1,\n2",
                "EOF while parsing a list at line 2 column 1",
            ),
            (
                DataFormat::Json,
                b"",
                "EOF while parsing a value at line 1 column 0",
            ),
            (DataFormat::Json, b"\"\xff\"", "it is not UTF-8"),
        ] {
            let error = to_json(format, text).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn rows_round_trip(rows in proptest::collection::vec((any::<i64>(), "[^\0]{0,12}"), 0..300)) {
            let mut writer = ::csv::Writer::from_writer(Vec::new());
            writer.write_record(["n", "text"]).unwrap();
            for (number, text) in &rows {
                writer.write_record([&number.to_string(), &format!("t{text}")]).unwrap();
            }
            let made = to_json(DataFormat::Csv, &writer.into_inner().unwrap()).unwrap();
            let expected: Vec<Value> = rows.iter().map(|(n, text)| json!({"n": n, "text": format!("t{text}")})).collect();
            prop_assert_eq!(serde_json::from_str::<Vec<Value>>(&made).unwrap(), expected);
        }

        #[test]
        fn accepted_files_give_valid_json(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[\\[\\]{}\",:0-9a\\n\\r ]{0,40}") {
            for format in [DataFormat::Csv, DataFormat::Json, DataFormat::Jsonl] {
                for bytes in [&bytes[..], text.as_bytes()] {
                    if let Ok(json) = to_json(format, bytes) {
                        prop_assert!(serde_json::from_str::<Value>(&json).is_ok(), "{}", json);
                    }
                }
            }
        }
    }
}
