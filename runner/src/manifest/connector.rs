//! The settings of sources and sinks as plain data. The connectors themselves are in [`crate::connector`].

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Where a producer's datums come from: `{file: {path: data/stocks.csv, format: csv}}`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum SourceConfig {
    /// Reads a file, once or for ever.
    File(FileSource),
    /// Reads standard input to its end.
    Stdin(StdinSource),
    /// Makes datums up, for demonstrations and measurements.
    Generate(Generate),
}

/// Where a consumer's datums go: `{stdout: {}}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum SinkConfig {
    /// Appends to a file, a line a datum.
    File(FileSink),
    /// Writes to standard output, a line a datum.
    Stdout(Stdout),
}

/// How bytes are cut into datums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values whose first line names the columns: a JSON object a row, columns of numbers as numbers.
    Csv,
    /// A JSON value a line.
    Jsonl,
    /// A line of text a datum; on a stream of JSON, a JSON string.
    #[default]
    Lines,
}

/// `file` as a source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// The file, relative to the manifest.
    pub path: PathBuf,
    /// How it is cut into datums; without it, by the file's extension (`csv`, `jsonl`/`ndjson`), else `lines`.
    pub format: Option<Format>,
    /// What separates the columns of `csv`: one character, or `tab`. Default: a comma.
    #[serde(default)]
    pub delimiter: Delimiter,
    /// Whether to wait for more at the end, like `tail -F`, instead of ending the stream. Default: no.
    #[serde(default)]
    pub follow: bool,
}

/// `stdin` as a source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdinSource {
    /// How it is cut into datums. Default: `lines`.
    #[serde(default)]
    pub format: Format,
    /// What separates the columns of `csv`: one character, or `tab`. Default: a comma.
    #[serde(default)]
    pub delimiter: Delimiter,
}

/// What separates the columns of `csv`: one ASCII character that is no quote, letter, digit or line end, or `tab`.
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
    /// Datums a second; without it, as fast as they are taken.
    pub rate: Option<f64>,
    /// How many in all; without it, for ever.
    pub count: Option<u64>,
    /// Bytes a datum, reached by a field `pad`; without it, as long as it happens to be. At most 1 MiB.
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
