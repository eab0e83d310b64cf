//! Keys: the values of one or several fields as one canonical text, equal if the values are equal.

use crate::fields::{Field, Wanted};
use mosaik_datum::canonical;
use mosaik_wasm_sdk::{Amount, Error, Mistakes, OperatorConfig, Result, Shape, bail, ensure};
use serde_json::value::RawValue;

/// The maximum length of a key in bytes: 1 KiB.
pub const KEY_LEN_MAX: usize = 1024;

/// The key of a state entry that belongs to all keys: every instance receives a copy. No other key is empty, because
/// JSON is not.
pub const ALL_KEYS: &[u8] = b"";

/// The configured fields of a key: `symbol`, or `[symbol, exchange]`. Without fields, all records have the same key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct By(pub Vec<Field>);

impl OperatorConfig for By {
    const SHAPE: &'static Shape = &Shape::Either(&[Field::SHAPE, <Vec<Field>>::SHAPE]);

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        match text.as_bytes().first() {
            Some(b'"') => Field::read(text, mistakes).map(|field| Self(vec![field])),
            Some(b'[') => Vec::read(text, mistakes).map(Self),
            _ => {
                mistakes.expected("a field or a list of fields", text);
                None
            }
        }
    }

    fn amount(&self) -> Option<Amount> {
        Some(Amount::Items(self.0.len()))
    }
}

/// Reports if two sides of `by` have different numbers of fields.
pub fn same_number(sides: [(&str, &By); 2], mistakes: &mut Mistakes) {
    let [(name, one), (other_name, other)] = sides;
    let (count, other) = (one.0.len(), other.0.len());
    if count != other {
        mistakes.add_at(
            "by",
            format_args!(
                "`{name}` has {count} and `{other_name}` has {other} fields, but each pairs with one"
            ),
        );
    }
}

/// Extracts keys from records.
#[derive(Debug)]
pub struct KeyFields {
    names: Vec<Box<str>>,
    places: Vec<usize>,
}

impl KeyFields {
    /// Creates an extractor for these fields, and adds them to `wanted`.
    pub fn new(by: &By, wanted: &mut Wanted) -> Self {
        Self {
            names: by.0.iter().map(|field| field.name().into()).collect(),
            places: by.0.iter().map(|field| wanted.add(field)).collect(),
        }
    }

    /// Returns the names of the fields, the last one of each path.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Writes the key of a record to `key`: the compact JSON of the value, or of the array of values of several fields;
    /// empty without fields. Saved state entries have the same key.
    ///
    /// # Errors
    /// Fails if a field is missing, is an object or an array, or the key is longer than [`KEY_LEN_MAX`].
    pub fn read(
        &self,
        wanted: &Wanted,
        found: &[Option<&RawValue>],
        key: &mut Vec<u8>,
    ) -> Result<()> {
        key.clear();
        let is_array = self.places.len() > 1;
        for (index, (name, place)) in self.names.iter().zip(&self.places).enumerate() {
            if is_array {
                key.push(if index == 0 { b'[' } else { b',' });
            }
            write_scalar(name, wanted.required(found, *place)?, key)?;
        }
        if is_array {
            key.push(b']');
        }
        ensure!(
            key.len() <= KEY_LEN_MAX,
            "the key has {} bytes, more than {KEY_LEN_MAX}",
            key.len()
        );
        Ok(())
    }

    /// Returns true if all fields are present.
    pub fn is_there(&self, found: &[Option<&RawValue>]) -> bool {
        self.places
            .iter()
            .all(|place| found.get(*place).is_some_and(Option::is_some))
    }

    /// Returns true if any of the fields is `null`.
    pub fn any_null(&self, found: &[Option<&RawValue>]) -> bool {
        let mut values = self
            .places
            .iter()
            .filter_map(|place| found.get(*place).copied().flatten());
        values.any(|value| value.get() == "null")
    }

    /// Appends the fields of a key as members of an object, `"symbol":"IBM","exchange":"N"`.
    ///
    /// # Errors
    /// Fails if it is not a key of these fields.
    pub fn write_members(&self, key: &[u8], to: &mut Vec<u8>) -> Result<()> {
        let values: Vec<&RawValue> = match self.names.len() {
            0 => Vec::new(),
            1 => vec![serde_json::from_slice(key)?],
            _ => serde_json::from_slice(key)?,
        };
        for (index, (name, value)) in self.names.iter().zip(values).enumerate() {
            if index > 0 {
                to.push(b',');
            }
            serde_json::to_writer(&mut *to, name)?;
            to.push(b':');
            to.extend_from_slice(value.get().as_bytes());
        }
        Ok(())
    }
}

