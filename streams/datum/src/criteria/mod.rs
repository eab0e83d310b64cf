//! [`Criteria`]: a selection of the records of a stream. No I/O.
//!
//! The criteria of remote consumers are evaluated in the producer's process. The language therefore has no loops and no
//! functions: the cost is bounded by the size of the criteria, and the size by [`MAX_CONDITIONS`], [`MAX_NEGATIONS`]
//! and [`MAX_PATH_FIELDS`].

mod build;
mod json;
mod postcard;
mod select;
mod serde_form;
mod spelled;
#[cfg(test)]
mod tests;
mod value;
mod wire;

pub use build::Field;
pub use select::{NotSelectable, Selector};
pub use spelled::SPELLED;
pub use wire::{MAX_WIRE_LEN, WireError};

use serde::{Deserialize, Serialize};

use crate::{number::Decimal, path};

/// The maximum number of conditions, counting all alternatives and all values of lists: 1024.
pub const MAX_CONDITIONS: usize = 1024;
/// The maximum number of nested `not`: 8.
pub const MAX_NEGATIONS: usize = 8;
/// The maximum number of names in a path: 64.
pub const MAX_PATH_FIELDS: usize = 64;

/// A selection of the records of a stream. A record matches if any alternative matches, and an alternative matches if
/// all of its conditions do.
///
/// The default matches every record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Criteria {
    pub(crate) any: Vec<Alternative>,
}

/// Conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Alternative {
    pub(crate) all: Vec<(Path, Condition)>,
}

/// The path to a value within a record: the names of the fields that lead to it. Written with dots in between; `\.` is
/// a dot within a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Path(pub(crate) Vec<String>);

/// A condition on a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Equals one of these values; a single value is a list of one.
    OneOf(Vec<Scalar>),
    /// Within these bounds. Numbers compare with numbers, and text with text by code point; other values are never
    /// within.
    Range(Range),
    /// Text with this prefix.
    Prefix(String),
    /// Present, or not. `null` counts as present.
    Exists(bool),
    /// Negation. Holds for a missing field, unless it negates `Exists(false)`.
    Not(Box<Self>),
}

/// The bounds of a range. `None` means unbounded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Range {
    /// The value must be greater than this.
    pub gt: Option<Scalar>,
    /// The value must be at least this.
    pub gte: Option<Scalar>,
    /// The value must be less than this.
    pub lt: Option<Scalar>,
    /// The value must be at most this.
    pub lte: Option<Scalar>,
}

/// A single value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Scalar {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number that is the decimal of a 64-bit float: `0.1` for the float nearest to a tenth.
    Float(f64),
    /// Text.
    Text(String),
    /// A number with more digits than the other variants can hold.
    Number(Decimal),
}

impl Criteria {
    /// Returns true if every record matches.
    pub fn is_everything(&self) -> bool {
        self.any.is_empty()
    }

    /// Returns the paths of all conditions, including duplicates.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.any
            .iter()
            .flat_map(|alternative| alternative.all.iter().map(|(path, _)| path))
    }
}

impl Path {
    /// Returns the names of the path.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl From<&str> for Path {
    fn from(dotted: &str) -> Self {
        Self(path::names(dotted))
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&path::dotted(&self.0))
    }
}
