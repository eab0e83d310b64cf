//! Resolves JSON names to the indices of a schema.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

use super::Schema;

/// Reads a field name as its index; `None` for an unknown field.
pub(super) struct FieldOf<'s> {
    pub(super) fields: &'s [(String, Schema)],
    /// The index to compare first: most fields are in order.
    pub(super) expected: usize,
}

impl<'de> DeserializeSeed<'de> for FieldOf<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldOf<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let is = |index: usize| {
            self.fields
                .get(index)
                .is_some_and(|(known, _)| known == name)
        };
        if is(self.expected) {
            return Ok(Some(self.expected));
        }
        Ok((0..self.fields.len()).find(|index| is(*index)))
    }
}

/// Reads a variant name as its index.
pub(super) struct VariantOf<'s>(pub(super) &'s [(String, Option<Schema>)]);

impl<'de> DeserializeSeed<'de> for VariantOf<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<usize, D::Error> {
        json.deserialize_identifier(self)
    }
}

impl Visitor<'_> for VariantOf<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a variant's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        let found = self.0.iter().position(|(known, _)| known == name);
        found.ok_or_else(|| {
            let known: Vec<_> = self
                .0
                .iter()
                .map(|(known, _)| format!("`{known}`"))
                .collect();
            E::custom(format_args!(
                "unknown variant `{name}`, expected one of {}",
                known.join(", ")
            ))
        })
    }
}
