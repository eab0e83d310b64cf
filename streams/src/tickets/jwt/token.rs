//! The compact form of JSON Web Tokens (RFC 7515 section 7.1), taken apart and put together. Nothing here is proved: that
//! a signature is there does not say that it is good.

use std::{collections::BTreeMap, fmt};

use data_encoding::BASE64URL_NOPAD;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::Value;

use crate::tickets::InvalidTicket;

/// The most bytes of a token: 8 KiB, what web servers take as a header. A longer one is refused before it is looked into.
pub const MAX_TOKEN_LEN: usize = 8 * 1024;

/// A token taken apart.
pub(super) struct Token<'a> {
    pub(super) header: Members,
    pub(super) claims: Members,
    /// What is signed.
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

/// Puts header and claims into the form that is signed.
pub(super) fn message(algorithm: &str, claims: &BTreeMap<String, Value>) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
    let claims = serde_json::to_vec(claims).expect("JSON values can be written as JSON");
    format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(header.as_bytes()),
        BASE64URL_NOPAD.encode(&claims)
    )
}

/// Adds the signature.
pub(super) fn finish(mut message: String, signature: &[u8]) -> String {
    message.push('.');
    BASE64URL_NOPAD.encode_append(signature, &mut message);
    message
}

/// Exactly one text stands for the same bytes: padding and stray bits are refused.
fn decode(part: &str) -> Result<Vec<u8>, InvalidTicket> {
    BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|_| InvalidTicket)
}

/// The members of a JSON object. One that names a member twice is refused, since readers differ on which of them counts.
#[derive(Debug)]
pub(super) struct Members(BTreeMap<String, Value>);

impl Members {
    fn parse(json: &[u8]) -> Result<Self, InvalidTicket> {
        serde_json::from_slice(json).map_err(|_| InvalidTicket)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A member that is text; `None` when it is anything else.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// A time in seconds since 1970, if there is one (RFC 7519: `NumericDate`). Of a part of a second, `round` decides.
    pub(super) fn seconds(
        &self,
        name: &str,
        round: fn(f64) -> f64,
    ) -> Result<Option<i64>, InvalidTicket> {
        // Up to here every whole number is one of f64; beyond it no calendar has a date.
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
                        return Err(de::Error::custom("a member is named twice"));
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
