//! Dotted paths to fields, such as `user.id`, and [`Members`], the values that they name. A backslash escapes a dot within a
//! name, `http\.status`, and another backslash.

use std::{borrow::Cow, fmt, ops::Range};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Returns the names of a path, each with its range in the text.
pub fn parts(dotted: &str) -> impl Iterator<Item = (Range<usize>, Cow<'_, str>)> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let rest = &dotted[start..];
        let len = name_len(rest);
        next = (len < rest.len()).then_some(start + len + 1);
        Some((start..start + len, name(&rest[..len])))
    })
}

/// Returns the names of a path.
pub fn names(dotted: &str) -> Vec<String> {
    parts(dotted).map(|(_, name)| name.into_owned()).collect()
}

/// Formats names as a path from which [`names`] returns them.
pub fn dotted<S: AsRef<str>>(names: &[S]) -> String {
    let mut written = String::new();
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            written.push('.');
        }
        for c in name.as_ref().chars() {
            if matches!(c, '.' | '\\') {
                written.push('\\');
            }
            written.push(c);
        }
    }
    written
}

/// Returns the length of the first name.
fn name_len(text: &str) -> usize {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'.' => return at,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    text.len()
}

fn name(written: &str) -> Cow<'_, str> {
    if !written.contains('\\') {
        return Cow::Borrowed(written);
    }
    let mut name = String::new();
    let mut chars = written.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.next_if(|next| c == '\\' && matches!(next, '.' | '\\'));
        name.push(next.unwrap_or(c));
    }
    Cow::Owned(name)
}

/// Returns the value at a path in JSON; `None` if a name is missing. If an object has a name twice, the last value counts.
pub fn member<'a, S: AsRef<str>>(json: &'a RawValue, names: &[S]) -> Option<&'a RawValue> {
    let mut value = json;
    for name in names {
        let mut found = [None];
        let members = Members {
            names: std::slice::from_ref(name),
            found: &mut found,
        };
        // By `from_slice`, as everywhere in operators: two readers of serde_json are twice the code in a component.
        let mut json = serde_json::Deserializer::from_slice(value.get().as_bytes());
        members.deserialize(&mut json).ok()?;
        value = found[0]?;
    }
    Some(value)
}

/// Paths whose values are found in one pass over an object. Paths that begin with the same name share its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    /// The first names of the paths, each once.
    tops: Vec<Box<str>>,
    /// For every path, the place of its first name in `tops`, and its other names.
    paths: Vec<(usize, Vec<Box<str>>)>,
}

impl Paths {
    /// Adds a path of these names after the others.
    pub fn add(&mut self, names: impl IntoIterator<Item = Box<str>>) {
        let mut names = names.into_iter();
        let first = names.next().unwrap_or_default();
        let known = self.tops.iter().position(|top| *top == first);
        let top = known.unwrap_or_else(|| {
            self.tops.push(first);
            self.tops.len() - 1
        });
        self.paths.push((top, names.collect()));
    }

    /// Returns the names to look for with [`Members`].
    pub fn tops(&self) -> &[Box<str>] {
        &self.tops
    }

    /// Returns the number of paths.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Returns true if there are no paths.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Returns the values of all paths, in the order in which they were added, from the values that [`Members`] found.
    pub fn values<'a>(
        &self,
        found: &[Option<&'a RawValue>],
    ) -> impl Iterator<Item = Option<&'a RawValue>> {
        self.paths.iter().map(|(top, rest)| {
            let value = found.get(*top).copied().flatten()?;
            member(value, rest)
        })
    }
}

/// Reads an object for the values of a few members. Of a name that it has twice, the last value is found.
#[derive(Debug)]
pub struct Members<'a, 'de, S> {
    /// The names, each once.
    pub names: &'a [S],
    /// Gets the values, each at the place of its name; names at places beyond its end are not looked for.
    pub found: &'a mut [Option<&'de RawValue>],
}

impl<'de, S: AsRef<str>> DeserializeSeed<'de> for Members<'_, 'de, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, S: AsRef<str>> Visitor<'de> for Members<'_, 'de, S> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(place) = map.next_key_seed(Place { names: self.names })? {
            match place.and_then(|place| self.found.get_mut(place)) {
                Some(value) => *value = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The place of a member's name among the wanted ones, without a copy of it.
struct Place<'a, S> {
    names: &'a [S],
}

impl<'de, S: AsRef<str>> DeserializeSeed<'de> for Place<'_, S> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<S: AsRef<str>> Visitor<'_> for Place<'_, S> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.names.iter().position(|wanted| wanted.as_ref() == name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_dot_can_belong_to_a_name() {
        for (text, expected) in [
            ("price", &["price"][..]),
            ("user.id", &["user", "id"]),
            (r"http\.status", &["http.status"]),
            (r"a.b\.c.d", &["a", "b.c", "d"]),
            (r"a\\.b", &[r"a\", "b"]),
            (r"a\b", &[r"a\b"]),
            (r"a\", &[r"a\"]),
            ("", &[""]),
            (".", &["", ""]),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
        let places: Vec<_> = parts(r"a\.b.é.c").map(|(place, _)| place).collect();
        assert_eq!(places, [0..4, 5..7, 8..9]);
    }

    #[test]
    fn the_last_member_of_a_name_counts() {
        for (json, names, found) in [
            (r#"{"id":1,"id":"same"}"#, &["id"][..], Some(r#""same""#)),
            (r#"{"a":{"b":1},"a":{"b":2,"b":3}}"#, &["a", "b"], Some("3")),
            (r#"{"a":{"b":1},"a":2}"#, &["a", "b"], None),
            (r#"{"\u0061":1}"#, &["a"], Some("1")),
            ("[1]", &["a"], None),
            ("[1]", &[], Some("[1]")),
        ] {
            let json: &RawValue = serde_json::from_str(json).unwrap();
            assert_eq!(member(json, names).map(RawValue::get), found, "{json}");
        }
    }

    #[test]
    fn paths_that_begin_with_one_name_are_found_with_it() {
        let mut paths = Paths::default();
        for path in ["a.b", "c", "a", "a.x", "c"] {
            paths.add(names(path).into_iter().map(Into::into));
        }
        assert_eq!(paths.tops(), [Box::from("a"), Box::from("c")]);
        let mut found = [None; 2];
        let members = Members {
            names: paths.tops(),
            found: &mut found,
        };
        let json = r#"{"c":7,"a":{"b":[1]}}"#;
        members
            .deserialize(&mut serde_json::Deserializer::from_str(json))
            .unwrap();
        let values: Vec<_> = paths
            .values(&found)
            .map(|value| value.map(RawValue::get))
            .collect();
        let a = Some(r#"{"b":[1]}"#);
        assert_eq!(values, [Some("[1]"), Some("7"), a, None, Some("7")]);
        assert!(paths.values(&[]).all(|value| value.is_none()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(written in prop::collection::vec(r"[a\\.é]{0,5}", 1..5)) {
            prop_assert_eq!(names(&dotted(&written)), written);
        }

        #[test]
        fn no_text_panics(text in r"[a\\.é]{0,8}") {
            prop_assert_eq!(names(&dotted(&names(&text))), names(&text));
        }
    }
}
