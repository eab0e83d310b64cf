//! Fields of JSON records: extracts the fields in use from an object without parsing the rest.
//!
//! Uses `from_slice` throughout, even for a `str`: a second reader of serde_json would double that code in a component.

use mosaik_datum::path::{self, Paths};
use mosaik_wasm_sdk::{Error, Mistakes, OperatorConfig, Result, Shape, bail};
use serde::de::DeserializeSeed as _;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A field, by name or by a path of names separated by dots; `\.` is a dot within a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    path: Vec<Box<str>>,
}

impl Field {
    /// Parses a path. Returns `None` if one of its names is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let path: Vec<Box<str>> = path::parts(text).map(|(_, name)| name.into()).collect();
        (!path.iter().any(|name| name.is_empty())).then_some(Self { path })
    }

    /// Returns the name of the field in an output: the last name of its path.
    pub fn name(&self) -> &str {
        self.path.last().map_or("", |name| name)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&path::dotted(&self.path))
    }
}

impl OperatorConfig for Field {
    const SHAPE: &'static Shape = &Shape::Text {
        form: "field",
        limits: r#""minLength":1"#,
    };

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let text = String::read(text, mistakes)?;
        let field = Self::parse(&text);
        if field.is_none() {
            mistakes.add(format_args!(
                "a field has a name, like price or trade.price, not `{text}`"
            ));
        }
        field
    }
}

/// A set of fields that are extracted in one pass over a record.
#[derive(Debug, Default)]
pub struct Wanted {
    fields: Vec<Field>,
    /// The paths of the fields.
    paths: Paths,
}

impl Wanted {
    /// Adds a field and returns its index among the values.
    pub fn add(&mut self, field: &Field) -> usize {
        if let Some(place) = self.fields.iter().position(|known| known == field) {
            return place;
        }
        self.paths.add(field.path.iter().cloned());
        self.fields.push(field.clone());
        self.fields.len() - 1
    }

    /// Returns the values of all fields in a record, by index; `None` for missing fields. `N` must be at least the
    /// number of fields; values beyond it are not returned.
    ///
    /// # Errors
    /// Fails if the record is not a JSON object.
    pub fn find<'a, const N: usize>(&self, datum: &'a [u8]) -> Result<[Option<&'a RawValue>; N]> {
        let mut json = serde_json::Deserializer::from_slice(datum);
        let mut tops = [None; N];
        let members = path::Members {
            names: self.paths.tops(),
            found: &mut tops,
        };
        let read = members.deserialize(&mut json).and_then(|()| json.end());
        read.map_err(|error| Error::new(format_args!("not a JSON object: {error}")))?;
        let mut values = [None; N];
        for (value, found) in values.iter_mut().zip(self.paths.values(&tops)) {
            *value = found;
        }
        Ok(values)
    }

    /// Returns the value at an index, which must be present.
    ///
    /// # Errors
    /// Names the missing field.
    pub fn required<'a>(
        &self,
        values: &[Option<&'a RawValue>],
        place: usize,
    ) -> Result<&'a RawValue> {
        match (values.get(place).copied().flatten(), self.fields.get(place)) {
            (Some(value), _) => Ok(value),
            (None, Some(field)) if field.path.len() > 1 => {
                bail!("missing field `{field}` (write a dot within a name as `\\.`)")
            }
            (None, Some(field)) => bail!("missing field `{field}`"),
            (None, None) => bail!("missing field"),
        }
    }
}

/// Returns the text of a JSON string.
pub fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let inner = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_slice(value.get().as_bytes())
            .ok()
            .map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Returns the beginning of a text, for error messages.
pub fn short(text: &str) -> &str {
    text.char_indices()
        .nth(40)
        .map_or(text, |(end, _)| &text[..end])
}
