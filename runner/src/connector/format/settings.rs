//! The settings of formats.

use std::path::Path;

use crate::declare::{Kind, parsed, pattern, words};

/// The format that splits bytes into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Comma-separated values whose first line names the columns: a JSON object per row, columns of numbers as numbers.
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
    /// Returns the format of a file's extension: `csv`, `jsonl` and `ndjson`, otherwise lines.
    pub(crate) fn of_extension(path: &Path) -> Self {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => Self::Csv,
            Some("jsonl" | "ndjson") => Self::Jsonl,
            _ => Self::Lines,
        }
    }
}

/// The separator of columns in `csv`: one ASCII character, except quotes, letters, digits and line ends, or `tab`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiter(u8);

impl Delimiter {
    /// Returns the character.
    pub const fn byte(self) -> u8 {
        self.0
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

/// The values of `delimiter`.
pub(crate) fn delimiter() -> Kind<Delimiter> {
    let shape = pattern("character, or `tab`", "^(tab|[ \\t!#-/:-@\\[-`{-~])$");
    parsed(shape, "a delimiter", |text| {
        Delimiter::try_from(text).map_err(|label| (label, None))
    })
    .show(|delimiter| match delimiter.byte() {
        b'\t' => "tab".to_owned(),
        byte => char::from(byte).to_string(),
    })
}
