//! Iterates over the members of a JSON object without parsing their values.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Returns the members of an object in order: names unescaped, values as written.
///
/// # Errors
/// Fails if the text is not a JSON object.
pub fn members(object: &[u8]) -> serde_json::Result<Vec<(Cow<'_, str>, &RawValue)>> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(Name(name)) = map.next_key()? {
                members.push((name, map.next_value()?));
            }
            Ok(members)
        }
    }

    /// Borrows the name if nothing is escaped. serde does so for a `Cow` only with the attribute `borrow`.
    #[derive(serde::Deserialize)]
    struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

    let mut json = serde_json::Deserializer::from_slice(object);
    let members = json.deserialize_map(Members)?;
    json.end()?;
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_as_they_stand() {
        let found = members(br#" {"a":1.50, "\u0062":{"x":[ ]},"a":null} "#).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(name, value)| (&**name, value.get()))
            .collect();
        assert_eq!(found, [("a", "1.50"), ("b", r#"{"x":[ ]}"#), ("a", "null")]);
        for text in ["[1]", "{", "{} {}", "7", ""] {
            assert!(members(text.as_bytes()).is_err(), "{text}");
        }
    }
}
