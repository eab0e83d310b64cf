//! [`CsvEncoder`]: makes a row of `csv` of each JSON object. No I/O.
//!
//! Values are written as the reader of a source understands them: numbers digit for digit, `null` and missing fields as
//! empty values, empty text as `""`, lists and objects as their JSON. A value is quoted only if it has to be.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::{BufMut, BytesMut};
use mosaik_streams::{Frames, FramesBuilder};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

use super::settings::{Dialect, OutputHeader};

/// The line of names at the beginning of an output, once the columns are known.
pub(in crate::connector) type Heading = Arc<OnceLock<Vec<u8>>>;

/// Makes rows of JSON objects.
#[derive(Debug)]
pub struct CsvEncoder {
    dialect: Dialect,
    /// Positions of the columns by name; empty until they are known.
    columns: HashMap<String, usize>,
    /// `None` if the output has no line of names.
    heading: Option<Heading>,
    /// Position of each column's value in the current record.
    values: Vec<Option<Range<usize>>>,
}

/// The reason that a record is not a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The record is not a JSON object.
    #[error("it is not a JSON object, which a row of `csv` requires")]
    NotAnObject,
    /// A field is not one of the columns.
    #[error("its field {name:?} is not a column")]
    Field {
        /// The name of the field.
        name: String,
    },
    /// A value needs quotes, and there are none.
    #[error("its field {name:?} needs quotes, and `quote` is `none`")]
    Quotes {
        /// The name of the field.
        name: String,
    },
}

impl RowError {
    /// Returns a short code of the reason, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::Field { .. } => "unknown_field",
            Self::Quotes { .. } => "needs_quotes",
        }
    }
}

/// A record that was not converted to a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRow {
    /// The index of the record in its batch.
    pub index: usize,
    /// The reason that it was not converted.
    pub error: RowError,
}

impl CsvEncoder {
    /// Creates an encoder for this header.
    pub(in crate::connector) fn new(dialect: Dialect, header: &OutputHeader) -> Self {
        let mut encoder = Self {
            dialect,
            columns: HashMap::new(),
            heading: (*header != OutputHeader::None).then(Heading::default),
            values: Vec::new(),
        };
        if let OutputHeader::Names(names) = header {
            // The manifest allows only names that can be written.
            let _ = encoder.set_columns(names);
        }
        encoder
    }

    /// Sets the columns, in this order, unless they are known.
    ///
    /// # Errors
    /// A name needs quotes, and there are none.
    pub(in crate::connector) fn set_columns(&mut self, names: &[String]) -> Result<(), RowError> {
        if !self.columns.is_empty() {
            return Ok(());
        }
        if let Some(heading) = &self.heading {
            let mut line = BytesMut::new();
            for (index, name) in names.iter().enumerate() {
                if index > 0 {
                    line.put_u8(self.dialect.delimiter);
                }
                if !self.put(&mut line, name, names.len() == 1) {
                    return Err(RowError::Quotes { name: name.clone() });
                }
            }
            line.put_u8(b'\n');
            // Set only here, before the first row.
            let _ = heading.set(line.to_vec());
        }
        self.columns = names.iter().cloned().zip(0..).collect();
        self.values = vec![None; names.len()];
        Ok(())
    }

    /// Returns the line of names at the beginning of the output, if it has one.
    pub(in crate::connector) fn heading(&self) -> Option<Heading> {
        self.heading.clone()
    }

    /// Converts each record to a row without a line end. Returns the rows, and the records that were not converted.
    pub fn encode(&mut self, batch: &Frames) -> (Frames, Vec<NoRow>) {
        let mut rows = FramesBuilder::with_capacity(batch.payload_len());
        let mut refused = Vec::new();
        for (index, json) in batch.iter().enumerate() {
            if let Err(error) = rows.push_with(|out| self.row(json, out)) {
                refused.push(NoRow { index, error });
            }
        }
        (rows.finish(), refused)
    }

