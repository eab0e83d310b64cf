//! [`Digest`]: 32-byte identifiers of streams, networks, tags and ticket classes. No I/O.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A 32-byte identifier, usually the blake3 hash of a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// A generic identifier.
pub type UniqueId = Digest;
/// Identifies a stream.
pub type StreamId = Digest;
/// Identifies a network.
pub type NetworkId = Digest;
/// A label of a node, by which others select nodes.
pub type Tag = Digest;

impl Digest {
    /// Creates an id from its bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the id of 32 zero bytes.
    pub const fn zero() -> Self {
        Self([0; 32])
    }

    /// Generates a random id. Not available on `wasm32-unknown-unknown`.
    ///
    /// # Panics
    /// Panics if the operating system provides no random bytes.
    #[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Self(bytes)
    }

    /// Returns the blake3 hash of `data`.
    pub fn hash(data: impl AsRef<[u8]>) -> Self {
        Self(*blake3::hash(data.as_ref()).as_bytes())
    }

    /// Returns the blake3 hash of the concatenation of `parts`.
    pub fn from_parts(parts: &[impl AsRef<[u8]>]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part.as_ref());
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// Derives an id: the blake3 hash of this id followed by `info`.
    pub fn derive(&self, info: impl AsRef<[u8]>) -> Self {
        Self::from_parts(&[&self.0, info.as_ref()])
    }

    /// Returns the blake3 hash of this id.
    pub fn hashed(&self) -> Self {
        Self::hash(self.0)
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

macro_rules! from_integers {
    ($($name:ident($int:ty)),*) => {
        impl Digest {
            $(
                #[doc = concat!("Creates an id with this number in its last bytes, little-endian, preceded by zeros, from a ", stringify!($int), ".")]
                pub const fn $name(number: $int) -> Self {
                    let (number, mut bytes) = (number.to_le_bytes(), [0; 32]);
                    let (_, last) = bytes.split_at_mut(32 - number.len());
                    last.copy_from_slice(&number);
                    Self(bytes)
                }
            )*
        }
    };
}

from_integers!(
    from_u8(u8),
    from_u16(u16),
    from_u32(u32),
    from_u64(u64),
    from_u128(u128),
    from_i8(i8),
    from_i16(i16),
    from_i32(i32),
    from_i64(i64),
    from_i128(i128)
);

impl PartialEq<&Self> for Digest {
    fn eq(&self, other: &&Self) -> bool {
        self == *other
    }
}

impl PartialEq<Digest> for &Digest {
    fn eq(&self, other: &Digest) -> bool {
        *self == other
    }
}

impl From<Digest> for [u8; 32] {
    fn from(id: Digest) -> Self {
        id.0
    }
}

impl From<&Digest> for [u8; 32] {
    fn from(id: &Digest) -> Self {
        id.0
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// 64 hex digits are decoded; other text is hashed.
impl From<&str> for Digest {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<String> for Digest {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// As for text.
impl From<&[u8]> for Digest {
    fn from(text: &[u8]) -> Self {
        decode_hex(text).map_or_else(|| Self::hash(text), Self)
    }
}

impl From<&Self> for Digest {
    fn from(id: &Self) -> Self {
        *id
    }
}

impl FromStr for Digest {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::from(text))
    }
}

fn decode_hex(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let decoded = text.len() == 64
        && data_encoding::HEXLOWER_PERMISSIVE
            .decode_mut(text, &mut bytes)
            .is_ok();
    decoded.then_some(bytes)
}

/// Formats as the first 10 hex digits, enough to distinguish ids in a log.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0[..5]))
    }
}

/// Formats as 64 hex digits.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// Serialized as 64 hex digits in human-readable formats, and as 32 bytes without a length in others.
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&format_args!("{self:?}"))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 32]>::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        decode_hex(text.as_bytes())
            .map(Self)
            .ok_or_else(|| de::Error::custom("expected 64 hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_hashed_and_hex_is_taken() {
        let id = Digest::from("oracle.price");
        assert_eq!(id, Digest::hash(b"oracle.price"));
        assert_eq!(Digest::from(format!("{id:?}").as_str()), id);
        assert_eq!(Digest::from(format!("{id:?}").to_uppercase().as_str()), id);
        assert_ne!(Digest::from("zz".repeat(32).as_str()), Digest::zero());
    }

    #[test]
    fn numbers_stand_at_the_end() {
        const SEVEN: Digest = Digest::from_u64(7);
        let mut bytes = [0; 32];
        bytes[24] = 7;
        assert_eq!(SEVEN, Digest::from_bytes(bytes));
        assert_eq!(Digest::from_i8(-1).as_bytes()[31], 0xff);
        bytes[24..].copy_from_slice(&0x0102_0304_0506_0708_u64.to_le_bytes());
        assert_eq!(
            <[u8; 32]>::from(Digest::from_u64(0x0102_0304_0506_0708)),
            bytes
        );
        assert_eq!(Digest::from_u128(1).as_bytes()[16], 1);
        assert_eq!(Digest::from_u8(9).as_bytes()[31], 9);
    }

    #[test]
    fn references_compare_either_way_round() {
        let (id, reference) = (Digest::from("a"), &Digest::from("a"));
        assert_eq!(reference, id);
        assert_eq!(id, reference);
        assert_ne!(reference, Digest::zero());
        assert_ne!(Digest::zero(), reference);
    }

    #[test]
    fn deriving_hashes_the_id_and_the_text() {
        let id = Digest::from("a");
        let joined = [id.as_bytes().as_slice(), b"b"].concat();
        assert_eq!(id.derive("b"), Digest::hash(joined));
    }

    #[test]
    fn serde_is_hex_for_people_and_bytes_for_the_wire() {
        let id = Digest::from("a");
        assert_eq!(postcard::to_stdvec(&id).unwrap(), id.as_bytes());
        assert_eq!(postcard::from_bytes::<Digest>(id.as_bytes()).unwrap(), id);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id:?}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), id);
        assert!(serde_json::from_str::<Digest>("\"a\"").is_err());
    }
}
