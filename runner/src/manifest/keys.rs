//! Which keys there are and what each holds: the one table that both the reader and the JSON Schema go by.

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Section {
    /// What it is called in the JSON Schema.
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

/// What a key holds.
#[derive(Debug)]
pub(crate) enum Shape {
    Text,
    Bool,
    Duration,
    Size,
    Name,
    Hex64,
    /// A whole number within bounds.
    Count(u64, u64),
    /// Text that looks like this regular expression.
    Pattern(&'static str),
    /// One of these words.
    Words(&'static [&'static str]),
    Anything,
    List(&'static Self),
    /// From names to values.
    Map(&'static Self),
    Of(&'static Section),
    Either(&'static [Self]),
    /// Not read by this module's tables but by serde: the connectors.
    Source,
    Sink,
    /// Data range criteria.
    Criteria,
    /// The shape of a postcard datum.
    PostcardSchema,
}

impl Section {
    /// The names of its keys.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

/// A key that may be left out.
pub(crate) const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key {
        name,
        doc,
        shape,
        required: false,
    }
}

/// A key that must be there.
pub(crate) const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key {
        name,
        doc,
        shape,
        required: true,
    }
}
