//! The settings of sources and sinks as plain data. The connectors themselves are in [`crate::connector`].

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// The source of a producer's records: `{file: {path: data/stocks.csv, format: csv}}`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum SourceConfig {
    /// Reads a file, once or continuously.
    File(FileSource),
    /// Reads standard input to its end.
    Stdin(StdinSource),
    /// Generates records, for demonstrations and measurements.
    Generate(Generate),
}

/// The destination of a consumer's records: `{stdout: {}}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum SinkConfig {
    /// Appends to a file, one line per record.
    File(FileSink),
    /// Writes to standard output, one line per record.
    Stdout(Stdout),
}

/// The format that splits bytes into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values whose first line names the columns: a JSON object per row, columns of numbers as numbers.
    Csv,
    /// A JSON value per line.
    Jsonl,
    /// A line of text per record; on a stream of JSON, a JSON string.
    #[default]
    Lines,
}

/// `file` as a source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// The file, relative to the manifest.
    pub path: PathBuf,
    /// The format. Default: by the file's extension (`csv`, `jsonl`/`ndjson`), else `lines`.
    pub format: Option<Format>,
    /// The separator of columns in `csv`: one character, or `tab`. Default: a comma.
    #[serde(default)]
    pub delimiter: Delimiter,
    /// Waits for more at the end, like `tail -F`, instead of ending the stream. Default: `false`.
    #[serde(default)]
    pub follow: bool,
}

/// `stdin` as a source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdinSource {
    /// The format. Default: `lines`.
    #[serde(default)]
    pub format: Format,
    /// The separator of columns in `csv`: one character, or `tab`. Default: a comma.
    #[serde(default)]
    pub delimiter: Delimiter,
}

/// The separator of columns in `csv`: one ASCII character, except quotes, letters, digits and line ends, or `tab`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
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

impl TryFrom<String> for Delimiter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_bytes() {
            b"tab" => Ok(Self(b'\t')),
            [byte] if byte.is_ascii_punctuation() && *byte != b'"' => Ok(Self(*byte)),
            [byte @ (b' ' | b'\t')] => Ok(Self(*byte)),
            _ => Err(format!(
                "a delimiter is one character like `;` or `|`, or `tab`, not {text:?}"
            )),
        }
    }
}

/// `generate`: JSON objects `{"seq": 0, "time": 1767225600000, "value": 0.318}`, one after the other.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// Records per second. Default: as fast as they are taken.
    pub rate: Option<f64>,
    /// Total number of records. Default: no end.
    pub count: Option<u64>,
    /// Bytes per record, filled up by a field `pad`, at most 1 MiB. Default: without `pad`.
    pub size: Option<u32>,
}

impl Generate {
    /// Returns an example of a generated record.
    pub(crate) fn sample(&self) -> &'static str {
        // Shorter records have no room for the field `pad`.
        if self.size.is_some_and(|size| size > 60) {
            r#"{"seq":0,"time":1767225600000,"value":0.535,"pad":"x"}"#
        } else {
            r#"{"seq":0,"time":1767225600000,"value":0.535}"#
        }
    }
}

/// `file` as a sink.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSink {
    /// The file, relative to the manifest; its folders are created.
    pub path: PathBuf,
}

/// `stdout` as a sink.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stdout {}