    fn row(&mut self, json: &[u8], out: &mut BytesMut) -> Result<(), RowError> {
        if self.columns.is_empty() {
            let fields: Map<String, Value> =
                serde_json::from_slice(json).map_err(|_| RowError::NotAnObject)?;
            let names: Vec<_> = fields.into_iter().map(|(name, _)| name).collect();
            if names.is_empty() {
                // No columns can be taken from it.
                return Err(RowError::NotAnObject);
            }
            self.set_columns(&names)?;
        }
        self.values.fill(None);
        let mut unknown = None;
        let fields = Fields {
            json,
            columns: &self.columns,
            values: &mut self.values,
            unknown: &mut unknown,
        };
        let mut reader = serde_json::Deserializer::from_slice(json);
        let read = fields.deserialize(&mut reader).and_then(|()| reader.end());
        read.map_err(|_| RowError::NotAnObject)?;
        if let Some(name) = unknown {
            return Err(RowError::Field { name });
        }
        let is_only = self.values.len() == 1;
        for (index, value) in self.values.iter().enumerate() {
            if index > 0 {
                out.put_u8(self.dialect.delimiter);
            }
            let raw = value.clone().and_then(|range| json.get(range));
            // The JSON is valid, and therefore UTF-8.
            let raw = raw.and_then(|raw| std::str::from_utf8(raw).ok());
            let is_written = match raw {
                // An empty line is not a row.
                None | Some("null") if is_only => self.put(out, "", true),
                None | Some("null") => true,
                Some(raw) if raw.starts_with('"') => self.put(out, &text(raw), true),
                Some(raw) => self.put(out, raw, false),
            };
            if !is_written {
                let mut columns = self.columns.iter();
                let column = columns.find(|(_, position)| **position == index);
                let name = column.map_or_else(String::new, |(name, _)| name.clone());
                return Err(RowError::Quotes { name });
            }
        }
        Ok(())
    }

    /// Appends a value, in quotes if they are needed. Returns `false` if they are needed and there are none.
    fn put(&self, out: &mut BytesMut, value: &str, is_text: bool) -> bool {
        let Dialect { delimiter, quote } = self.dialect;
        let bytes = value.as_bytes();
        let is_special =
            |byte: &u8| matches!(byte, b'\n' | b'\r') || *byte == delimiter || Some(*byte) == quote;
        if !(bytes.iter().any(is_special) || is_text && bytes.is_empty()) {
            out.put_slice(bytes);
            return true;
        }
        let Some(quote) = quote else {
            return bytes.is_empty() && self.values.len() > 1;
        };
        out.put_u8(quote);
        for part in bytes.split_inclusive(|byte| *byte == quote) {
            out.put_slice(part);
            if part.last() == Some(&quote) {
                out.put_u8(quote);
            }
        }
        out.put_u8(quote);
        true
    }
}

/// Returns the content of a JSON string.
fn text(raw: &str) -> Cow<'_, str> {
    match raw.get(1..raw.len() - 1) {
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        _ => Cow::Owned(serde_json::from_str(raw).unwrap_or_default()),
    }
}

/// Finds the values of the columns in a JSON object.
struct Fields<'r> {
    json: &'r [u8],
    columns: &'r HashMap<String, usize>,
    values: &'r mut [Option<Range<usize>>],
    /// The first field that is not a column.
    unknown: &'r mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(place) = map.next_key_seed(Place(self.columns))? {
            let value: &RawValue = map.next_value()?;
            match place {
                Ok(column) => {
                    let start = value.get().as_ptr().addr() - self.json.as_ptr().addr();
                    self.values[column] = Some(start..start + value.get().len());
                }
                Err(name) => {
                    self.unknown.get_or_insert(name);
                }
            }
        }
        Ok(())
    }
}

/// Finds a column by its name, and otherwise returns the name.
struct Place<'r>(&'r HashMap<String, usize>);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Result<usize, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.get(name).copied().ok_or_else(|| name.to_owned()))
    }
}

#[cfg(test)]
mod tests;
