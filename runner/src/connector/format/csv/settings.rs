//! The settings of `csv`, for sources and for sinks.

use std::collections::HashSet;

use memchr::memmem;

use csv_core::{Reader as CsvReader, ReaderBuilder};

use crate::{
    connector::{Format, format::settings::Delimiter},
    declare::{
        Diagnostic, Fields, Guarded, Kind, Node, Reader, Shape, Value, flag, list, parsed, pattern,
        section, text, words,
    },
};

section! {
    /// The syntax of `csv`, which reading and writing have in common.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct CsvSyntax: "csv_syntax" + Default {
        /// Separator of columns.
        pub delimiter: Option<Delimiter> = delimiter(), unset("`,`; `tab` for the extension `tsv`");
        /// Character around values that contain the delimiter or a line end, or `none`.
        pub quote: Quote = quote(), default(Quote::default());
    }
}

section! {
    /// The format `csv` of a source.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct CsvInput: "csv_input" check(fits_together) with syntax: CsvSyntax {
        /// Names of the columns: `true` for the first line, a list, or `false` for `column1`, `column2` and so on.
        pub header: InputHeader = input_header(), default(InputHeader::default());
        /// Types of columns: `string`, `number` or `boolean`. Rows with other values are skipped and counted.
        pub types: Vec<(String, ColumnType)> = types(), empty("number or text, by the first rows");
    }
}

section! {
    /// The format `csv` of a sink.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct CsvOutput: "csv_output" check(writes_with) with syntax: CsvSyntax {
        /// First line and columns: `true` for the fields of the first record, a list, or `false` for no such line.
        pub header: OutputHeader = output_header(), default(OutputHeader::default());
    }
}

/// The quote of `csv`: one ASCII punctuation character, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote(Option<u8>);

impl Default for Quote {
    fn default() -> Self {
        Self(Some(b'"'))
    }
}

/// The names of the columns of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum InputHeader {
    /// The fields of the first line.
    #[default]
    FirstLine,
    /// These names. The first line is a row.
    Names(Vec<String>),
    /// `column1`, `column2` and so on. The first line is a row.
    Numbered,
}

/// The columns of a sink, and whether its output begins with a line of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OutputHeader {
    /// The fields of the first record, named in the first line.
    #[default]
    FirstRecord,
    /// These columns, named in the first line.
    Names(Vec<String>),
    /// The fields of the first record, without a line of names.
    None,
}

/// The type of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Text, as written.
    String,
    /// A number.
    Number,
    /// True or false.
    Boolean,
}

const TYPES: &[(&str, ColumnType)] = &[
    ("string", ColumnType::String),
    ("number", ColumnType::Number),
    ("boolean", ColumnType::Boolean),
];

/// The special characters of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connector) struct Dialect {
    pub(in crate::connector) delimiter: u8,
    pub(in crate::connector) quote: Option<u8>,
}

impl Default for Dialect {
    fn default() -> Self {
        CsvSyntax::default().dialect(Delimiter::default())
    }
}

impl Dialect {
    /// Creates a reader of this content.
    pub(in crate::connector) fn reader(self) -> CsvReader {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(self.delimiter);
        match self.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        builder.build()
    }

    /// Returns whether a text contains a doubled quote.
    pub(in crate::connector) fn has_doubled(self, text: &[u8]) -> bool {
        let finds = |quote| memmem::find(text, &[quote, quote]).is_some();
        self.quote.is_some_and(finds)
    }
}

impl CsvSyntax {
    /// Returns the special characters, with this delimiter if none is set.
    pub(in crate::connector) fn dialect(self, default: Delimiter) -> Dialect {
        Dialect {
            delimiter: self.delimiter.unwrap_or(default).byte(),
            quote: self.quote.0,
        }
    }

    /// Reports a delimiter that is also the quote.
    fn check(self, cx: &mut Reader<'_>, fields: Fields<'_>) {
        let delimiter = self.delimiter.unwrap_or_default();
        if self.quote.0 != Some(delimiter.byte()) {
            return;
        }
        let span = fields.node("quote").map_or(fields.span, |node| node.span);
        cx.note(
            Diagnostic::error("`quote` and `delimiter` are the same character")
                .at(span, "expected another character than the delimiter"),
        );
    }
}

fn fits_together(csv: &CsvInput, cx: &mut Reader<'_>, fields: Fields<'_>) {
    csv.syntax.check(cx, fields);
    let InputHeader::Names(names) = &csv.header else {
        return;
    };
    let Some(Value::Mapping(entries)) = fields.node("types").map(|node| &node.value) else {
        return;
    };
    let unknown = |name: &String| !names.contains(name);
    for entry in entries.iter().filter(|entry| unknown(&entry.key.text)) {
        cx.note(
            Diagnostic::error(format!("`header` has no column `{}`", entry.key.text))
                .at(entry.key.span, "expected a column of `header`"),
        );
    }
}

fn writes_with(csv: &CsvOutput, cx: &mut Reader<'_>, fields: Fields<'_>) {
    csv.syntax.check(cx, fields);
    let (OutputHeader::Names(names), None) = (&csv.header, csv.syntax.quote.0) else {
        return;
    };
    let delimiter = char::from(csv.syntax.delimiter.unwrap_or_default().byte());
    let needs_quotes = |name: &String| name.contains([delimiter, '\n', '\r']);
    if names.iter().any(needs_quotes) {
        let span = fields.node("header").map_or(fields.span, |node| node.span);
        cx.note(
            Diagnostic::error("a name in `header` needs quotes, and `quote` is `none`")
                .at(span, "expected names without the delimiter and line ends"),
        );
    }
}

