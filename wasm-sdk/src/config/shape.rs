//! [`Shape`]: the values that a configuration allows, as a constant from which the JSON Schema and the reference are
//! written.

/// The allowed values of a type.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Any value.
    Any,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer {
        /// The least number of the type, if the schema states it.
        min: Option<i64>,
    },
    /// A number.
    Number,
    /// A text.
    Text {
        /// The name of its form in the reference: `duration`.
        form: &'static str,
        /// Further members of the schema: `"minLength":1`.
        limits: &'static str,
    },
    /// One of these words.
    Words(&'static [&'static str]),
    /// A list.
    List(&'static Self),
    /// A mapping from any names to values.
    Map(&'static Self),
    /// A mapping with known keys.
    Mapping(&'static Mapping),
    /// One of several forms.
    Either(&'static [&'static Self]),
    /// A value that this JSON Schema describes.
    Json {
        /// The name in the reference.
        form: &'static str,
        /// The schema, an object.
        schema: &'static str,
    },
}

impl Shape {
    /// A plain text.
    pub const TEXT: Self = Self::Text {
        form: "text",
        limits: "",
    };

    /// Returns true if a mapping can have this shape.
    pub const fn admits_mapping(&self) -> bool {
        match self {
            Self::Any | Self::Map(_) | Self::Mapping(_) | Self::Json { .. } => true,
            Self::Either(shapes) => {
                let mut index = 0;
                while index < shapes.len() {
                    if shapes[index].admits_mapping() {
                        return true;
                    }
                    index += 1;
                }
                false
            }
            _ => false,
        }
    }
}

/// A mapping with known keys.
#[derive(Debug, Clone, Copy)]
pub struct Mapping {
    pub(super) keys: &'static [Key],
    pub(super) shorthand: &'static [&'static str],
    pub(super) one_of: &'static [&'static str],
    pub(super) definitions: &'static str,
}

impl Mapping {
    /// Creates a mapping with these keys.
    pub const fn new(keys: &'static [Key]) -> Self {
        Self {
            keys,
            shorthand: &[],
            one_of: &[],
            definitions: "",
        }
    }

    /// Sets the keys that have the value if it is written in place of the mapping.
    #[must_use]
    pub const fn shorthand(self, keys: &'static [&'static str]) -> Self {
        Self {
            shorthand: keys,
            ..self
        }
    }

    /// Sets the keys of which exactly one is required.
    #[must_use]
    pub const fn one_of(self, keys: &'static [&'static str]) -> Self {
        Self {
            one_of: keys,
            ..self
        }
    }

    /// Sets the `$defs` of the schema, an object in JSON.
    #[must_use]
    pub const fn definitions(self, definitions: &'static str) -> Self {
        Self {
            definitions,
            ..self
        }
    }

    pub(super) const fn key(&self, name: &str) -> Option<&'static Key> {
        let mut index = 0;
        while index < self.keys.len() {
            if is_same(self.keys[index].name, name) {
                return Some(&self.keys[index]);
            }
            index += 1;
        }
        None
    }
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// A key of a mapping.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) shape: &'static Shape,
    pub(super) presence: Presence,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
    pub(super) requires: &'static [&'static str],
    pub(super) conflicts: &'static [&'static str],
}

/// The effect of a missing key.
#[derive(Debug, Clone, Copy)]
pub enum Presence {
    /// The configuration is refused.
    Required,
    /// It has this value, in JSON.
    Default(&'static str),
    /// It has no value, which this text describes.
    Unset(&'static str),
}

impl Key {
    /// Creates a key.
    pub const fn new(
        name: &'static str,
        doc: &'static str,
        shape: &'static Shape,
        presence: Presence,
    ) -> Self {
        Self {
            name,
            doc,
            shape,
            presence,
            min: None,
            max: None,
            requires: &[],
            conflicts: &[],
        }
    }

    /// Sets the bounds of its value, or of the number of its items.
    #[must_use]
    pub const fn bounds(self, min: Option<i64>, max: Option<i64>) -> Self {
        Self { min, max, ..self }
    }

    /// Sets the keys that this one requires.
    #[must_use]
    pub const fn requires(self, requires: &'static [&'static str]) -> Self {
        Self { requires, ..self }
    }

    /// Sets the keys that must not be set together with this one.
    #[must_use]
    pub const fn conflicts(self, conflicts: &'static [&'static str]) -> Self {
        Self { conflicts, ..self }
    }
}
