//! The columns of a `csv` file that exists, for its source and its sink.

use std::path::Path;

use csv_core::ReadFieldResult;

use crate::{
    connector::{
        Format, InputHeader, OutputHeader, Problem,
        format::{
            csv::settings::{Dialect, numbered},
            framing::Cut,
        },
    },
    declare::did_you_mean,
    files,
};

/// Size of the beginning of a file in which the first row is searched: 64 KiB.
const BEGINNING_BYTES: u64 = 64 * 1024;

/// Checks that a file has the columns whose types are set, as far as its beginning tells.
pub(super) fn has_types(path: &Path, cut: &Cut) -> Result<(), Problem> {
    if cut.format != Format::Csv || cut.csv.types.is_empty() {
        return Ok(());
    }
    let beginning = files::beginning(path, BEGINNING_BYTES).ok();
    let Some(names) = beginning.and_then(|beginning| names(&beginning, cut)) else {
        return Ok(());
    };
    let mut types = cut.csv.types.iter().map(|(name, _)| name);
    match types.find(|name| !names.contains(name)) {
        None => Ok(()),
        Some(unknown) => Err(Problem {
            help: did_you_mean(unknown, names.iter().map(String::as_str)),
            shows_settings: true,
            ..Problem::new(
                "csv.types",
                format!("the file has no column `{unknown}`"),
                "expected columns of the file",
            )
        }),
    }
}

/// Checks that a file is empty or has the columns of a header.
pub(super) fn has_header(
    path: &Path,
    dialect: Dialect,
    header: &OutputHeader,
) -> Result<(), Problem> {
    match (header, first_line(path, dialect)) {
        (OutputHeader::Names(names), Some(found)) if *names != found => Err(Problem::new(
            "csv.header",
            "the file has other columns",
            "expected those of its first line",
        )
        .help("write to another file, or remove this one")),
        _ => Ok(()),
    }
}

/// Returns the names of a content's columns; `None` if its beginning does not tell.
pub(super) fn names(beginning: &[u8], cut: &Cut) -> Option<Vec<String>> {
    match &cut.csv.header {
        InputHeader::Names(names) => Some(names.clone()),
        InputHeader::FirstLine => first_row(beginning, cut.csv.dialect),
        InputHeader::Numbered => {
            let row = first_row(beginning, cut.csv.dialect)?;
            Some(numbered(row.len()).collect())
        }
    }
}

/// Returns the fields of the first line of a regular file, if it has one.
pub(super) fn first_line(path: &Path, dialect: Dialect) -> Option<Vec<String>> {
    first_row(&files::beginning(path, BEGINNING_BYTES).ok()?, dialect)
}

/// Returns the fields of the first row; `None` if it is incomplete.
fn first_row(bytes: &[u8], dialect: Dialect) -> Option<Vec<String>> {
    let mut reader = dialect.reader();
    let mut rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut columns = Vec::new();
    let mut text = vec![0; rest.len()];
    loop {
        let (result, read, written) = reader.read_field(rest, &mut text);
        rest = rest.get(read..)?;
        let ReadFieldResult::Field { record_end } = result else {
            return None;
        };
        columns.push(String::from_utf8(text.get(..written)?.to_vec()).ok()?);
        if record_end {
            return Some(columns);
        }
    }
}

#[cfg(test)]
mod tests;
