//! Fields of JSON datums: taking the few that are wanted out of an object, without building the rest.
//!
//! All of it goes by `from_slice`, also where there is a `str`: two readers of serde_json are twice the code in a component.

use mosaik_datum::path;
use mosaik_wasm_sdk::{Error, Result, bail};
use serde::de::{Deserialize, DeserializeSeed, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A field by name, or by a path of names with dots between; `\.` is a dot that belongs to a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    path: Vec<Box<str>>,
}

impl Field {
    /// Reads a path.
    ///
    /// # Errors
    /// When a name of it is empty.
    pub fn parse<E: serde::de::Error>(text: &str) -> Result<Self, E> {
        let path: Vec<Box<str>> = path::parts(text).map(|(_, name)| name.into()).collect();
        if path.iter().any(|name| name.is_empty()) {
            return Err(E::custom(format_args!(
                "a field has a name, like price or trade.price, not `{text}`"
            )));
        }
        Ok(Self { path })
    }

    /// What the field is called in an output: the last name of its path.
    pub fn name(&self) -> &str {
        self.path.last().map_or("", |name| name)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&path::dotted(&self.path))
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Cow::<str>::deserialize(deserializer)?)
    }
}

/// Fields taken together: one pass over a datum finds them all.
#[derive(Debug, Default)]
pub struct Wanted {
    fields: Vec<Field>,
    /// The first names of the fields' paths, each once.
    tops: Vec<Box<str>>,
    /// Of every field the place of its first name in `tops`.
    top_of: Vec<usize>,
}

impl Wanted {
    /// Adds a field; gives its place among the values.
    pub fn add(&mut self, field: &Field) -> usize {
        if let Some(place) = self.fields.iter().position(|known| known == field) {
            return place;
        }
        let first = field.path.first().cloned().unwrap_or_default();
        let top = self
            .tops
            .iter()
            .position(|top| *top == first)
            .unwrap_or_else(|| {
                self.tops.push(first);
                self.tops.len() - 1
            });
        self.fields.push(field.clone());
        self.top_of.push(top);
        self.fields.len() - 1
    }

    /// The values of all fields in a datum, by place; none where there is no such field. Room for `N` values is given;
    /// whoever adds more fields than that does not see the last ones.
    ///
    /// # Errors
    /// When the datum is no JSON object.
    pub fn find<'a, const N: usize>(&self, datum: &'a [u8]) -> Result<[Option<&'a RawValue>; N]> {
        let mut json = serde_json::Deserializer::from_slice(datum);
        let mut tops = [None; N];
        let members = path::Members {
            names: &self.tops,
            found: &mut tops,
        };
        let read = members.deserialize(&mut json).and_then(|()| json.end());
        read.map_err(|error| Error::new(format_args!("not a JSON object: {error}")))?;
        let mut values = [None; N];
        for ((value, field), top) in values.iter_mut().zip(&self.fields).zip(&self.top_of) {
            let rest = field.path.get(1..).unwrap_or_default();
            *value = tops
                .get(*top)
                .copied()
                .flatten()
                .and_then(|top| path::member(top, rest));
        }
        Ok(values)
    }

    /// The value at a place, which must be there.
    ///
    /// # Errors
    /// Names the field that is missing.
    pub fn required<'a>(
        &self,
        values: &[Option<&'a RawValue>],
        place: usize,
    ) -> Result<&'a RawValue> {
        match (values.get(place).copied().flatten(), self.fields.get(place)) {
            (Some(value), _) => Ok(value),
            (None, Some(field)) if field.path.len() > 1 => {
                bail!("there is no field `{field}` (a dot that is part of a name is written `\\.`)")
            }
            (None, Some(field)) => bail!("there is no field `{field}`"),
            (None, None) => bail!("there is no such field"),
        }
    }
}

/// The text of a JSON string.
pub fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let inner = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_slice(value.get().as_bytes())
            .ok()
            .map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// The front of a text, for an error.
pub fn short(text: &str) -> &str {
    text.char_indices()
        .nth(40)
        .map_or(text, |(end, _)| &text[..end])
}
