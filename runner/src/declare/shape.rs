//! [`Shape`]: a description of allowed values, for the JSON Schema and the reference.

use std::time::Duration;

use super::Section;
use crate::declare::scalar::{show_duration, show_size};

/// The values that a key allows.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Text,
    Bool,
    /// A duration within inclusive bounds.
    Duration(Duration, Duration),
    /// A size in bytes within inclusive bounds.
    Size(u64, u64),
    Name,
    /// A whole number within inclusive bounds.
    Count(u64, u64),
    /// A number greater than 0.
    Number,
    /// Text that matches a regular expression; the first text describes it.
    Pattern(&'static str, &'static str),
    /// One of these words.
    Words(Vec<&'static str>),
    Anything,
    List(Box<Self>),
    /// A mapping from names to values.
    Map(Box<Self>),
    /// A mapping from the names of columns, which are any text, to values.
    Columns(Box<Self>),
    Of(&'static Section),
    Either(Vec<Self>),
    /// A mapping with one of these keys.
    OneOf(Vec<(&'static str, Self)>),
    /// Data range criteria.
    Criteria,
    /// The schema of a postcard record.
    PostcardSchema,
}

impl Shape {
    /// Returns the bounds of a duration or a size, or the form of a text, for people. The JSON Schema has no words for
    /// them.
    pub(crate) fn bounds(&self) -> Option<String> {
        match *self {
            Self::Duration(min, max) if min.is_zero() => {
                Some(format!("At most {}.", show_duration(max)))
            }
            Self::Duration(min, max) => {
                Some(format!("{} to {}.", show_duration(min), show_duration(max)))
            }
            Self::Size(0 | 1, max) => Some(format!("At most {}.", show_size(max))),
            Self::Size(min, max) => Some(format!("{} to {}.", show_size(min), show_size(max))),
            Self::Pattern(form, _) => Some(format!("Form: {form}.")),
            _ => None,
        }
    }
}
