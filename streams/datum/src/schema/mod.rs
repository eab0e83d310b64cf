//! [`Schema`]: the type of a postcard record; and [`Transcoder`], which converts between postcard and JSON by a schema.
//! No I/O.

mod cursor;
mod error;
mod from_json;
mod names;
mod to_json;
mod transcoder;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

pub(crate) use cursor::{Cursor, Digits};
pub use error::{Malformed, SchemaError, TranscodeError};
pub use transcoder::{DEFAULT_PART_BYTES, Refused, Transcoded, Transcoder};

/// The maximum nesting of types. Keeps the resulting JSON within the limits of common parsers.
pub const MAX_SCHEMA_DEPTH: usize = 96;

/// The type of a postcard record, as given by the definition of a Rust type.
///
/// A struct with one unnamed field is represented by the type of that field. Recursive types have no schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schema {
    /// `bool`.
    Bool,
    /// An unsigned integer of 8, 16, 32, 64 or 128 bits. `usize` has 64.
    Unsigned(u8),
    /// A signed integer of 8, 16, 32, 64 or 128 bits. `isize` has 64.
    Signed(u8),
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// `char`.
    Char,
    /// `String`.
    String,
    /// A byte string with a length prefix: the same bytes as `Vec<u8>`.
    Bytes,
    /// `()`, and a unit struct.
    Unit,
    /// `Option<_>`.
    Option(Box<Self>),
    /// `Vec<_>` and sets.
    Sequence(Box<Self>),
    /// `[_; N]`.
    Array(Box<Self>, u32),
    /// A tuple, and a struct with several unnamed fields.
    Tuple(Vec<Self>),
    /// `BTreeMap<_, _>`, `HashMap<_, _>`: the types of keys and values. A key must have a JSON text: it is a `bool`, an
    /// integer, a `char`, a `String` or an enum whose variants are all units.
    Map(Box<Self>, Box<Self>),
    /// A struct: its fields in the order of definition.
    Struct(Vec<(String, Self)>),
    /// An enum: its variants in the order of definition, and their contents. The content of a variant with several
    /// unnamed fields is a [`Tuple`](Self::Tuple), with named fields a [`Struct`](Self::Struct).
    Enum(Vec<(String, Option<Self>)>),
}

impl Schema {
    /// Validates the schema: a Rust type of this form exists and can be converted to JSON.
    ///
    /// # Errors
    /// Returns the first mistake.
    pub fn check(&self) -> Result<(), SchemaError> {
        self.check_within(MAX_SCHEMA_DEPTH)
    }

    fn check_within(&self, depth: usize) -> Result<(), SchemaError> {
        let depth = depth.checked_sub(1).ok_or(SchemaError::TooDeep)?;
        match self {
            Self::Unsigned(bits) | Self::Signed(bits) => {
                if matches!(bits, 8 | 16 | 32 | 64 | 128) {
                    Ok(())
                } else {
                    Err(SchemaError::Bits(*bits))
                }
            }
            Self::Option(inner) | Self::Sequence(inner) | Self::Array(inner, _) => {
                inner.check_within(depth)
            }
            Self::Tuple(items) => items.iter().try_for_each(|item| item.check_within(depth)),
            Self::Map(key, value) => {
                if !key.is_key() {
                    return Err(SchemaError::Key);
                }
                key.check_within(depth)?;
                value.check_within(depth)
            }
            Self::Struct(fields) => {
                check_names(fields.iter().map(|(name, _)| name))?;
                fields
                    .iter()
                    .try_for_each(|(_, field)| field.check_within(depth))
            }
            Self::Enum(variants) => {
                check_names(variants.iter().map(|(name, _)| name))?;
                variants
                    .iter()
                    .filter_map(|(_, content)| content.as_ref())
                    .try_for_each(|content| content.check_within(depth))
            }
            Self::Bool
            | Self::F32
            | Self::F64
            | Self::Char
            | Self::String
            | Self::Bytes
            | Self::Unit => Ok(()),
        }
    }

    /// Returns true if the type can be a map key: each of its values can be written as a JSON string.
    pub fn is_key(&self) -> bool {
        match self {
            Self::Bool | Self::Unsigned(_) | Self::Signed(_) | Self::Char | Self::String => true,
            Self::Enum(variants) => variants.iter().all(|(_, content)| content.is_none()),
            _ => false,
        }
    }
}

fn check_names<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<(), SchemaError> {
    let mut seen = HashSet::new();
    match names.find(|name| !seen.insert(name.as_str())) {
        Some(twice) => Err(SchemaError::Twice(twice.clone())),
        None => Ok(()),
    }
}
