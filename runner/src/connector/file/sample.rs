//! The first records of a file, for checks.

use std::path::Path;

use csv_core::{ReadFieldResult, Reader};

use crate::{connector::Format, files};

/// Size of the beginning of a file that is read: 64 KiB, and at most 1,000 of its records.
const SAMPLE_BYTES: u64 = 64 * 1024;
const SAMPLE_RECORDS: usize = 1000;

/// Returns the first records of a file as JSON objects; `None` if the file cannot be inspected.
pub(super) fn first_records(path: &Path, format: Format) -> Option<Vec<Vec<u8>>> {
    let beginning = || files::beginning(path, SAMPLE_BYTES).ok();
    match format {
        Format::Jsonl => Some(json_lines(&beginning()?)),
        Format::Csv => Some(vec![named_columns(&beginning()?)?]),
        Format::Lines => None,
    }
}

/// Returns the complete lines of a text that are JSON objects. The last line may be truncated.
fn json_lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let whole = lines.filter_map(|line| line.strip_suffix(b"\n"));
    whole
        .filter(|line| serde_json::from_slice::<serde_json::Map<_, _>>(line).is_ok())
        .take(SAMPLE_RECORDS)
        .map(<[u8]>::to_vec)
        .collect()
}

/// Returns an object with the columns of the header, which every row has. `None` if the header is incomplete.
fn named_columns(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new();
    let mut rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut columns = serde_json::Map::new();
    let mut text = vec![0; rest.len()];
    loop {
        let (result, read, written) = reader.read_field(rest, &mut text);
        rest = rest.get(read..)?;
        let ReadFieldResult::Field { record_end } = result else {
            return None;
        };
        let name = String::from_utf8(text.get(..written)?.to_vec()).ok()?;
        columns.insert(name, serde_json::Value::Null);
        if record_end {
            return serde_json::to_vec(&columns).ok();
        }
    }
}
