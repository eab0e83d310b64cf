//! The identity of a node: its Ed25519 key pair, the [`PeerId`] derived from it, and its addresses. No I/O.

use std::{collections::BTreeSet, fmt, net::SocketAddr, str::FromStr};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeTuple};

use crate::Digest;

/// Text or bytes that are not a valid key, peer id or address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The text is not 64 hex digits.
    #[error("expected 64 hex digits")]
    NotHex,
    /// The 32 bytes are not an Ed25519 public key.
    #[error("not an Ed25519 public key")]
    NotAKey,
    /// The text does not have the form `<peer id>@ip:port,ip:port`.
    #[error("expected `<peer id>@<ip>:<port>`, with more addresses after commas")]
    NotAnAddress,
    /// A part of the text does not have the form `ip:port`.
    #[error("`{0}` is not an address of the form `<ip>:<port>`")]
    NotASocketAddress(String),
}

fn decode_hex(text: &str) -> Result<[u8; 32], IdentityError> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return Err(IdentityError::NotHex);
    }
    HEXLOWER_PERMISSIVE
        .decode_mut(text.as_bytes(), &mut bytes)
        .map_err(|_| IdentityError::NotHex)?;
    Ok(bytes)
}

/// The secret part of a node's key pair. It is never printed, and is wiped from memory when dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// Generates a key from the operating system's random number generator.
    ///
    /// # Panics
    /// Panics if the operating system provides no random bytes.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Self::from_bytes(bytes)
    }

    /// Creates the key with these secret bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&bytes))
    }

    /// Returns the secret bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Returns the peer id of the key's holder.
    pub fn public(&self) -> PeerId {
        PeerId(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
    }
}

/// Uses the bytes of the digest as the secret: the key is only as secret as the digest.
impl From<Digest> for SecretKey {
    fn from(secret: Digest) -> Self {
        Self::from_bytes(*secret.as_bytes())
    }
}

impl From<[u8; 32]> for SecretKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self::from_bytes(bytes)
    }
}

/// Parses 64 hex digits.
impl FromStr for SecretKey {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decode_hex(text).map(Self::from_bytes)
    }
}

/// An Ed25519 signature: 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Creates a signature from its bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// Serialized as 64 bytes without a length.
impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(64)?;
        for byte in &self.0 {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> de::Visitor<'de> for Bytes {
            type Value = Signature;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("64 bytes")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Signature, A::Error> {
                let mut bytes = [0; 64];
                for (index, byte) in bytes.iter_mut().enumerate() {
                    *byte = seq
                        .next_element()?
                        .ok_or_else(|| de::Error::invalid_length(index, &self))?;
                }
                Ok(Signature(bytes))
            }
        }
        deserializer.deserialize_tuple(64, Bytes)
    }
}

/// The id of a node: its 32-byte Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// Creates the id from a public key.
    ///
    /// # Errors
    /// [`IdentityError::NotAKey`] if the bytes are not a point on the curve.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, IdentityError> {
        VerifyingKey::from_bytes(&bytes)
            .map(|_| Self(bytes))
            .map_err(|_| IdentityError::NotAKey)
    }

    /// Returns the public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns true if this peer signed `message`. Rejects weak keys and ambiguous signatures.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }

    /// Creates an id without validation, for bounds of ranges. All zeros sorts before every other id.
    #[cfg(test)]
    pub(crate) const fn unchecked(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for PeerId {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Formats as 64 hex digits, which [`FromStr`] parses. [`Short`](crate::primitives::Short) shows the first 10.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Parses 64 hex digits of a public key.
impl FromStr for PeerId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decode_hex(text).and_then(Self::from_bytes)
    }
}

/// Serialized as 64 hex digits in human-readable formats, and as 32 bytes without a length in others.
impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&format_args!("{self:?}"))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?
                .parse()
                .map_err(de::Error::custom)
        } else {
            Self::from_bytes(<[u8; 32]>::deserialize(deserializer)?).map_err(de::Error::custom)
        }
    }
}

/// A peer and the socket addresses it may be reached at.
///
/// ```
/// use mosaik_streams::{EndpointAddr, SecretKey};
///
/// let id = SecretKey::from_bytes([7; 32]).public();
/// let addr: EndpointAddr = format!("{id:?}@127.0.0.1:4433,[::1]:4433").parse()?;
/// assert_eq!((addr.id, addr.addrs.len()), (id, 2));
/// # Ok::<(), mosaik_streams::network::IdentityError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointAddr {
    /// The peer id.
    pub id: PeerId,
    /// The socket addresses. May be empty if they are known from the catalog.
    pub addrs: BTreeSet<SocketAddr>,
}

