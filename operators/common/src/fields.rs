//! Fields of JSON records: extracts the fields in use from an object without parsing the rest.
//!
//! Uses `from_slice` throughout, even for a `str`: a second reader of serde_json would double that code in a component.

use mosaik_datum::path;
use mosaik_wasm_sdk::{Error, Result, bail};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A field, by name or by a path of names separated by dots; `\.` is a dot within a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    path: Vec<Box<str>>,
}

impl Field {
    /// Parses a path.
    ///
    /// # Errors
    /// Fails if one of its names is empty.
    pub fn parse<E: serde::de::Error>(text: &str) -> Result<Self, E> {
        let path: Vec<Box<str>> = path::parts(text).map(|(_, name)| name.into()).collect();
        if path.iter().any(|name| name.is_empty()) {
            return Err(E::custom(format_args!(
                "a field has a name, like price or trade.price, not `{text}`"
            )));
        }
        Ok(Self { path })
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

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Cow::<str>::deserialize(deserializer)?)
    }
}

/// A set of fields that are extracted in one pass over a record.
#[derive(Debug, Default)]
pub struct Wanted {
    fields: Vec<Field>,
    /// The first names of the fields' paths, without duplicates.
    tops: Vec<Box<str>>,
    /// For every field, the index of its first name in `tops`.
    top_of: Vec<usize>,
}

impl Wanted {
    /// Adds a field and returns its index among the values.
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

    /// Returns the values of all fields in a record, by index; `None` for missing fields. `N` must be at least the
    /// number of fields; values beyond it are not returned.
    ///
    /// # Errors
    /// Fails if the record is not a JSON object.
    pub fn find<'a, const N: usize>(&self, datum: &'a [u8]) -> Result<[Option<&'a RawValue>; N]> {
        let mut json = serde_json::Deserializer::from_slice(datum);
        let read = Members { names: &self.tops }.deserialize(&mut json);
        let read = read.and_then(|tops: [Option<&'a RawValue>; N]| json.end().map(|()| tops));
        let tops = read.map_err(|error| Error::new(format_args!("not a JSON object: {error}")))?;
        let mut values = [None; N];
        for ((value, field), top) in values.iter_mut().zip(&self.fields).zip(&self.top_of) {
            *value = tops.get(*top).copied().flatten();
            for name in field.path.iter().skip(1) {
                *value = value.and_then(|object| member(object, name));
            }
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

fn member<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    let mut json = serde_json::Deserializer::from_slice(object.get().as_bytes());
    let [found] = Members {
        names: &[name.into()],
    }
    .deserialize(&mut json)
    .ok()?;
    found
}

/// Extracts the members of an object that have these names.
struct Members<'a, const N: usize> {
    names: &'a [Box<str>],
}

impl<'de, const N: usize> DeserializeSeed<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        while let Some(place) = map.next_key_seed(Place { names: self.names })? {
            match place.and_then(|place| values.get_mut(place)) {
                Some(value) => *value = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(values)
    }
}

/// The index of a member's name among the requested ones.
struct Place<'a> {
    names: &'a [Box<str>],
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.names.iter().position(|wanted| **wanted == *name))
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
