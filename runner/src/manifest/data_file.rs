//! `files` of an operator: files next to the manifest whose content becomes part of its `config`. This module only
//! reads their declaration; [`crate::graph`] reads the files.

use std::path::PathBuf;

use super::{
    diagnostics::Diagnostic,
    guarded::Guarded,
    keys::{Section, Shape, key, required},
    reader::{Fields, Reader},
    scalar::PortName,
    source::{Span, Spanned},
    tree::{Entry, Node, Value},
};

/// Maximum number of files per operator: 16.
const MAX_FILES: usize = 16;

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

/// A file as declared in the manifest.
#[derive(Debug, Clone)]
pub(crate) struct DataFileDecl {
    /// The key in `config` under which the content is placed.
    pub(crate) name: String,
    /// The absolute path of the file.
    pub(crate) path: Spanned<Guarded<PathBuf>>,
    pub(crate) format: DataFormat,
}

const FORMATS: &[&str] = &["csv", "json", "jsonl"];

static DATA_FILE: Section = Section {
    name: "data_file",
    doc: "A file whose content goes into `config`.",
    keys: &[
        required("path", Shape::Text, "Its path, relative to the manifest."),
        key(
            "format",
            Shape::Words(FORMATS),
            "Format: `csv` and `jsonl` make a list, `json` is taken as it is. Default: by extension.",
        ),
    ],
};

/// The allowed values of `files`.
pub(super) const FILES: Shape = Shape::Map(&Shape::Either(&[Shape::Text, Shape::Of(&DATA_FILE)]));

/// Reads `files`. Returns `None` if there is any mistake. `config` is the configuration that receives the files, if
/// known.
pub(super) fn read(
    cx: &mut Reader<'_>,
    fields: Fields<'_>,
    config: Option<&serde_json::Value>,
) -> Option<Vec<DataFileDecl>> {
    let Some(written) = fields.get("files") else {
        return Some(Vec::new());
    };
    let entries = cx.mapping(&written.node, "files")?;
    let count = entries.len();
    if count > MAX_FILES {
        cx.note(
            Diagnostic::error(format!("`files` has {count} files"))
                .at(written.key.span, format!("expected at most {MAX_FILES}")),
        );
        return None;
    }
    if count > 0 && config.is_some_and(|config| !config.is_object()) {
        cx.note(
            Diagnostic::error("`files` go into `config`, which is not a mapping")
                .at(written.key.span, "there is no place for these in `config`"),
        );
        return None;
    }
    let files: Vec<_> = entries
        .iter()
        .map(|entry| read_one(cx, entry, config))
        .collect();
    files.into_iter().collect()
}

fn read_one(
    cx: &mut Reader<'_>,
    entry: &Entry,
    config: Option<&serde_json::Value>,
) -> Option<DataFileDecl> {
    let name = cx.name(entry, "a key of `config`", PortName::new);
    let is_taken = config.is_some_and(|config| config.get(&entry.key.text).is_some());
    if is_taken {
        let name = &entry.key.text;
        cx.note(
            Diagnostic::error(format!("`{name}` is in `config` and in `files`"))
                .at(entry.key.span, "this would take its place"),
        );
    }
    let (node, format) = match &entry.node.value {
        Value::Mapping(_) => {
            let fields = cx.section(&entry.node, &entry.key.text, &DATA_FILE)?;
            let format = match fields.node("format") {
                Some(node) => Some(cx.word(node, "format", FORMATS)?),
                None => None,
            };
            (fields.node("path")?, format)
        }
        _ => (&entry.node, None),
    };
    let path = path(cx, node)?;
    let format = match format {
        Some("csv") => DataFormat::Csv,
        Some("json") => DataFormat::Json,
        Some(_) => DataFormat::Jsonl,
        None => by_extension(cx, &path, &entry.key.text)?,
    };
    let name = name?.value.to_string();
    (!is_taken).then_some(DataFileDecl { name, path, format })
}

fn path(cx: &mut Reader<'_>, node: &Node) -> Option<Spanned<Guarded<PathBuf>>> {
    let text = cx.text(node, "path", "a path")?;
    let path = Guarded::new(cx.path(text.as_str()), text.value.is_secret());
    Some(Spanned::new(path, node.span))
}

fn by_extension(
    cx: &mut Reader<'_>,
    path: &Spanned<Guarded<PathBuf>>,
    name: &str,
) -> Option<DataFormat> {
    let extension = path
        .value
        .extension()
        .and_then(|extension| extension.to_str());
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => Some(DataFormat::Csv),
        Some("json") => Some(DataFormat::Json),
        Some("jsonl" | "ndjson") => Some(DataFormat::Jsonl),
        _ => {
            cx.note(unknown_format(path.span, name));
            None
        }
    }
}

fn unknown_format(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error("what is in the file is not known by its extension")
        .at(span, "expected `.csv`, `.json` or `.jsonl`")
        .help(format!(
            "say it: `{name}: {{path: …, format: csv}}`, or `json`, or `jsonl`"
        ))
}
