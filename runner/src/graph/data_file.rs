//! Reads the files that become part of an operator's `config`, within their size limits.

use std::{fmt, path::Path, sync::Arc};

use crate::{
    connector::{DataFileError, DataFormat, to_json},
    declare::{Diagnostic, io_reason, near_file, show_size},
    files::{self, Contents},
    manifest::{DataFileDecl, OperatorDecl},
};

/// Maximum size of a data file, and of the JSON that it is converted to: 8 MiB.
pub const MAX_DATA_FILE_BYTES: usize = 8 << 20;

/// The content of a file that becomes part of `config`.
#[derive(Clone, PartialEq, Eq)]
pub struct DataFile {
    /// The key in `config` under which the content is placed.
    pub name: String,
    /// The content, as JSON.
    pub json: Arc<str>,
}

impl fmt::Debug for DataFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} bytes", self.name, self.json.len())
    }
}

/// Reads an operator's files. Returns `None` if any is invalid, and adds every mistake to `found`.
pub(super) fn read(decl: &OperatorDecl, found: &mut Vec<Diagnostic>) -> Option<Vec<DataFile>> {
    let mut files = Some(Vec::new());
    for file in &decl.files {
        match read_one(file) {
            Ok(read) => {
                if let Some(files) = &mut files {
                    files.push(read);
                }
            }
            Err(wrong) => {
                found.push(*wrong);
                files = None;
            }
        }
    }
    files
}

fn read_one(file: &DataFileDecl) -> Result<DataFile, Box<Diagnostic>> {
    let (span, name) = (file.path.span, &file.name);
    let path: &Path = &file.path.value;
    let unreadable = |reason: String, help: Option<String>| {
        Box::new(
            Diagnostic::error(format!("the file for `{name}` cannot be read: {reason}"))
                .at(span, reason)
                .maybe_help(help),
        )
    };
    let failed = |error: std::io::Error| {
        let look = error.kind() == std::io::ErrorKind::NotFound && !file.path.value.is_secret();
        unreadable(io_reason(&error), look.then(|| near_file(path)).flatten())
    };
    let Contents { bytes, length } =
        files::read(path, MAX_DATA_FILE_BYTES as u64).map_err(failed)?;
    let limit = show_size(MAX_DATA_FILE_BYTES as u64);
    if length > MAX_DATA_FILE_BYTES as u64 {
        let help = "serve a table of this size from a separate service";
        return Err(unreadable(
            format!("it is larger than {limit}"),
            Some(help.to_owned()),
        ));
    }
    let format = match file.format {
        DataFormat::Csv => "CSV",
        DataFormat::Json => "JSON",
        DataFormat::Jsonl => "lines of JSON",
    };
    let wrong = |error: DataFileError| {
        let reason = error.to_string();
        Box::new(
            Diagnostic::error(format!("the file for `{name}` is not {format}: {reason}"))
                .at(span, reason),
        )
    };
    let json = to_json(file.format, &bytes).map_err(wrong)?;
    if json.len() > MAX_DATA_FILE_BYTES {
        let makes = format!("it becomes {} bytes of JSON, more than {limit}", json.len());
        return Err(unreadable(makes, None));
    }
    Ok(DataFile {
        name: name.clone(),
        json: json.into(),
    })
}
