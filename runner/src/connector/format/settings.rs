//! The formats by name and by extension.

use std::path::Path;

use crate::declare::{Kind, words};

/// The format that splits bytes into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Comma-separated values: a JSON object per row, by default with the names of the first line.
    Csv,
    /// A JSON value per line.
    Jsonl,
    /// A line of text per record; on a stream of JSON, a JSON string.
    #[default]
    Lines,
}

const FORMATS: &[(&str, Format)] = &[
    ("csv", Format::Csv),
    ("jsonl", Format::Jsonl),
    ("lines", Format::Lines),
];

impl Format {
    /// Returns the format of a file's extension: `csv` and `tsv`, `jsonl` and `ndjson`, otherwise lines.
    pub(crate) fn of_extension(path: &Path) -> Self {
        match extension(path).as_deref() {
            Some("csv" | "tsv") => Self::Csv,
            Some("jsonl" | "ndjson") => Self::Jsonl,
            _ => Self::Lines,
        }
    }
}

/// Returns the extension of a file, in lower case.
fn extension(path: &Path) -> Option<String> {
    let extension = path.extension()?.to_str()?;
    Some(extension.to_ascii_lowercase())
}

/// The separator of columns in `csv`: one ASCII character, except quotes, letters, digits and line ends, or `tab`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiter(u8);

impl Delimiter {
    /// Returns the character.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Returns the separator of a file's extension: a tab for `tsv`, otherwise a comma.
    pub(crate) fn of_extension(path: &Path) -> Self {
        if extension(path).as_deref() == Some("tsv") {
            Self(b'\t')
        } else {
            Self::default()
        }
    }
}

impl Default for Delimiter {
    fn default() -> Self {
        Self(b',')
    }
}

impl TryFrom<&str> for Delimiter {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        match text.as_bytes() {
            b"tab" => Ok(Self(b'\t')),
            [byte] if byte.is_ascii_punctuation() && *byte != b'"' => Ok(Self(*byte)),
            [byte @ (b' ' | b'\t')] => Ok(Self(*byte)),
            _ => Err("expected one character like `;` or `|`, or `tab`".to_owned()),
        }
    }
}

/// The values of `format`.
pub(crate) fn format() -> Kind<Format> {
    words(FORMATS)
}
