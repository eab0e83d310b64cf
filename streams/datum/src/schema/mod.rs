//! [`Schema`]: the shape of a postcard datum, and [`Transcoder`], which by it makes JSON of postcard and postcard of JSON.
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

/// The most types around each other. JSON then nests no deeper than common readers take it.
pub const MAX_SCHEMA_DEPTH: usize = 96;

/// The shape of a postcard datum: what a Rust type says by its definition.
///
/// A struct with one unnamed field is written as that field is. A type that contains itself has no schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schema {
    /// `bool`.
    Bool,
    /// An unsigned integer of so many bits: 8, 16, 32, 64 or 128. `usize` has 64.
    Unsigned(u8),
    /// A signed integer of so many bits: 8, 16, 32, 64 or 128. `isize` has 64.
    Signed(u8),
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// `char`.
    Char,
    /// `String`.
    String,
    /// A byte string with its length in front: the same bytes as `Vec<u8>`.
    Bytes,
    /// `()`, and a struct without a body.
    Unit,
    /// `Option<_>`.
    Option(Box<Self>),
    /// `Vec<_>` and the sets.
    Sequence(Box<Self>),
    /// `[_; N]`: as many of one type.
    Array(Box<Self>, u32),
    /// A tuple, and a struct with several unnamed fields.
    Tuple(Vec<Self>),
    /// `BTreeMap<_, _>`, `HashMap<_, _>`: the keys' type and the values'. A key is a `bool`, an integer, a `char`, a
    /// `String` or an enum whose variants hold nothing: in JSON, it must be a text.
    Map(Box<Self>, Box<Self>),
    /// A struct: its fields, in the order of its definition.
    Struct(Vec<(String, Self)>),
    /// An enum: its variants, in the order of its definition, and what each holds. One with several unnamed fields holds a
    /// [`Tuple`](Self::Tuple), one with named fields a [`Struct`](Self::Struct).
    Enum(Vec<(String, Option<Self>)>),
}

impl Schema {
    /// Whether there is a Rust type of this shape which JSON can be made of.
    ///
    /// # Errors
    /// Says what cannot be.
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

    /// Whether a map can have keys of this type: whether JSON has a text for each of its values.
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
