//! Lists the checkpoints in the state folder.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::show::age_ms;
use crate::{
    checkpoint::{FORMAT, Ledger, LedgerError, Owner},
    cli::control::figures::{bytes, span, table},
    files,
    topology::checkpoints_folder,
};

/// Maximum number of folders that are listed: 10,000.
const FOLDERS_MAX: usize = 10_000;

/// A folder of checkpoints.
#[derive(Debug, Serialize)]
struct Row {
    folder: PathBuf,
    /// The absolute path of the manifest; `null` if it is unknown.
    manifest: Option<PathBuf>,
    name: Option<String>,
    network: Option<String>,
    /// The number of the last checkpoint; `null` if there is none or it is unknown.
    number: Option<u64>,
    age_ms: Option<u64>,
    /// The size of the file.
    bytes: u64,
    /// `null` if it is unknown.
    format: Option<u32>,
    /// True if a node uses it.
    in_use: bool,
    /// The reason that it cannot be read.
    problem: Option<String>,
}

/// Returns the list, as a table or as one line of JSON.
pub(super) fn run(json: bool) -> anyhow::Result<String> {
    let all = checkpoints_folder();
    let names = files::names_in(&all, FOLDERS_MAX).unwrap_or_default();
    let mut rows: Vec<_> = names
        .into_iter()
        .filter_map(|name| row(all.join(name)))
        .collect();
    rows.sort_by(|one, other| {
        let key = |row: &Row| (row.manifest.clone(), row.name.clone(), row.folder.clone());
        key(one).cmp(&key(other))
    });
    if json {
        return Ok(serde_json::to_string(&rows)? + "\n");
    }
    if rows.is_empty() {
        return Ok(format!("no checkpoints in {}\n", all.display()));
    }
    Ok(shown(&rows))
}

fn row(folder: PathBuf) -> Option<Row> {
    let bytes = Ledger::file_size(&folder)?;
    let owner = Owner::read(&folder);
    let mut row = Row {
        manifest: owner.as_ref().map(|owner| owner.manifest.clone()),
        name: owner.as_ref().and_then(|owner| owner.name.clone()),
        network: owner.and_then(|owner| owner.network),
        number: None,
        age_ms: None,
        bytes,
        format: Some(FORMAT),
        in_use: false,
        problem: None,
        folder,
    };
    match Ledger::read(&row.folder) {
        Ok(None) => {}
        Ok(Some(image)) => {
            row.number = Some(image.number);
            row.age_ms = Some(age_ms(&image));
        }
        Err(LedgerError::InUse { .. }) => (row.in_use, row.format) = (true, None),
        Err(error) => {
            row.format = match &error {
                LedgerError::Format { found, .. } => Some(*found),
                _ => None,
            };
            row.problem = Some(error.to_string());
        }
    }
    Some(row)
}

fn shown(rows: &[Row]) -> String {
    let cells = rows.iter().map(|row| {
        let manifest = row.manifest.as_deref().map(Path::display);
        let manifest = manifest.map_or_else(|| "?".to_owned(), |manifest| manifest.to_string());
        let name = row.name.as_ref().map(|name| format!(" ({name})"));
        let number = match row.number {
            Some(number) => number.to_string(),
            None if row.in_use => "in use".to_owned(),
            None if row.problem.is_some() => "unreadable".to_owned(),
            None => "none".to_owned(),
        };
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            manifest + &name.unwrap_or_default(),
            or_dash(row.network.clone()),
            number,
            or_dash(row.age_ms.map(span)),
            bytes(row.bytes),
            or_dash(row.format.map(|format| format.to_string())),
            row.folder.display().to_string(),
        ]
    });
    let cells: Vec<_> = cells.collect();
    let heading = [
        "MANIFEST", "NETWORK", "NUMBER", "AGE", "SIZE", "FORMAT", "FOLDER",
    ];
    let mut text = table(&heading, 2, &cells);
    for problem in rows.iter().filter_map(|row| row.problem.as_ref()) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "problem: {problem}");
    }
    text
}
