//! Reads a section, and remembers where its parts are in the manifest.

use super::{Declared, Kind, Reader};
use crate::declare::{
    reader::Fields,
    source::Span,
    tree::{Node, Value},
};

/// The keys of a section that are present but invalid, or probably misspelt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Vec<&'static str>);

/// Location of a part of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Path of the part: `routes[1].when`.
    pub(crate) path: String,
    /// Location of its key, or of the item of a list.
    pub(crate) key: Span,
    pub(crate) value: Span,
}

/// Locations of the parts of a mapping.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Vec<Place>);

/// A section with the locations of its parts.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) places: Places,
    faults: Faults,
}

impl Places {
    /// Returns the locations of all parts of a tree.
    pub(crate) fn of(node: &Node) -> Self {
        let mut places = Self::default();
        places.add(node, "");
        places
    }

    /// Returns the locations of the part at a path.
    pub(crate) fn get(&self, path: &str) -> Option<&Place> {
        self.0.iter().find(|place| place.path == path)
    }

    /// Returns the location of the value at a path.
    pub(crate) fn value(&self, path: &str) -> Option<Span> {
        self.get(path).map(|place| place.value)
    }

    /// Returns the location of the key at a path.
    pub(crate) fn key(&self, path: &str) -> Option<Span> {
        self.get(path).map(|place| place.key)
    }

    fn add(&mut self, node: &Node, prefix: &str) {
        match &node.value {
            Value::Scalar(_) => {}
            Value::Mapping(entries) => {
                let dot = if prefix.is_empty() { "" } else { "." };
                for entry in entries {
                    let path = format!("{prefix}{dot}{}", entry.key.text);
                    self.add(&entry.node, &path);
                    self.0.push(Place {
                        path,
                        key: entry.key.span,
                        value: entry.node.span,
                    });
                }
            }
            Value::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{prefix}[{index}]");
                    self.add(item, &path);
                    self.0.push(Place {
                        path,
                        key: item.span,
                        value: item.span,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
impl FromIterator<Place> for Places {
    fn from_iter<I: IntoIterator<Item = Place>>(places: I) -> Self {
        Self(places.into_iter().collect())
    }
}

impl Faults {
    /// Returns whether a key is invalid or misspelt.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains(&key)
    }
}

impl<T> Located<T> {
    /// Returns whether a key is invalid, or missing and probably misspelt.
    pub(crate) fn is_faulty(&self, key: &str) -> bool {
        self.faults.has(key)
    }
}

/// Reads a section with the locations of its parts. Returns `None` if it is not a mapping, or if a required key is
/// missing or invalid.
pub(crate) fn read_located<T: Declared>(
    cx: &mut Reader<'_>,
    node: &Node,
    what: &str,
) -> Option<Located<T>> {
    let (value, faults) = read_section(cx, node, what)?;
    Some(Located {
        value,
        places: Places::of(node),
        faults,
    })
}

/// Like [`read_located`], without the locations.
pub(crate) fn read_section<T: Declared>(
    cx: &mut Reader<'_>,
    node: &Node,
    what: &str,
) -> Option<(T, Faults)> {
    let fields = cx.section(node, what, T::SECTION)?;
    let mut faults = Faults::default();
    let value = T::read_keys(cx, fields, &mut faults);
    let misspelt = T::SECTION.names().filter(|key| fields.is_misspelt(key));
    faults.0.extend(misspelt);
    let value = value?;
    value.check(cx, fields);
    Some((value, faults))
}

/// Reads one key, if it is present. `kind` is only called then.
pub(crate) fn take<T>(
    cx: &mut Reader<'_>,
    fields: Fields<'_>,
    key: &'static str,
    kind: impl FnOnce() -> Kind<T>,
    faults: &mut Faults,
) -> Option<T> {
    let node = fields.node(key)?;
    let value = (kind().read)(cx, node, key);
    if value.is_none() {
        faults.0.push(key);
    }
    value
}
