//! [`Criteria`]: which datums of a stream a subscriber wants. No I/O.
//!
//! A stranger's criteria run in the producer's process, so the language has no loops and no functions: its cost is
//! bounded by its size, and its size by [`MAX_CONDITIONS`], [`MAX_NEGATIONS`] and [`MAX_PATH_FIELDS`].

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

use crate::{Datum, number::Decimal, path};

/// The most conditions in one criteria, all alternatives and all values of lists counted: 1024.
pub const MAX_CONDITIONS: usize = 1024;
/// The most `not` around each other: 8.
pub const MAX_NEGATIONS: usize = 8;
/// The most names in one path: 64.
pub const MAX_PATH_FIELDS: usize = 64;

/// Which datums of a stream a subscriber wants: any of its alternatives, and of an alternative all conditions.
///
/// The default wants every datum.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Criteria {
    pub(crate) any: Vec<Alternative>,
}

/// Conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Alternative {
    pub(crate) all: Vec<(Path, Condition)>,
}

/// Where a value is within a datum: the names of the fields on the way. Written with dots between them; `\.` is a dot that
/// belongs to a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Path(pub(crate) Vec<String>);

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// One of these values; a single value is a list of one.
    OneOf(Vec<Scalar>),
    /// Within these bounds. Numbers compare with numbers and text with text (by code point); nothing else is within.
    Range(Range),
    /// Text that starts like this.
    Prefix(String),
    /// There at all, or not. A `null` is there.
    Exists(bool),
    /// Not this. A field that is not there is not anything, so `not` holds for it.
    Not(Box<Self>),
}

/// Bounds of a range; those that are `None` are open.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Range {
    /// More than.
    pub gt: Option<Scalar>,
    /// At least.
    pub gte: Option<Scalar>,
    /// Less than.
    pub lt: Option<Scalar>,
    /// At most.
    pub lte: Option<Scalar>,
}

/// A single value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Scalar {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number that is the decimal of a 64-bit float: `0.1` for the float nearest to a tenth.
    Float(f64),
    /// Text.
    Text(String),
    /// A number of more digits than the others hold.
    Number(Decimal),
}

impl Criteria {
    /// Whether every datum is wanted.
    pub fn is_everything(&self) -> bool {
        self.any.is_empty()
    }

    /// Whether this datum is wanted. One that cannot be looked into is not, unless every datum is.
    ///
    /// ```
    /// use mosaik_datum::Criteria;
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Price {
    ///     cents: u64,
    /// }
    ///
    /// let dear = Criteria::field("cents").gte(100);
    /// assert!(dear.matches(&Price { cents: 100 }) && !dear.matches(&Price { cents: 99 }));
    /// ```
    pub fn matches<D: Datum>(&self, datum: &D) -> bool {
        let judge = |bytes: bytes::Bytes| D::matches(&bytes, self).unwrap_or(false);
        self.is_everything() || datum.encode().is_ok_and(judge)
    }

    /// The paths it looks at, each time it does.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.any
            .iter()
            .flat_map(|alternative| alternative.all.iter().map(|(path, _)| path))
    }
}

impl Path {
    /// The names on the way.
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