/// Reports settings of `csv` for another format.
pub(in crate::connector) fn needs_csv(
    cx: &mut Reader<'_>,
    fields: Fields<'_>,
    format: Option<Format>,
) {
    if let Some(csv) = fields.get("csv")
        && format.is_some_and(|format| format != Format::Csv)
    {
        cx.note(
            Diagnostic::error("`csv` has no effect on another format")
                .at(csv.key.span, "needs `format: csv`")
                .help("write `format: csv`, or remove `csv`"),
        );
    }
}

/// The values of `delimiter`.
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

/// The values of `quote`.
fn quote() -> Kind<Quote> {
    let shape = pattern("character, or `none`", "^(none|[!-/:-@\\[-`{-~])$");
    parsed(shape, "a quote", |text| match text.as_bytes() {
        b"none" => Ok(Quote(None)),
        [byte] if byte.is_ascii_punctuation() => Ok(Quote(Some(*byte))),
        _ => Err((
            "expected one character like `\"` or `'`, or `none`".to_owned(),
            None,
        )),
    })
    .show(|quote| match quote.0 {
        Some(quote) => char::from(quote).to_string(),
        None => "none".to_owned(),
    })
}

fn input_header() -> Kind<InputHeader> {
    header(InputHeader::Names, |named| {
        if named {
            InputHeader::FirstLine
        } else {
            InputHeader::Numbered
        }
    })
    .show(|header| match header {
        InputHeader::FirstLine => "true".to_owned(),
        InputHeader::Numbered => "false".to_owned(),
        InputHeader::Names(names) => format!("[{}]", names.join(", ")),
    })
}

fn output_header() -> Kind<OutputHeader> {
    header(OutputHeader::Names, |named| {
        if named {
            OutputHeader::FirstRecord
        } else {
            OutputHeader::None
        }
    })
    .show(|header| match header {
        OutputHeader::FirstRecord => "true".to_owned(),
        OutputHeader::None => "false".to_owned(),
        OutputHeader::Names(names) => format!("[{}]", names.join(", ")),
    })
}

/// `true`, `false`, or a list of different names.
fn header<T: 'static>(of_names: fn(Vec<String>) -> T, of_flag: fn(bool) -> T) -> Kind<T> {
    let shape = Shape::Either(vec![Shape::Bool, Shape::List(Box::new(Shape::Text))]);
    Kind::new(shape, move |cx, node, what| match &node.value {
        Value::Sequence(_) => names(cx, node, what).map(of_names),
        Value::Scalar(_) if !node.is_null() => (flag().read)(cx, node, what).map(of_flag),
        _ => {
            cx.expected(node, what, "`true`, `false`, or a list of names");
            None
        }
    })
}

/// Reads the names of columns, of which no two are the same.
fn names(cx: &mut Reader<'_>, node: &Node, what: &str) -> Option<Vec<String>> {
    let read = (list(text()).read)(cx, node, what)?;
    let Value::Sequence(items) = &node.value else {
        return None;
    };
    if read.len() != items.len() {
        return None;
    }
    if read.is_empty() {
        cx.note(Diagnostic::error(format!("`{what}` is empty")).at(node.span, "expected a column"));
        return None;
    }
    let mut seen = HashSet::new();
    for (name, item) in read.iter().zip(items) {
        if !seen.insert(name.as_str()) {
            cx.note(
                Diagnostic::error(format!("`{what}` names a column twice"))
                    .at(item.span, "named before"),
            );
            return None;
        }
    }
    Some(read.into_iter().map(Guarded::into_inner).collect())
}

fn types() -> Kind<Vec<(String, ColumnType)>> {
    let shape = Shape::Columns(Box::new(words(TYPES).shape));
    Kind::new(shape, |cx, node, what| {
        let entries = cx.mapping(node, what)?;
        let read = entries.iter().map(|entry| {
            let column = (words(TYPES).read)(cx, &entry.node, &entry.key.text)?;
            Some((entry.key.text.clone(), column))
        });
        // Read all of them, so that all mistakes are reported.
        let read: Vec<_> = read.collect();
        read.into_iter().collect()
    })
    .show(|types: &Vec<(String, ColumnType)>| {
        let shown = types.iter().map(|(name, column)| {
            let word = TYPES.iter().find(|(_, known)| known == column);
            format!("{name}: {}", word.map_or("", |(word, _)| word))
        });
        format!("{{{}}}", shown.collect::<Vec<_>>().join(", "))
    })
}

/// The settings with which a content is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::connector) struct CsvRead {
    pub(in crate::connector) dialect: Dialect,
    pub(in crate::connector) header: InputHeader,
    pub(in crate::connector) types: Vec<(String, ColumnType)>,
}

impl CsvRead {
    /// Returns the settings, with this delimiter if none is set.
    pub(in crate::connector) fn new(csv: Option<&CsvInput>, default: Delimiter) -> Self {
        let csv = csv.cloned().unwrap_or_default();
        Self {
            dialect: csv.syntax.dialect(default),
            header: csv.header,
            types: csv.types,
        }
    }

    /// Returns the type of a column, if one is set.
    pub(in crate::connector) fn type_of(&self, name: &str) -> Option<ColumnType> {
        let mut types = self.types.iter();
        let found = types.find(|(known, _)| known == name);
        found.map(|(_, column)| *column)
    }
}

/// Returns the names of this number of columns without a header.
pub(in crate::connector) fn numbered(columns: usize) -> impl Iterator<Item = String> {
    (1..=columns).map(|number| format!("column{number}"))
}