/// Appends a scalar value in canonical form, since the same value can be written in several ways.
fn write_scalar(name: &str, value: &RawValue, to: &mut Vec<u8>) -> Result<()> {
    if let Some(b'{' | b'[') = value.get().as_bytes().first() {
        bail!("`{name}` is an object or an array, which is invalid as a key");
    }
    canonical::write_scalar(value, to)
        .map_err(|error| Error::new(format_args!("`{name}` is invalid as a key: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaik_wasm_sdk::parse_config;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn key(by: &Value, datum: &str) -> Result<String> {
        let by: By = parse_config(&by.to_string()).unwrap();
        let mut wanted = Wanted::default();
        let fields = KeyFields::new(&by, &mut wanted);
        let found = wanted.find::<4>(datum.as_bytes())?;
        let mut key = Vec::new();
        fields.read(&wanted, &found, &mut key)?;
        Ok(String::from_utf8(key).unwrap())
    }

    #[test]
    fn one_value_or_the_array_of_several() {
        let datum = r#"{"a":"\u0078\"","b":{"c":7},"n":null,"t":true}"#;
        assert_eq!(key(&json!("a"), datum).unwrap(), r#""x\"""#);
        assert_eq!(key(&json!(["a"]), datum).unwrap(), r#""x\"""#);
        assert_eq!(
            key(&json!(["b.c", "n", "t"]), datum).unwrap(),
            "[7,null,true]"
        );
        assert_eq!(key(&json!([]), datum).unwrap(), "");
        for (by, reason) in [
            (json!("b"), "`b` is an object"),
            (json!("x"), "missing field `x`"),
        ] {
            let said = key(&by, datum).unwrap_err().into_reason();
            assert!(said.starts_with(reason), "{said}");
        }
        let long = json!({"a": "x".repeat(KEY_LEN_MAX)}).to_string();
        assert!(
            key(&json!("a"), &long)
                .unwrap_err()
                .reason()
                .contains("1026 bytes")
        );
    }

    #[test]
    fn numbers_have_one_spelling() {
        for (spelled, written) in [
            ("7", "7"),
            ("-7", "-7"),
            ("1.50", "1.5"),
            ("1e2", "100"),
            ("-0", "0"),
            ("18446744073709551615", "18446744073709551615"),
            ("100000000000000000001", "100000000000000000001"),
            ("48.858000000000004", "48.858000000000004"),
            ("12.917521550408112", "12.917521550408112"),
            ("1e999", "1e999"),
        ] {
            assert_eq!(
                key(&json!("a"), &format!("{{\"a\":{spelled}}}")).unwrap(),
                written
            );
        }
        assert!(key(&json!("a"), r#"{"a":1e1234567890123456789}"#).is_err());
    }

    proptest! {
        #[test]
        fn a_key_is_the_canonical_json_of_its_values(text in any::<String>(), number in any::<f64>().prop_filter("JSON has no others", |n| n.is_finite()), whole in any::<i64>()) {
            prop_assume!(text.len() < 100);
            let text = json!({"a": text, "b": number, "c": whole}).to_string();
            let datum: Value = serde_json::from_str(&text).unwrap();
            for name in ["a", "c"] {
                prop_assert_eq!(key(&json!(name), &text).unwrap(), datum[name].to_string());
            }
            let read: f64 = key(&json!("b"), &text).unwrap().parse().unwrap();
            prop_assert_eq!(read.partial_cmp(&number), Some(std::cmp::Ordering::Equal));
            let written = key(&json!(["a", "b", "c"]), &text).unwrap();

            let mut wanted = Wanted::default();
            let fields = KeyFields::new(&parse_config(r#"["a", "b", "c"]"#).unwrap(), &mut wanted);
            let mut members = vec![b'{'];
            fields.write_members(written.as_bytes(), &mut members).unwrap();
            members.push(b'}');
            let read: Value = serde_json::from_slice(&members).unwrap();
            prop_assert_eq!((&read["a"], &read["b"].as_f64(), &read["c"]), (&datum["a"], &Some(number), &datum["c"]));
            prop_assert_eq!(read.as_object().map(serde_json::Map::len), Some(3));
        }
    }
}
