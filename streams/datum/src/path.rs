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

/// Finds the value behind the names of a path in JSON; of a name that an object has twice it is the last value. `None` where
/// there is none.
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