impl EndpointAddr {
    /// Creates an address.
    pub fn new(id: PeerId, addrs: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            id,
            addrs: addrs.into_iter().collect(),
        }
    }
}

/// Formats as `<peer id>@ip:port,ip:port`, which [`FromStr`] parses.
impl fmt::Display for EndpointAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.id)?;
        for (index, addr) in self.addrs.iter().enumerate() {
            write!(f, "{}{addr}", if index == 0 { '@' } else { ',' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for EndpointAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EndpointAddr {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, addrs) = text.split_once('@').ok_or(IdentityError::NotAnAddress)?;
        let parse = |addr: &str| {
            addr.trim()
                .parse()
                .map_err(|_| IdentityError::NotASocketAddress(addr.trim().to_owned()))
        };
        Ok(Self {
            id: id.trim().parse()?,
            addrs: addrs.split(',').map(parse).collect::<Result<_, _>>()?,
        })
    }
}

/// An address without socket addresses, for a peer known from the catalog or from a bootstrap entry.
impl From<PeerId> for EndpointAddr {
    fn from(id: PeerId) -> Self {
        Self {
            id,
            addrs: BTreeSet::new(),
        }
    }
}

impl From<&PeerId> for EndpointAddr {
    fn from(id: &PeerId) -> Self {
        Self::from(*id)
    }
}

impl From<&Self> for EndpointAddr {
    fn from(addr: &Self) -> Self {
        addr.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_from_their_text_and_refuse_what_is_no_key() {
        let id = SecretKey::generate().public();
        assert_eq!(format!("{id:?}").parse(), Ok(id));
        assert_eq!(id.to_string(), format!("{id:?}"));
        assert_eq!("ab".parse::<PeerId>(), Err(IdentityError::NotHex));
        // No point on the curve has y = 2.
        let mut no_point = [0; 32];
        no_point[0] = 2;
        assert_eq!(
            HEXLOWER.encode(&no_point).parse::<PeerId>(),
            Err(IdentityError::NotAKey)
        );
        assert!(postcard::from_bytes::<PeerId>(&no_point).is_err());
        assert_eq!(postcard::to_stdvec(&id).unwrap(), id.as_bytes());
        assert_eq!(
            serde_json::from_str::<PeerId>(&serde_json::to_string(&id).unwrap()).unwrap(),
            id
        );
    }

    #[test]
    fn a_signature_holds_for_its_message_and_signer_only() {
        let (key, other) = (SecretKey::generate(), SecretKey::generate());
        let signature = key.sign(b"message");
        assert!(key.public().verify(b"message", &signature));
        assert!(!key.public().verify(b"massage", &signature));
        assert!(!other.public().verify(b"message", &signature));
        assert!(!PeerId::unchecked([2; 32]).verify(b"message", &signature));
        let wire = postcard::to_stdvec(&signature).unwrap();
        assert_eq!(wire, signature.as_bytes());
        assert_eq!(postcard::from_bytes::<Signature>(&wire).unwrap(), signature);
    }

    #[test]
    fn a_secret_key_reads_hex_and_never_prints_itself() {
        let key: SecretKey = "0f".repeat(32).parse().unwrap();
        assert_eq!(key.to_bytes(), [0x0f; 32]);
        assert!(!format!("{key:?}").contains("0f0f"));
        assert_eq!(
            "0f".parse::<SecretKey>().unwrap_err(),
            IdentityError::NotHex
        );
    }

    #[test]
    fn addresses_read_back_from_their_text() {
        let id = SecretKey::generate().public();
        let addr = EndpointAddr::new(
            id,
            ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()],
        );
        assert_eq!(addr.to_string().parse(), Ok(addr));
        assert_eq!(
            format!("{id:?}").parse::<EndpointAddr>(),
            Err(IdentityError::NotAnAddress)
        );
        let refused = format!("{id:?}@localhost:1").parse::<EndpointAddr>();
        assert_eq!(
            refused,
            Err(IdentityError::NotASocketAddress("localhost:1".into()))
        );
    }
}
