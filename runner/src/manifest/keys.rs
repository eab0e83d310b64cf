//! The table of all keys and their allowed values, used by both the reader and the JSON Schema.

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its name in the JSON Schema.
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
}

/// A key of a section.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
}

/// The allowed values of a key.
#[derive(Debug)]
pub(crate) enum Shape {
    Text,
    Bool,
    Duration,
    Size,
    Name,
    Hex64,
    /// A whole number within inclusive bounds.
    Count(u64, u64),
    /// Text that matches this regular expression.
    Pattern(&'static str),
    /// One of these words.
    Words(&'static [&'static str]),
    Anything,
    List(&'static Self),
    /// A mapping from names to values.
    Map(&'static Self),
    Of(&'static Section),
    Either(&'static [Self]),
    /// Connectors are read by serde and not by these tables.
    Source,
    Sink,
    /// Data range criteria.
    Criteria,
    /// The schema of a postcard record.
    PostcardSchema,
}

impl Section {
    /// Returns the names of the section's keys.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

/// Defines an optional key.
pub(crate) const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key {
        name,
        doc,
        shape,
        required: false,
    }
}

/// Defines a required key.
pub(crate) const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key {
        name,
        doc,
        shape,
        required: true,
    }
}
