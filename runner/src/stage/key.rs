//! [`Key`]: the fields of a JSON record that select its instance among several.

use mosaik_streams::{
    canonical,
    path::{self, Members, Paths},
};
use serde::de::DeserializeSeed as _;
use serde_json::value::RawValue;

/// The fields of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    paths: Paths,
    fields: Vec<String>,
}

impl Key {
    /// Creates a key from fields in dotted form, such as `user.id`.
    pub fn new<'a>(dotted: impl IntoIterator<Item = &'a str>) -> Self {
        let fields: Vec<String> = dotted.into_iter().map(str::to_owned).collect();
        let mut paths = Paths::default();
        for names in fields.iter().map(|field| path::names(field)) {
            paths.add(names.into_iter().map(Into::into));
        }
        Self { paths, fields }
    }

    /// Returns the fields in dotted form.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Returns the record's key as compact JSON: the value of the field, or the list of values if
    /// there are several. Numbers are equal if their values are. If a record contains a field
    /// twice, the last one counts. A missing field is `null`, and so is each field of a record that
    /// is not a JSON object.
    pub fn of(&self, datum: &[u8]) -> Vec<u8> {
        let mut key = Vec::new();
        let (mut one, mut many);
        let names = self.paths.tops();
        let found: &mut [Option<&RawValue>] = if names.len() == 1 {
            one = [None];
            &mut one
        } else {
            many = vec![None; names.len()];
            &mut many
        };
        let members = Members { names, found };
        // After a parse error, the members of an object that precede it still count.
        let _ = members.deserialize(&mut serde_json::Deserializer::from_slice(datum));
        let is_list = self.paths.len() != 1;
        if is_list {
            key.push(b'[');
        }
        for (index, value) in self.paths.values(found).enumerate() {
            if index > 0 {
                key.push(b',');
            }
            write(value, &mut key);
        }
        if is_list {
            key.push(b']');
        }
        key
    }

    /// Returns the instance for a key out of `instances`: the same one for the same bytes, in every
    /// process.
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

fn write(value: Option<&RawValue>, to: &mut Vec<u8>) {
    let start = to.len();
    let written = value.map(|value| canonical::write(value, to));
    if !matches!(written, Some(Ok(()))) {
        to.truncate(start);
        to.extend_from_slice(b"null");
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
    fn the_last_of_duplicate_fields_counts() {
        let datum = r#"{"id":1,"u":{"id":2},"id":"same","u":{"id":3,"id":4,"n":5}}"#;
        assert_eq!(of(&["id"], datum), r#""same""#);
        assert_eq!(of(&["u.id"], datum), "4");
        assert_eq!(
            of(&["id", "u.id", "u.n", "id"], datum),
            r#"["same",4,5,"same"]"#
        );
    }

    #[test]
    fn a_field_may_have_a_dot_in_its_name() {
        assert_eq!(of(&[r"http\.status"], r#"{"http.status":200}"#), "200");
    }

    #[test]
    fn a_missing_field_is_null() {
        assert_eq!(of(&["s"], "{}"), "null");
        assert_eq!(of(&["n.id"], r#"{"n":7}"#), "null");
        assert_eq!(of(&["s"], r#"{"a":"#), "null");
        assert_eq!(of(&["s"], "\u{1}"), "null");
        assert_eq!(of(&["s", "n"], r#"{"n":7}"#), "[null,7]");
    }

    #[test]
    fn keys_are_distributed_over_all_instances_and_stay_there() {
        let places: Vec<_> = (0..1000)
            .map(|n| Key::instance(n.to_string().as_bytes(), 4))
            .collect();
        for instance in 0..4 {
            let count = places.iter().filter(|place| **place == instance).count();
            assert!((200..300).contains(&count), "{instance}: {count}");
        }
        // Must be the same in each process and version, so that saved state is found again.
        assert_eq!(
            [4, 7, 16].map(|instances| Key::instance(br#""IBM""#, instances)),
            [3, 2, 3]
        );
    }
}
