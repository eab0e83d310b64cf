//! Parses and builds the compact form of JSON Web Tokens (RFC 7515 section 7.1). Does not verify signatures.

use std::{collections::BTreeMap, fmt};

use data_encoding::BASE64URL_NOPAD;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::Value;

use crate::peer::InvalidTicket;

/// The maximum length of a token in bytes: 8 KiB, a common limit for HTTP headers. A longer one is rejected without
/// parsing.
pub const MAX_TOKEN_LEN: usize = 8 * 1024;

/// A parsed token.
pub(super) struct Token<'a> {
    pub(super) header: Members,
    pub(super) claims: Members,
    /// The signed text.
    pub(super) message: &'a str,
    pub(super) signature: Vec<u8>,
}

impl<'a> Token<'a> {
    pub(super) fn parse(token: &'a [u8]) -> Result<Self, InvalidTicket> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(InvalidTicket);
        }
        let text = std::str::from_utf8(token).map_err(|_| InvalidTicket)?;
        let (message, signature) = text.rsplit_once('.').ok_or(InvalidTicket)?;
        let (header, claims) = message.split_once('.').ok_or(InvalidTicket)?;
        Ok(Self {
            header: Members::parse(&decode(header)?)?,
            claims: Members::parse(&decode(claims)?)?,
            message,
            signature: decode(signature)?,
        })
    }
}

/// Encodes header and claims in the form that is signed.
pub(super) fn message(algorithm: &str, claims: &BTreeMap<String, Value>) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
    let claims = serde_json::to_vec(claims).expect("JSON values can be written as JSON");
    format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(header.as_bytes()),
        BASE64URL_NOPAD.encode(&claims)
    )
}

/// Appends the signature.
pub(super) fn finish(mut message: String, signature: &[u8]) -> String {
    message.push('.');
    BASE64URL_NOPAD.encode_append(signature, &mut message);
    message
}

/// Accepts one encoding of the same bytes only: padding and stray bits are rejected.
fn decode(part: &str) -> Result<Vec<u8>, InvalidTicket> {
    BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|_| InvalidTicket)
}

/// The members of a JSON object. Duplicate names are rejected, since readers disagree on which member counts.
#[derive(Debug)]
pub(super) struct Members(BTreeMap<String, Value>);

impl Members {
    fn parse(json: &[u8]) -> Result<Self, InvalidTicket> {
        serde_json::from_slice(json).map_err(|_| InvalidTicket)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns a string member; `None` for any other type.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// Returns a time in seconds since 1970, if present (RFC 7519: `NumericDate`). `round` converts fractions.
    pub(super) fn seconds(
        &self,
        name: &str,
        round: fn(f64) -> f64,
    ) -> Result<Option<i64>, InvalidTicket> {
        // The maximum up to which f64 represents every integer, and far beyond any calendar date.
        const MAX: f64 = (1_u64 << 53) as f64;
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let seconds = value.as_i64().or_else(|| {
            let seconds = round(value.as_f64()?);
            (seconds.abs() < MAX).then_some(seconds as i64)
        });
        seconds.map(Some).ok_or(InvalidTicket)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(de::Error::custom("duplicate member"));
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
