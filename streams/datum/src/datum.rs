//! [`Datum`]: the trait of record types.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Criteria, Encoding, StreamId, criteria::NotSelectable};

/// A type of records. A record is a datum: one value on a stream.
///
/// Implemented for every type that serde can serialize and deserialize, with postcard as the encoding. Implement it for other
/// types to provide an encoding.
///
/// ```
/// use std::{convert::Infallible, string::FromUtf8Error};
///
/// use mosaik_datum::{Bytes, Datum, StreamId};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct PriceUpdate {
///     symbol: String,
///     cents: u64,
/// }
///
/// // The default stream id is derived from the type name.
/// let name = std::any::type_name::<PriceUpdate>();
/// assert_eq!(PriceUpdate::derived_stream_id(), StreamId::from(name));
///
/// struct Line(String);
///
/// impl Datum for Line {
///     type EncodeError = Infallible;
///     type DecodeError = FromUtf8Error;
///
///     fn encode(&self) -> Result<Bytes, Infallible> {
///         Ok(Bytes::copy_from_slice(self.0.as_bytes()))
///     }
///
///     fn decode(bytes: &[u8]) -> Result<Self, FromUtf8Error> {
///         String::from_utf8(bytes.to_vec()).map(Self)
///     }
/// }
///
/// assert_eq!(Line("one".to_owned()).encode()?, "one");
/// # Ok::<(), Infallible>(())
/// ```
pub trait Datum: Sized + Send + 'static {
    /// The error of encoding.
    type EncodeError: std::error::Error + Send + Sync + 'static;
    /// The error of decoding.
    type DecodeError: std::error::Error + Send + Sync + 'static;

    /// Returns the default stream id of this type: the hash of the type's name.
    fn derived_stream_id() -> StreamId {
        core::any::type_name::<Self>().into()
    }

    /// Encodes the record.
    ///
    /// # Errors
    /// Errors of the encoding.
    fn encode(&self) -> Result<Bytes, Self::EncodeError>;

    /// Appends the encoded record. On failure, the caller discards what was appended.
    ///
    /// # Errors
    /// Errors of the encoding.
    fn encode_into(&self, bytes: &mut BytesMut) -> Result<(), Self::EncodeError> {
        bytes.put(self.encode()?);
        Ok(())
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// Errors of the encoding.
    fn decode(bytes: &[u8]) -> Result<Self, Self::DecodeError>;

    /// Evaluates criteria on an encoded record. By default, only criteria that match every record are supported.
    ///
    /// # Errors
    /// Fails if criteria cannot be evaluated on the record.
    fn matches(bytes: &[u8], criteria: &Criteria) -> Result<bool, NotSelectable> {
        let _ = bytes;
        if criteria.is_everything() {
            Ok(true)
        } else {
            Err(NotSelectable::Encoding("opaque"))
        }
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Datum for T {
    type DecodeError = postcard::Error;
    type EncodeError = postcard::Error;

    fn encode(&self) -> Result<Bytes, postcard::Error> {
        postcard::to_stdvec(self).map(Bytes::from)
    }

    fn encode_into(&self, bytes: &mut BytesMut) -> Result<(), postcard::Error> {
        postcard::serialize_with_flavor(self, Append(bytes))
    }

    fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }

    /// Evaluates the criteria on the JSON form of the record.
    fn matches(bytes: &[u8], criteria: &Criteria) -> Result<bool, NotSelectable> {
        if criteria.is_everything() {
            return Ok(true);
        }
        let datum = Self::decode(bytes).map_err(|_| NotSelectable::Malformed)?;
        let json = serde_json::to_vec(&datum).map_err(|_| NotSelectable::Malformed)?;
        criteria.selector(&Encoding::Json)?.matches(&json)
    }
}

impl Criteria {
    /// Returns true if the record matches. A record that cannot be decoded matches only if every record does.
    ///
    /// ```
    /// use mosaik_datum::Criteria;
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Price {
    ///     cents: u64,
    /// }
    ///
    /// let expensive = Criteria::field("cents").gte(100);
    /// assert!(expensive.matches(&Price { cents: 100 }) && !expensive.matches(&Price { cents: 99 }));
    /// ```
    pub fn matches<D: Datum>(&self, datum: &D) -> bool {
        let matches = |bytes: Bytes| D::matches(&bytes, self).unwrap_or(false);
        self.is_everything() || datum.encode().is_ok_and(matches)
    }
}

struct Append<'a>(&'a mut BytesMut);

impl postcard::ser_flavors::Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.put_u8(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.put_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Price {
        symbol: String,
        cents: u64,
    }

    /// Not serializable with serde: provides its own encoding.
    #[derive(Debug, PartialEq)]
    struct Raw(Vec<u8>);

    impl Datum for Raw {
        type DecodeError = std::convert::Infallible;
        type EncodeError = std::convert::Infallible;

        fn encode(&self) -> Result<Bytes, Self::EncodeError> {
            Ok(Bytes::from(self.0.clone()))
        }

        fn decode(bytes: &[u8]) -> Result<Self, Self::DecodeError> {
            Ok(Self(bytes.to_vec()))
        }
    }

    #[test]
    fn both_ways_of_encoding_give_the_same_bytes() {
        let price = Price {
            symbol: "ETH".to_owned(),
            cents: 320_000,
        };
        let mut bytes = BytesMut::from(&b"before"[..]);
        price.encode_into(&mut bytes).unwrap();
        assert_eq!(&bytes[6..], price.encode().unwrap());
        assert_eq!(Price::decode(&bytes[6..]).unwrap(), price);
        let mut bytes = BytesMut::new();
        Raw(vec![7; 3]).encode_into(&mut bytes).unwrap();
        assert_eq!(Raw::decode(&bytes).unwrap(), Raw(vec![7; 3]));
    }

    #[test]
    fn a_serde_type_is_selected_by_its_fields_and_an_opaque_one_is_not() {
        let bytes = Price {
            symbol: "ETH".to_owned(),
            cents: 5,
        }
        .encode()
        .unwrap();
        assert_eq!(
            Price::matches(&bytes, &Criteria::field("cents").gte(5)),
            Ok(true)
        );
        assert_eq!(
            Price::matches(&bytes, &Criteria::field("symbol").eq("BTC")),
            Ok(false)
        );
        assert_eq!(
            Price::matches(&bytes[..2], &Criteria::field("cents").gte(5)),
            Err(NotSelectable::Malformed)
        );
        assert_eq!(Raw::matches(b"x", &Criteria::default()), Ok(true));
        assert!(Raw::matches(b"x", &Criteria::field("a").eq(1)).is_err());
    }

    #[test]
    fn the_stream_of_a_type_is_known_by_the_types_name() {
        assert_eq!(u64::derived_stream_id(), StreamId::from("u64"));
    }
}
