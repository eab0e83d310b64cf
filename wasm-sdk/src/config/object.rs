//! [`Object`]: reads the keys of a mapping.
//!
//! Nothing here is inlined: it runs once per key when an operator opens, and inlining would make components larger.

use std::fmt::Write as _;

use super::json::members;
use super::{Amount, Mistakes};

/// The keys of a mapping, as far as its reader needs them.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    names: &'static [&'static str],
    shorthand: &'static [&'static str],
    /// True if the value of a shorthand may be a mapping itself.
    is_short_mapping: bool,
    /// Former names of keys, each with the present one.
    renamed: &'static [(&'static str, &'static str)],
}

impl Keys {
    /// Creates the keys of a mapping.
    pub const fn new(names: &'static [&'static str]) -> Self {
        Self {
            names,
            shorthand: &[],
            is_short_mapping: false,
            renamed: &[],
        }
    }

    /// Sets the keys that have the value if it is written in place of the mapping.
    #[must_use]
    pub const fn shorthand(self, keys: &'static [&'static str], is_mapping: bool) -> Self {
        Self {
            shorthand: keys,
            is_short_mapping: is_mapping,
            ..self
        }
    }

    /// Sets the former names of keys, each with the present one.
    #[must_use]
    pub const fn renamed(self, renamed: &'static [(&'static str, &'static str)]) -> Self {
        Self { renamed, ..self }
    }
}

/// The action of the reader for a missing key.
#[derive(Debug, Clone, Copy)]
pub enum Absent {
    /// Report it.
    Mistake,
    /// Read this JSON.
    Read(&'static str),
    /// Leave it unset.
    Unset,
}

/// A mapping whose keys are being read. A `null` is the same as a missing key.
#[derive(Debug)]
pub struct Object<'a> {
    members: Vec<(String, &'a str)>,
    /// The value that stands for some keys.
    short: Option<&'a str>,
    shorthand: &'static [&'static str],
    /// True if there is an unknown key, which probably is a misspelt one. So missing keys are not reported as well.
    has_unknown: bool,
}

impl<'a> Object<'a> {
    /// Opens a mapping, and reports unknown keys.
    #[inline(never)]
    pub fn open(text: &'a str, keys: &Keys, mistakes: &mut Mistakes) -> Option<Self> {
        let mut object = Self {
            members: Vec::new(),
            short: None,
            shorthand: keys.shorthand,
            has_unknown: false,
        };
        let text = text.trim();
        if text == "null" {
            return Some(object);
        }
        let is_known = |name: &str| keys.names.contains(&name);
        let members = members(text);
        let is_short = !keys.shorthand.is_empty()
            && members.as_ref().is_none_or(|members| {
                keys.is_short_mapping && !members.iter().any(|(name, _)| is_known(name))
            });
        if is_short {
            object.short = Some(text);
            return Some(object);
        }
        let Some(members) = members else {
            mistakes.expected("a mapping", text);
            return None;
        };
        for (name, _) in members.iter().filter(|(name, _)| !is_known(name)) {
            let renamed = keys.renamed.iter().find(|(was, _)| was == name);
            let reason = match renamed {
                Some((was, now)) => format!("unknown key `{was}`, renamed to `{now}`"),
                None => unknown("key", name, keys.names),
            };
            mistakes.add_at(name, reason);
            object.has_unknown = true;
        }
        object.members = members;
        object.members.retain(|(_, value)| *value != "null");
        Some(object)
    }

    /// Returns the JSON of a key.
    #[inline(never)]
    fn find(&self, key: &str) -> Option<&'a str> {
        let member = self.members.iter().find(|(name, _)| name == key);
        member.map(|(_, value)| *value)
    }

    /// Reads the value of a key. Returns `None` if it has reported a mistake, and `Some(None)` if it is unset.
    #[inline(never)]
    pub fn value<T>(
        &self,
        key: &'static str,
        absent: Absent,
        read: fn(&str, &mut Mistakes) -> Option<T>,
        mistakes: &mut Mistakes,
    ) -> Option<Option<T>> {
        let read = match (self.short, self.find(key), absent) {
            (Some(short), ..) if self.shorthand.contains(&key) => read(short, mistakes),
            (_, Some(text), _) | (_, None, Absent::Read(text)) => {
                mistakes.at_key(key, |mistakes| read(text, mistakes))
            }
            (_, None, Absent::Mistake) => {
                if !self.has_unknown {
                    mistakes.add(format_args!("missing key `{key}`"));
                }
                None
            }
            (_, None, Absent::Unset) => return Some(None),
        };
        read.map(Some)
    }

    /// Reports a value, or a number of items, outside of its bounds.
    #[inline(never)]
    pub fn bounds(
        &self,
        key: &'static str,
        amount: Option<Amount>,
        min: Option<i64>,
        max: Option<i64>,
        mistakes: &mut Mistakes,
    ) {
        let (number, be, unit) = match amount {
            None => return,
            Some(Amount::Number(number)) => (number, "be", ""),
            Some(Amount::Items(items)) => (items as f64, "have", " items"),
        };
        // Not a number is outside of any bounds.
        let is_above = min.is_none_or(|min| number >= min as f64);
        let is_below = max.is_none_or(|max| number <= max as f64);
        if is_above && is_below {
            return;
        }
        let reason = match (min, max) {
            (Some(min), Some(max)) => format!("must {be} {min} to {max}{unit}"),
            (Some(1), None) => format!("must {be} at least 1{}", unit.trim_end_matches('s')),
            (Some(least), None) => format!("must {be} at least {least}{unit}"),
            (_, most) => format!("must {be} at most {}{unit}", most.unwrap_or_default()),
        };
        if self.short.is_some() {
            mistakes.add(reason);
        } else {
            mistakes.add_at(key, reason);
        }
    }

    /// Reports a key without others that it requires.
    #[inline(never)]
    pub fn requires(
        &self,
        key: &'static str,
        requires: &'static [&'static str],
        mistakes: &mut Mistakes,
    ) {
        if self.find(key).is_none() {
            return;
        }
        for required in requires.iter().filter(|name| self.find(name).is_none()) {
            mistakes.add_at(key, format_args!("requires `{required}`"));
        }
    }

    /// Reports a key with others that exclude it.
    #[inline(never)]
    pub fn conflicts(
        &self,
        key: &'static str,
        conflicts: &'static [&'static str],
        mistakes: &mut Mistakes,
    ) {
        if self.find(key).is_none() {
            return;
        }
        for other in conflicts.iter().filter(|name| self.find(name).is_some()) {
            mistakes.add_at(key, format_args!("cannot be combined with `{other}`"));
        }
    }

    /// Reports if not exactly one of these keys is set.
    #[inline(never)]
    pub fn one_of(&self, keys: &'static [&'static str], mistakes: &mut Mistakes) {
        let set = keys.iter().filter(|key| self.find(key).is_some()).count();
        if set > 1 || (set == 0 && !self.has_unknown) {
            let names = listed(keys);
            mistakes.add(format_args!("set exactly one of {names}"));
        }
    }
}

/// Returns the reason for an unknown name.
#[cold]
pub(super) fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    if known.is_empty() {
        return format!("unknown {kind} `{name}`, none is expected");
    }
    format!("unknown {kind} `{name}`, expected {}", listed(known))
}

/// Returns names as `` `a`, `b` ``.
#[cold]
fn listed(names: &[&str]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}`{name}`");
    }
    text
}
