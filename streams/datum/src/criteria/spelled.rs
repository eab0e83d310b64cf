//! Reads numbers from their text, in formats whose serde types would round them.
//!
//! serde's numbers have at most 64 or 128 bits. serde_json provides the text of a value to a deserializer that asks for
//! `RawValue`; the reader of manifests does the same for longer numbers. Every other format ignores the request.

use std::fmt;

use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, Visitor};

/// The name with which the text of a value is requested; serde_json's own.
pub const SPELLED: &str = "$serde_json::private::RawValue";

/// Reads values of any type, and numbers from their text.
pub(super) trait Spelled: Sized {
    /// The type of the result.
    type Output;

    /// The expected form, for error messages.
    const EXPECTED: &'static str;

    /// Reads a number from its JSON text.
    fn number<E: de::Error>(self, text: &str) -> Result<Self::Output, E>;

    /// Reads any value; numbers are rounded already.
    fn any<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Output, D::Error>;
}

/// Reads a value of any type, with numbers from their text if the format provides it.
pub(super) fn deserialize<'de, D: Deserializer<'de>, S: Spelled>(
    deserializer: D,
    reader: S,
) -> Result<S::Output, D::Error> {
    deserializer.deserialize_newtype_struct(SPELLED, Ask(reader))
}

/// Accepts both answers of a format: the text of the value as the only entry of a map, or the value itself.
struct Ask<S>(S);

macro_rules! rounded {
    ($($method:ident: $type:ty),*) => {
        $(fn $method<E: de::Error>(self, value: $type) -> Result<S::Output, E> {
            self.0.any(value.into_deserializer())
        })*
    };
}

impl<'de, S: Spelled> Visitor<'de> for Ask<S> {
    type Value = S::Output;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(S::EXPECTED)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<S::Output, D::Error> {
        self.0.any(value)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<S::Output, A::Error> {
        if map.next_key::<de::IgnoredAny>()?.is_none() {
            return Err(de::Error::invalid_length(0, &self));
        }
        let text: String = map.next_value()?;
        let text = text.trim_ascii();
        if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return self.0.number(text);
        }
        let mut json = serde_json::Deserializer::from_slice(text.as_bytes());
        // The position is relative to the value and would be misleading.
        self.0.any(&mut json).map_err(|error| {
            let message = error.to_string();
            let end = message.rfind(" at line ").unwrap_or(message.len());
            de::Error::custom(&message[..end])
        })
    }

    fn visit_unit<E: de::Error>(self) -> Result<S::Output, E> {
        self.0.any(().into_deserializer())
    }

    rounded!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
}
