//! [`Column`]: the name of a CSV column and the JSON type of its values. No I/O.

mod place;

use std::collections::{HashMap, HashSet};

use bytes::{BufMut, BytesMut};

use super::{
    MAX_COLUMNS,
    settings::{ColumnType, CsvRead},
};
use crate::connector::format::{
    framing::{HeaderError, Refusal},
    json,
    postcard::ToPostcard,
};

/// One column of the header.
#[derive(Debug, Clone)]
pub(super) struct Column {
    name: Vec<u8>,
    /// Text written before each value: `{"symbol":`, `,"date":`.
    before: Vec<u8>,
    kind: ColumnKind,
    /// The kind is set by `types`.
    is_set: bool,
    /// The sample may still change a column of numbers into a text column.
    is_sampled: bool,
    /// Number of values written as numbers before the first text.
    numbers: u64,
    /// The mix of numbers and text in this column has been logged.
    is_reported: bool,
}

/// Type of the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::connector) enum ColumnKind {
    /// Undecided: determined by the first non-empty value.
    #[default]
    Open,
    /// Numbers. A value that is not a number is written as text and counted.
    Number,
    /// Text. An empty value is `null` if `empty_is_null` is set.
    Text { empty_is_null: bool },
    /// `true` and `false`.
    Bool,
    /// Values of a type that is set. Rows with other values are refused. Never [`ColumnType::String`].
    Only(ColumnType),
    /// Each value is written as the type it looks like; the stream's schema then accepts or refuses it.
    Any,
}

/// Kind of a column without a schema after its first text value.
const TEXT: ColumnKind = ColumnKind::Text {
    empty_is_null: true,
};

/// Match between a value and the kind of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Fits,
    /// The value is not a number, and the column holds numbers.
    NoNumber,
    /// The column became a text column after this number of values had been written as numbers.
    AfterNumbers(u64),
}

impl Fit {
    /// Returns the number of values that do not match the kind of their column.
    pub(super) const fn mixed(self) -> u64 {
        match self {
            Self::Fits => 0,
            Self::NoNumber => 1,
            Self::AfterNumbers(numbers) => numbers,
        }
    }
}

