//! [`Size`]: a configured number of bytes, such as `16MiB`.

use serde::de::{Deserialize, Deserializer, Visitor};
use std::fmt;

/// A number of bytes, written as in a manifest: `64KiB`, `16MiB`, `1GiB`, `4096B` or `4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub usize);

impl Size {
    /// Parses a size. Returns `None` if it is not written so, or exceeds the address space.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit());
        let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
        let unit_bytes: usize = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        let bytes = number.parse::<usize>().ok()?.checked_mul(unit_bytes)?;
        Some(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size like 64KiB, 16MiB, or a number of bytes")
            }

            fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<Size, E> {
                let size = usize::try_from(bytes).map(Size);
                size.map_err(|_| E::custom(format_args!("`{bytes}` exceeds the address space")))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(SizeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_a_size() {
        let size = |value: Value| serde_json::from_value::<Size>(value);
        for (value, bytes) in [
            (json!(0), 0),
            (json!(4096), 4096),
            (json!("4096"), 4096),
            (json!("100B"), 100),
            (json!("2KiB"), 2048),
            (json!("16MiB"), 16 << 20),
        ] {
            assert_eq!(size(value.clone()).unwrap(), Size(bytes), "{value}");
        }
        for value in [
            json!(-1),
            json!(1.5),
            json!(""),
            json!("MiB"),
            json!("1.5MiB"),
            json!("1MB"),
            json!("-1KiB"),
            json!("99999999999999999GiB"),
            json!(null),
        ] {
            assert!(size(value.clone()).is_err(), "{value}");
        }
        assert_eq!(
            size(json!("1MB")).unwrap_err().to_string(),
            "invalid value: string \"1MB\", expected a size like 64KiB, 16MiB, or a number of bytes"
        );
    }
}
