//! [`Decimal`]: an owned number of any length.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{NotANumber, write_canonical};

/// A number of any length in canonical form. Equal numbers compare equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal(Box<str>);

impl Decimal {
    /// Parses a JSON number.
    ///
    /// # Errors
    /// Fails if it is not a number, or has an exponent of more than 18 digits.
    pub fn parse(text: &str) -> Result<Self, NotANumber> {
        let mut canonical = Vec::new();
        write_canonical(text, &mut canonical)?;
        let text = String::from_utf8(canonical).map_err(|_| NotANumber)?;
        Ok(Self(text.into()))
    }

    /// Returns the canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Serialized as text, which every format preserves exactly.
impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
