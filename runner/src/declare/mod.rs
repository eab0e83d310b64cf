//! Declarations of keys, and reading them from YAML: with locations, substitution, and a report of all mistakes at once.
//!
//! Each key is declared once, in `section!`: its type, the values it allows, its default, the effect of changing it,
//! and its description. The reader, the JSON Schema, the reference, and the difference between two manifests are derived
//! from the declaration.
//!
//! Stages of reading: [`Source`] (limited in size) → `yaml` (a tree with locations) → `reader` (compares the tree with
//! the expected structure) → the declared sections.

mod de;
mod diagnostics;
mod difference;
mod guarded;
mod kind;
mod located;
mod macros;
mod near;
mod one_of;
mod reader;
#[cfg(test)]
mod reference;
mod render;
mod scalar;
mod shape;
mod source;
mod substitute;
mod syntax;
mod tree;
mod values;
mod yaml;

#[cfg(test)]
mod yaml_tests;

pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use difference::Difference;
pub use guarded::{Guarded, Secret};
pub use scalar::{
    Bootstrap, MAX_NAME_BYTES, PortName, StageName, StreamName, is_name, parse_duration,
    parse_size, show_duration, show_size,
};
pub use source::{MAX_MANIFEST_BYTES, Source, Span};
pub use substitute::{Environment, MAX_SUBSTITUTED_BYTES, ProcessEnvironment};

pub(crate) use de::from_node;
pub(crate) use diagnostics::{all_of, did_you_mean, nearest, one_of};
pub(crate) use difference::compare;
pub(crate) use guarded::decode_hex;
pub(crate) use kind::{Kind, list, nested, shape_of, shape_of_option};
#[cfg(test)]
pub(crate) use located::Place;
pub(crate) use located::{Faults, Located, Places, read_located, read_section, take};
pub(crate) use macros::section;
pub(crate) use near::near_file;
pub(crate) use one_of::one_of_these;
pub(crate) use reader::{Fields, Reader, WHOLE};
#[cfg(test)]
pub(crate) use reference::table;
pub(crate) use scalar::{
    DURATION_PATTERN, NAME_PATTERN, SIZE_PATTERN, duration_hint, parse_address,
};
pub(crate) use shape::Shape;
pub(crate) use source::{Spanned, Unreadable};
pub(crate) use substitute::io_reason;
pub(crate) use tree::{Entry, Node, Plain, Value};
pub(crate) use values::{
    count, duration, flag, number, parsed, path, pattern, size, stream_name, text, words,
};
pub(crate) use yaml::parse as parse_yaml;

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its name in the JSON Schema.
    pub(crate) name: &'static str,
    /// Its description, as consecutive lines.
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
    /// Sections whose keys are part of this one.
    pub(crate) parts: &'static [&'static Self],
}

/// A key of a section.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// Its description, as consecutive lines.
    pub(crate) doc: &'static str,
    pub(crate) shape: fn() -> Shape,
    pub(crate) presence: Presence,
    /// The effect of changing the key; `None`: that of the key that contains its section.
    pub(crate) reload: Option<Reload>,
    /// Whether the graph compares the values, since they are resolved there.
    pub(crate) in_graph: bool,
}

/// The meaning of leaving out a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Presence {
    /// The key is required.
    Required,
    /// The default value, as written in a manifest.
    Default(fn() -> Option<String>),
    /// A description of what applies without the key.
    Unset(&'static str),
}

/// The effect of changing a key in a running node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reload {
    /// None.
    Keep,
    /// The setting changes in place.
    Retune,
    /// The operator is replaced between two batches.
    Swap,
    /// The stage or stream is drained, ended and re-created.
    Rewire,
    /// The node restarts, for this reason.
    Restart(&'static str),
}

impl std::fmt::Display for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Retune => "retune",
            Self::Swap => "swap",
            Self::Rewire => "rewire",
            Self::Restart(_) => "restart",
        })
    }
}

/// A type that is read from a section. Implemented by [`section!`].
pub(crate) trait Declared: Sized {
    const SECTION: &'static Section;

    /// Reads the keys. Reports every mistake, adds the keys with mistakes to `faults`, and applies their defaults.
    /// Returns `None` if a required key is missing or invalid.
    fn read_keys(cx: &mut Reader<'_>, fields: Fields<'_>, faults: &mut Faults) -> Option<Self>;

    /// Reports values that do not fit together.
    fn check(&self, _: &mut Reader<'_>, _: Fields<'_>) {}

    /// Returns the keys whose values can be shown, with the values as written in a manifest.
    fn shown(&self) -> Vec<(&'static str, String)>;
}

impl Section {
    /// Returns all keys.
    pub(crate) fn all_keys(&self) -> impl Iterator<Item = &'static Key> {
        let parts = self.parts.iter().flat_map(|part| part.keys);
        self.keys.iter().chain(parts)
    }

    /// Returns the names of all keys.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.all_keys().map(|key| key.name)
    }

    /// Returns the description as one line.
    pub(crate) fn doc(&self) -> String {
        one_line(self.doc)
    }
}

impl Key {
    /// Returns the description as one line.
    pub(crate) fn doc(&self) -> String {
        one_line(self.doc)
    }

    /// Returns the effect of a missing key, as text for people; `None` if the key is required.
    pub(crate) fn default(&self) -> Option<String> {
        match self.presence {
            Presence::Required => None,
            Presence::Default(show) => Some(format!("`{}`", show().unwrap_or_default())),
            Presence::Unset(text) => Some(text.to_owned()),
        }
    }
}

fn one_line(doc: &str) -> String {
    let lines: Vec<_> = doc.lines().map(str::trim).collect();
    lines.join(" ").trim().to_owned()
}
