//! [`Column`]: what a column is called, and what its values are written as. No I/O.

use std::collections::{HashMap, HashSet};

use bytes::{BufMut, BytesMut};

use super::MAX_COLUMNS;
use crate::connector::{
    framing::{HeaderError, Refusal},
    json,
    postcard::ToPostcard,
};

/// One column of the header.
#[derive(Debug, Clone)]
pub(super) struct Column {
    name: Vec<u8>,
    /// What stands before every value: `{"symbol":`, `,"date":`.
    before: Vec<u8>,
    kind: ColumnKind,
    /// The sample may still turn a column of numbers into one of text.
    is_sampled: bool,
    /// Numbers that were written before a text came.
    numbers: u64,
    /// That it mixes numbers and texts was logged.
    is_reported: bool,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::connector) enum ColumnKind {
    /// What the first value that is not empty looks like.
    #[default]
    Open,
    /// Numbers. A value that is none stays text, and is counted.
    Number,
    /// Text, or `null` if that is what an empty one is.
    Text { empty_is_null: bool },
    /// `true` and `false`.
    Bool,
    /// Each what it looks like: the schema of the stream decides.
    Any,
}

/// What a column without a schema is once a text was found in it.
const TEXT: ColumnKind = ColumnKind::Text {
    empty_is_null: true,
};

/// How a value fits its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Fits,
    /// It is no number, and the column is of numbers.
    NoNumber,
    /// The column is text by now, and so many of its values were written as numbers.
    AfterNumbers(u64),
}

impl Fit {
    /// Values that are not of their column's kind.
    pub(super) const fn mixed(self) -> u64 {
        match self {
            Self::Fits => 0,
            Self::NoNumber => 1,
            Self::AfterNumbers(numbers) => numbers,
        }
    }
}

impl Column {
    /// The columns that a header names; those that `known` has are what they are there.
    pub(super) fn all<'v>(
        names: impl Iterator<Item = &'v [u8]>,
        known: &[Self],
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
            columns.push(Self::new(name, columns.is_empty(), postcard));
        }
        if !known.is_empty() {
            let known: HashMap<_, _> = known.iter().map(|column| (&*column.name, column)).collect();
            for column in &mut columns {
                if let Some(known) = known.get(&*column.name) {
                    column.kind = known.kind;
                    column.is_sampled = known.is_sampled;
                    column.numbers = known.numbers;
                    column.is_reported = known.is_reported;
                }
            }
        }
        Ok(columns)
    }

    fn new(name: &str, is_first: bool, postcard: Option<&ToPostcard>) -> Self {
        let mut before = BytesMut::new();
        before.put_u8(if is_first { b'{' } else { b',' });
        json::write_string(&mut before, name);
        before.put_u8(b':');
        Self {
            name: name.as_bytes().to_vec(),
            before: before.to_vec(),
            kind: postcard.map_or(ColumnKind::Open, |postcard| postcard.column(name)),
            is_sampled: postcard.is_none(),
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

    /// Looks at a value of the sample. An empty one says nothing, and the row of one that is not UTF-8 will be refused.
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

    /// The sample is over: what the column is by now it stays.
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
                ColumnKind::Bool => b"null",
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
            ColumnKind::Any | ColumnKind::Open => json::is_number(value),
        };
        if is_as_it_is {
            out.put_slice(value);
        } else {
            let text = std::str::from_utf8(value).map_err(|_| Refusal::NotUtf8)?;
            json::write_string(out, text);
        }
        Ok(fit)
    }

    /// What to log of a value that does not fit, the first time.
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
