//! [`Key`]: the fields of a JSON datum that say which of several instances gets it.

use std::fmt;

use mosaik_streams::{canonical, path};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The fields of a key, each by the names on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    fields: Vec<Vec<String>>,
}

impl Key {
    /// Of these fields, written with dots: `user.id`.
    pub fn new<'a>(dotted: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            fields: dotted.into_iter().map(path::names).collect(),
        }
    }

    /// The record's key as compact JSON: the field's value, or the list of them where there are several; numbers are the
    /// same when their values are. A missing field is `null`, and so is every field of a record that is not a JSON object.
    pub fn of(&self, datum: &[u8]) -> Vec<u8> {
        let mut key = Vec::new();
        if let [field] = self.fields.as_slice() {
            write(datum, field, &mut key);
            return key;
        }
        key.push(b'[');
        for (index, field) in self.fields.iter().enumerate() {
            if index > 0 {
                key.push(b',');
            }
            write(datum, field, &mut key);
        }
        key.push(b']');
        key
    }

    /// Which of so many instances has the key: the same one for the same bytes, in every process.
    pub fn instance(key: &[u8], instances: usize) -> usize {
        let hash = blake3::hash(key);
        let (low, _) = hash.as_bytes().split_at(8);
        let low = low
            .iter()
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        let instances = instances.max(1) as u64;
        usize::try_from(low % instances).unwrap_or_default()
    }
}

fn write(datum: &[u8], path: &[String], to: &mut Vec<u8>) {
    let start = to.len();
    let written = lookup(datum, path).map(|value| canonical::write(value, to));
    if !matches!(written, Some(Ok(()))) {
        to.truncate(start);
        to.extend_from_slice(b"null");
    }
}

fn lookup<'a>(datum: &'a [u8], path: &[String]) -> Option<&'a RawValue> {
    let mut found = None;
    let mut json = serde_json::Deserializer::from_slice(datum);
    let at = At {
        path,
        found: &mut found,
    };
    // What follows the value is not read, which is an error to the reader; what precedes it may be no JSON.
    let _ = at.deserialize(&mut json);
    found
}

/// Reads the value at a path, and passes over all that comes before.
struct At<'a, 'de> {
    path: &'a [String],
    found: &'a mut Option<&'de RawValue>,
}

impl<'de> DeserializeSeed<'de> for At<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        if self.path.is_empty() {
            *self.found = Some(Deserialize::deserialize(from)?);
            return Ok(());
        }
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for At<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((name, path)) = self.path.split_first() else {
            return Ok(());
        };
        while let Some(is_it) = map.next_key_seed(Name(name))? {
            if is_it {
                let found = self.found;
                return map.next_value_seed(At { path, found });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// Whether a name is the one looked for, without a copy of it.
struct Name<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&str], datum: &str) -> String {
        let key = Key::new(fields.iter().copied()).of(datum.as_bytes());
        String::from_utf8(key).unwrap()
    }

    #[test]
    fn a_key_is_the_compact_text_of_the_values() {
        let datum = r#"{"x":[1,{"s":0}], "s" : "I\u0042M", "n": 7, "f":1.50, "u":{"id":true}}"#;
        assert_eq!(of(&["s"], datum), r#""IBM""#);
        assert_eq!(of(&["n"], datum), "7");
        assert_eq!(of(&["f"], datum), "1.5");
        assert_eq!(of(&["u.id"], datum), "true");
        assert_eq!(of(&["u"], datum), r#"{"id":true}"#);
        assert_eq!(of(&["n", "s"], datum), r#"[7,"IBM"]"#);
    }

    #[test]
    fn numbers_are_one_key_when_their_values_are() {
        for (one, other, same) in [
            ("100000000000000000000", "100000000000000000001", false),
            ("48.858", "48.858000000000004", false),
            ("0.30000000000000000001", "0.3", false),
            ("1.10", "1.1", true),
            ("1e2", "100", true),
            ("1.0", "1", true),
            ("-0.0", "0", true),
            (r#"{"a":1.0,"b":[2]}"#, r#"{"b":[2e0],"a":1}"#, true),
        ] {
            let key = |value: &str| of(&["n"], &format!("{{\"n\":{value}}}"));
            assert_eq!(key(one) == key(other), same, "{one} {other}");
        }
    }

    #[test]
    fn a_field_may_have_a_dot_in_its_name() {
        assert_eq!(of(&[r"http\.status"], r#"{"http.status":200}"#), "200");
    }

    #[test]
    fn what_is_not_there_is_null() {
        assert_eq!(of(&["s"], "{}"), "null");
        assert_eq!(of(&["n.id"], r#"{"n":7}"#), "null");
        assert_eq!(of(&["s"], r#"{"a":"#), "null");
        assert_eq!(of(&["s"], "\u{1}"), "null");
        assert_eq!(of(&["s", "n"], r#"{"n":7}"#), "[null,7]");
    }

    #[test]
    fn keys_spread_over_all_instances_and_stay_where_they_are() {
        let places: Vec<_> = (0..1000)
            .map(|n| Key::instance(n.to_string().as_bytes(), 4))
            .collect();
        for instance in 0..4 {
            let count = places.iter().filter(|place| **place == instance).count();
            assert!((200..300).contains(&count), "{instance}: {count}");
        }
        // In every process, of every version: state that was saved is found again.
        assert_eq!(
            [4, 7, 16].map(|instances| Key::instance(br#""IBM""#, instances)),
            [3, 2, 3]
        );
    }
}
