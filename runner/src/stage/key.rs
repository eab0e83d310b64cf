//! [`Key`]: the fields of a JSON datum that say which of several instances gets it.

use std::fmt;

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

/// The fields of a key, each by the names on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    fields: Vec<Vec<String>>,
}

impl Key {
    /// Of these fields, written with dots: `user.id`.
    pub fn new<'a>(dotted: impl IntoIterator<Item = &'a str>) -> Self {
        let names = |dotted: &str| dotted.split('.').map(str::to_owned).collect();
        Self {
            fields: dotted.into_iter().map(names).collect(),
        }
    }

    /// The datum's key as compact JSON: the field's value, or the list of them where there are several. What is not there
    /// is `null`, and so is everything where the datum is no JSON object.
    pub fn of(&self, datum: &[u8]) -> Vec<u8> {
        let text = match self.fields.as_slice() {
            [field] => serde_json::to_vec(&lookup(datum, field)),
            fields => {
                let values: Vec<_> = fields.iter().map(|field| lookup(datum, field)).collect();
                serde_json::to_vec(&values)
            }
        };
        text.expect("a JSON value can be written")
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

fn lookup(datum: &[u8], path: &[String]) -> Value {
    let mut found = Value::Null;
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
struct At<'a> {
    path: &'a [String],
    found: &'a mut Value,
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        if self.path.is_empty() {
            *self.found = Value::deserialize(from)?;
            return Ok(());
        }
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
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
