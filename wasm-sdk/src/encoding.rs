//! [`Encoding`]: converts records to and from an operator's types by the encoding of the stream.

use crate::plain;
use crate::{Error, Result};
use serde::de::value::{BorrowedBytesDeserializer, BorrowedStrDeserializer};
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The encoding of a stream's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// A JSON value.
    Json,
    /// UTF-8 text, for string types.
    Text,
    /// Bytes, for [`Bytes`] (and strings, if they are UTF-8).
    Bytes,
    /// postcard, as native programs encode a type.
    #[cfg(feature = "postcard")]
    Postcard,
}

impl Encoding {
    /// Returns the encoding with this name.
    ///
    /// # Errors
    /// Fails if it does not exist, or the operator was built without it.
    pub fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "json" => Self::Json,
            "text" => Self::Text,
            "bytes" => Self::Bytes,
            #[cfg(feature = "postcard")]
            "postcard" => Self::Postcard,
            #[cfg(not(feature = "postcard"))]
            "postcard" => crate::bail!(
                "this operator was built without the feature `postcard` of mosaik-wasm-sdk"
            ),
            _ => crate::bail!("unknown encoding `{name}`"),
        })
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// Fails if it does not match the type.
    pub fn decode<T: DeserializeOwned>(self, datum: &[u8]) -> Result<T> {
        match self {
            Self::Json => serde_json::from_slice(datum)
                .map_err(|error| Error::new(format_args!("unexpected value: {error}"))),
            Self::Text => {
                let text = std::str::from_utf8(datum)?;
                plain::read(BorrowedStrDeserializer::new(text))
            }
            Self::Bytes => plain::read(BorrowedBytesDeserializer::new(datum)),
            #[cfg(feature = "postcard")]
            Self::Postcard => postcard::from_bytes(datum).map_err(Error::from),
        }
    }

    /// Appends an encoded record to `to`.
    ///
    /// # Errors
    /// Fails if the value cannot be represented in this encoding.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T, to: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Json => serde_json::to_writer(to, value).map_err(Error::from),
            Self::Text | Self::Bytes => value
                .serialize(plain::PlainSerializer { to })
                .map_err(Error::from),
            #[cfg(feature = "postcard")]
            Self::Postcard => postcard::to_io(value, to).map(|_| ()).map_err(Error::from),
        }
    }
}

/// Raw bytes: the input or output of an operator on a stream with encoding `bytes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;

        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }

            fn visit_str<E>(self, text: &str) -> Result<Bytes, E> {
                Ok(Bytes(text.as_bytes().to_vec()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Bytes, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Bytes(bytes))
            }
        }

        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}
