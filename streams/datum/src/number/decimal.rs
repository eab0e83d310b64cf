//! [`Decimal`]: an owned number of any length.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{NotANumber, write_canonical};

/// A number of any length, in its canonical spelling: equal when the numbers are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal(Box<str>);

impl Decimal {
    /// Reads a number as JSON spells it.
    ///
    /// # Errors
    /// When it is not a number, or has an exponent of more than 18 digits.
    pub fn parse(text: &str) -> Result<Self, NotANumber> {
        let mut canonical = Vec::new();
        write_canonical(text, &mut canonical)?;
        let text = String::from_utf8(canonical).map_err(|_| NotANumber)?;
        Ok(Self(text.into()))
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// As text, which every format carries exactly.
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
