//! `files` of an operator: files next to the manifest whose content becomes part of its `config`. This module only
//! reads their declaration; [`crate::graph`] reads the files.

use std::path::PathBuf;

use crate::connector::DataFormat;
use crate::declare::{
    Declared, Diagnostic, Entry, Guarded, Kind, Node, PortName, Reader, Shape, Span, Spanned,
    Value, read_section, section, words,
};

/// Maximum number of files per operator: 16.
const MAX_FILES: usize = 16;

/// A file as declared in the manifest.
#[derive(Debug, Clone)]
pub(crate) struct DataFileDecl {
    /// The key in `config` under which the content is placed.
    pub(crate) name: String,
    /// The absolute path of the file.
    pub(crate) path: Spanned<Guarded<PathBuf>>,
    pub(crate) format: DataFormat,
}

const FORMATS: &[(&str, DataFormat)] = &[
    ("csv", DataFormat::Csv),
    ("json", DataFormat::Json),
    ("jsonl", DataFormat::Jsonl),
];

section! {
    /// A file whose content goes into `config`.
    #[derive(Debug, Clone)]
    struct DataFileKeys: "data_file" {
        /// Path, relative to the manifest.
        path: Spanned<Guarded<PathBuf>> = file(), required;
        /// Format: `csv` and `jsonl` become a list, `json` its content.
        format: Option<DataFormat> = words(FORMATS), unset("by extension");
    }
}

/// The files of an operator.
pub(super) fn files() -> Kind<Vec<DataFileDecl>> {
    let one = Shape::Either(vec![Shape::Text, Shape::Of(DataFileKeys::SECTION)]);
    Kind::new(Shape::Map(Box::new(one)), |cx, node, what| {
        let entries = cx.mapping(node, what)?;
        let count = entries.len();
        if count > MAX_FILES {
            cx.note(
                Diagnostic::error(format!("`{what}` has {count} files"))
                    .at(node.span, format!("expected at most {MAX_FILES}")),
            );
            return None;
        }
        // Read all files, so that all mistakes are reported.
        let files: Vec<_> = entries.iter().map(|entry| read(cx, entry)).collect();
        files.into_iter().collect()
    })
}

/// Checks that the files have a place in `config`, if it is known. Reports mistakes, and returns whether there are
/// none. `span_of` returns the location of a key of the operator.
pub(super) fn check(
    cx: &mut Reader<'_>,
    files: &[DataFileDecl],
    config: Option<&serde_json::Value>,
    span_of: impl Fn(&str) -> Span,
) -> bool {
    let Some(config) = config.filter(|_| !files.is_empty()) else {
        return true;
    };
    if !config.is_object() {
        cx.note(
            Diagnostic::error("`files` require a `config` that is a mapping")
                .at(span_of("files"), "these become keys of `config`"),
        );
        return false;
    }
    let taken = files.iter().filter(|file| config.get(&file.name).is_some());
    let mut is_valid = true;
    for DataFileDecl { name, .. } in taken {
        is_valid = false;
        cx.note(
            Diagnostic::error(format!("`{name}` is in `config` and in `files`"))
                .at(span_of(&format!("files.{name}")), "this would replace it"),
        );
    }
    is_valid
}

fn read(cx: &mut Reader<'_>, entry: &Entry) -> Option<DataFileDecl> {
    let name = cx.name(entry, "a key of `config`", PortName::new);
    let (path, format) = if let Value::Mapping(_) = &entry.node.value {
        let (keys, faults) = read_section::<DataFileKeys>(cx, &entry.node, &entry.key.text)?;
        if faults.has("format") {
            return None;
        }
        (keys.path, keys.format)
    } else {
        (path(cx, &entry.node)?, None)
    };
    let format = match format {
        Some(format) => format,
        None => by_extension(cx, &path, &entry.key.text)?,
    };
    Some(DataFileDecl {
        name: name?.value.to_string(),
        path,
        format,
    })
}

fn file() -> Kind<Spanned<Guarded<PathBuf>>> {
    Kind::new(Shape::Text, |cx, node, _| path(cx, node))
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
    Diagnostic::error("the format of the file is not known from its extension")
        .at(span, "expected `.csv`, `.json` or `.jsonl`")
        .help(format!(
            "name the format: `{name}: {{path: …, format: csv}}`, or `json`, or `jsonl`"
        ))
}
