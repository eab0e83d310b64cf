//! The first records of a file, for checks.

use std::path::Path;

use serde_json::{Map, Value};

use super::columns;
use crate::{
    connector::{Format, format::framing::Cut},
    files,
};

/// Size of the beginning of a file that is read: 64 KiB, and at most 1,000 of its records.
const SAMPLE_BYTES: u64 = 64 * 1024;
const SAMPLE_RECORDS: usize = 1000;

/// Returns the first records of a file as JSON objects; `None` if the file cannot be inspected.
pub(super) fn first_records(path: &Path, cut: &Cut) -> Option<Vec<Vec<u8>>> {
    let beginning = || files::beginning(path, SAMPLE_BYTES).ok();
    match cut.format {
        Format::Jsonl => Some(json_lines(&beginning()?)),
        Format::Csv => Some(vec![named_columns(&beginning()?, cut)?]),
        Format::Lines => None,
    }
}

/// Returns the complete lines of a text that are JSON objects. The last line may be truncated.
fn json_lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let whole = lines.filter_map(|line| line.strip_suffix(b"\n"));
    whole
        .filter(|line| serde_json::from_slice::<Map<_, _>>(line).is_ok())
        .take(SAMPLE_RECORDS)
        .map(<[u8]>::to_vec)
        .collect()
}

/// Returns an object with the columns that every row has. `None` if the header is incomplete.
fn named_columns(bytes: &[u8], cut: &Cut) -> Option<Vec<u8>> {
    let names = columns::names(bytes, cut)?.into_iter();
    let columns: Map<_, _> = names.map(|name| (name, Value::Null)).collect();
    serde_json::to_vec(&columns).ok()
}