impl Column {
    /// Creates the columns of a header. Columns that `known` contains keep their kind, unless a type is set.
    pub(super) fn all<'v>(
        names: impl Iterator<Item = &'v [u8]>,
        known: &[Self],
        settings: &CsvRead,
        postcard: Option<&ToPostcard>,
    ) -> Result<Vec<Self>, HeaderError> {
        let mut seen = HashSet::new();
        let mut columns = Vec::new();
        for name in names {
            if columns.len() == MAX_COLUMNS {
                return Err(HeaderError::TooManyColumns { max: MAX_COLUMNS });
            }
            let name = std::str::from_utf8(name).map_err(|_| HeaderError::NotUtf8)?;
            if !seen.insert(name) {
                return Err(HeaderError::Duplicate {
                    name: name.to_owned(),
                });
            }
            columns.push(Self::new(name, columns.is_empty(), settings, postcard));
        }
        if !known.is_empty() {
            let known: HashMap<_, _> = known.iter().map(|column| (&*column.name, column)).collect();
            for column in &mut columns {
                if let Some(known) = known.get(&*column.name)
                    && !known.is_set
                    && !column.is_set
                {
                    column.kind = known.kind;
                    column.is_sampled = known.is_sampled;
                    column.numbers = known.numbers;
                    column.is_reported = known.is_reported;
                }
            }
        }
        Ok(columns)
    }

    fn new(name: &str, is_first: bool, settings: &CsvRead, postcard: Option<&ToPostcard>) -> Self {
        let own = postcard.map_or(ColumnKind::Open, |postcard| postcard.column(name));
        let set = settings.type_of(name).map(|set| match (set, own) {
            (ColumnType::String, ColumnKind::Text { .. }) => own,
            (ColumnType::String, _) => TEXT,
            (set, _) => ColumnKind::Only(set),
        });
        let mut before = BytesMut::new();
        before.put_u8(if is_first { b'{' } else { b',' });
        json::write_string(&mut before, name);
        before.put_u8(b':');
        Self {
            name: name.as_bytes().to_vec(),
            before: before.to_vec(),
            kind: set.unwrap_or(own),
            is_set: set.is_some(),
            is_sampled: postcard.is_none() && set.is_none(),
            numbers: 0,
            is_reported: false,
        }
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    pub(super) const fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// Inspects a value of the sample. Ignores empty values, and values that are not UTF-8, whose rows are refused
    /// later.
    pub(super) fn sample(&mut self, value: &[u8]) {
        let is_decided = !self.is_sampled || self.kind == TEXT;
        if is_decided || value.is_empty() || std::str::from_utf8(value).is_err() {
            return;
        }
        self.kind = if json::is_number(value) {
            ColumnKind::Number
        } else {
            TEXT
        };
    }

    /// Ends the sample: the column keeps its current kind.
    pub(super) const fn settle(&mut self) {
        self.is_sampled = false;
    }

    /// Appends a value with its key.
    pub(super) fn write(
        &mut self,
        out: &mut BytesMut,
        value: &[u8],
        is_quoted: bool,
    ) -> Result<Fit, Refusal> {
        out.put_slice(&self.before);
        if value.is_empty() {
            out.put_slice(match self.kind {
                ColumnKind::Text {
                    empty_is_null: false,
                } => b"\"\"",
                ColumnKind::Bool | ColumnKind::Only(_) => b"null",
                _ if is_quoted => b"\"\"",
                _ => b"null",
            });
            return Ok(Fit::Fits);
        }
        if self.kind == ColumnKind::Open {
            self.kind = if json::is_number(value) {
                ColumnKind::Number
            } else {
                TEXT
            };
        }
        if let ColumnKind::Only(set) = self.kind {
            return self.write_only(out, value, set);
        }
        let mut fit = Fit::Fits;
        let is_as_it_is = match self.kind {
            ColumnKind::Number if json::is_number(value) => {
                self.numbers += u64::from(self.is_sampled);
                true
            }
            ColumnKind::Number => {
                fit = Fit::NoNumber;
                false
            }
            ColumnKind::Text { .. } => {
                if self.numbers > 0 && self.kind == TEXT {
                    fit = Fit::AfterNumbers(std::mem::take(&mut self.numbers));
                }
                false
            }
            ColumnKind::Bool => matches!(value, b"true" | b"false"),
            ColumnKind::Any | ColumnKind::Open | ColumnKind::Only(_) => json::is_number(value),
        };
        if is_as_it_is {
            out.put_slice(value);
        } else {
            let text = std::str::from_utf8(value).map_err(|_| Refusal::NotUtf8)?;
            json::write_string(out, text);
        }
        Ok(fit)
    }

    /// Appends a value of a type that is set.
    fn write_only(
        &self,
        out: &mut BytesMut,
        value: &[u8],
        set: ColumnType,
    ) -> Result<Fit, Refusal> {
        let (written, kind) = match set {
            ColumnType::Boolean => (json::as_boolean(value), "boolean"),
            ColumnType::Number | ColumnType::String => (json::as_number(value), "number"),
        };
        let Some(written) = written else {
            return Err(Refusal::Type {
                column: String::from_utf8_lossy(&self.name).into_owned(),
                kind,
            });
        };
        out.put_slice(&written);
        Ok(Fit::Fits)
    }

    /// Returns the log message for the first value that does not match; `None` for later ones.
    pub(super) fn report(&mut self, fit: Fit, line: u64) -> Option<String> {
        if fit == Fit::Fits || std::mem::replace(&mut self.is_reported, true) {
            return None;
        }
        let name = String::from_utf8_lossy(&self.name);
        Some(match fit {
            Fit::AfterNumbers(numbers) => format!(
                "line {line}: the column {name:?} is text from here on, as it mixes numbers and texts; {numbers} of its \
                 values left as numbers before, and are counted as `mixed`"
            ),
            _ => format!(
                "line {line}: the column {name:?} has numbers in its first rows and no number here; such values stay text, \
                 and are counted as `mixed`"
            ),
        })
    }
}
