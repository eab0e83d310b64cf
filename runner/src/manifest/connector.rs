//! The settings of sources and sinks. The connectors themselves are in [`crate::connector`].

use std::path::PathBuf;

use crate::declare::{
    self, Declared, Diagnostic, Kind, Node, Reader, Shape, Value, did_you_mean, flag, nested,
    number, one_of, parsed, path, pattern, section, words,
};

/// The source of a producer's records: `{file: {path: data/stocks.csv, format: csv}}`.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceConfig {
    /// Reads a file, once or continuously.
    File(FileSource),
    /// Reads standard input to its end.
    Stdin(StdinSource),
    /// Generates records, for demonstrations and measurements.
    Generate(Generate),
}

/// The destination of a consumer's records: `{stdout: {}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkConfig {
    /// Appends to a file, one line per record.
    File(FileSink),
    /// Writes to standard output, one line per record.
    Stdout(Stdout),
}

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

section! {
    /// A file as a source.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FileSource: "file_source" {
        /// File, relative to the manifest.
        pub path: PathBuf = path(), required;
        /// Format.
        pub format: Option<Format> = words(FORMATS), unset("by extension: `csv`, `jsonl`, `ndjson`; else `lines`");
        /// Separator of columns in `csv`.
        pub delimiter: Delimiter = delimiter(), default(Delimiter::default());
        /// Wait for more content at the end, like `tail -F`, instead of ending the stream.
        pub follow: bool = flag(), default(false);
    }
}

section! {
    /// Standard input as a source.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct StdinSource: "stdin_source" + Default {
        /// Format.
        pub format: Format = words(FORMATS), default(Format::Lines);
        /// Separator of columns in `csv`.
        pub delimiter: Delimiter = delimiter(), default(Delimiter::default());
    }
}

section! {
    /// Generated JSON objects: `{"seq": 0, "time": 1767225600000, "value": 0.318}`.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Generate: "generate_source" + Default {
        /// Records per second.
        pub rate: Option<f64> = number(), unset("as fast as they are taken");
        /// Total number of records.
        pub count: Option<u64> = declare::count(0, u64::MAX), unset("no end");
        /// Bytes per record, filled up by a field `pad`. At most 1 MiB.
        pub size: Option<u32> = declare::count(0, u64::from(u32::MAX)), unset("no `pad`");
    }
}

section! {
    /// A file as a sink: a line is appended for each record.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FileSink: "file_sink" {
        /// File, relative to the manifest. Its folders are created.
        pub path: PathBuf = path(), required;
    }
}

section! {
    /// Standard output as a sink: a line is printed for each record.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Stdout: "stdout_sink" + Default {}
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

fn delimiter() -> Kind<Delimiter> {
    let shape = pattern("character, or `tab`", "^(tab|[ \\t!#-/:-@\\[-`{-~])$");
    parsed(shape, "a delimiter", |text| {
        Delimiter::try_from(text).map_err(|label| (label, None))
    })
    .show(|delimiter| match delimiter.byte() {
        b'\t' => "tab".to_owned(),
        byte => char::from(byte).to_string(),
    })
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

impl FileSource {
    /// Returns the configured format, or by default the one of the file's extension.
    pub fn format_or_by_extension(&self) -> Format {
        let by_extension = || match self
            .path
            .extension()
            .and_then(|extension| extension.to_str())
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("csv") => Format::Csv,
            Some("jsonl" | "ndjson") => Format::Jsonl,
            _ => Format::Lines,
        };
        self.format.unwrap_or_else(by_extension)
    }
}

/// Returns the path of the file that a sink writes, if it writes one.
pub(crate) fn sink_path(config: &SinkConfig) -> Option<&PathBuf> {
    match config {
        SinkConfig::File(file) => Some(&file.path),
        SinkConfig::Stdout(_) => None,
    }
}

/// The connector of a producer.
pub(crate) fn source() -> Kind<SourceConfig> {
    one_of_these(vec![
        connector("file", SourceConfig::File),
        connector("stdin", SourceConfig::Stdin),
        connector("generate", SourceConfig::Generate),
    ])
}

/// The connector of a consumer.
pub(crate) fn sink() -> Kind<SinkConfig> {
    one_of_these(vec![
        connector("file", SinkConfig::File),
        connector("stdout", SinkConfig::Stdout),
    ])
}

/// A connector: its name, and the kind of its settings.
type Connector<T> = (&'static str, Kind<T>);

fn connector<T: Declared + 'static, C: 'static>(
    name: &'static str,
    wrap: impl Fn(T) -> C + 'static,
) -> Connector<C> {
    let keys = nested::<T>();
    let read = keys.read;
    let kind = Kind::new(keys.shape, move |cx, node, what| {
        read(cx, node, what).map(&wrap)
    });
    (name, kind)
}

/// A mapping with the name of one of these connectors.
fn one_of_these<T: 'static>(connectors: Vec<Connector<T>>) -> Kind<T> {
    let shapes = connectors
        .iter()
        .map(|(name, kind)| (*name, kind.shape.clone()));
    Kind::new(Shape::OneOf(shapes.collect()), move |cx, node, what| {
        let entry = match &node.value {
            Value::Mapping(entries) => match entries.as_slice() {
                [entry] => entry,
                entries => {
                    not_one(cx, node, entries.len(), &connectors);
                    return None;
                }
            },
            Value::Scalar(_) | Value::Sequence(_) => {
                not_a_mapping(cx, node, what, &connectors);
                return None;
            }
        };
        let name = &entry.key.text;
        let Some((name, kind)) = connectors.iter().find(|(known, _)| known == name) else {
            let names = || connectors.iter().map(|(name, _)| *name);
            cx.note(
                Diagnostic::error(format!("there is no connector `{name}` in `{what}`"))
                    .at(entry.key.span, format!("expected {}", one_of(names())))
                    .maybe_help(did_you_mean(name, names())),
            );
            return None;
        };
        (kind.read)(cx, &entry.node, name)
    })
}

fn not_one<T>(cx: &mut Reader<'_>, node: &Node, found: usize, connectors: &[Connector<T>]) {
    let names = connectors.iter().map(|(name, _)| *name);
    let found = if found == 0 {
        "none".to_owned()
    } else {
        found.to_string()
    };
    cx.note(
        Diagnostic::error(format!("expected one connector, found {found}"))
            .at(node.span, format!("expected {}", one_of(names))),
    );
}

fn not_a_mapping<T>(cx: &mut Reader<'_>, node: &Node, what: &str, connectors: &[Connector<T>]) {
    let names = connectors.iter().map(|(name, _)| *name);
    let known = match &node.value {
        Value::Scalar(scalar) => names.clone().find(|name| *name == scalar.text),
        _ => None,
    };
    match known {
        Some(name) => cx.note(
            Diagnostic::error(format!("`{name}` is not complete"))
                .at(node.span, "expected a mapping")
                .help(format!("write `{{{name}: {{}}}}`")),
        ),
        None => cx.expected(node, what, &format!("a mapping with {}", one_of(names))),
    }
}
