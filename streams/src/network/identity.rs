//! Who a node is: its Ed25519 key pair, the [`PeerId`] that follows from it, and where it can be reached. No I/O.

use std::{collections::BTreeSet, fmt, net::SocketAddr, str::FromStr};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeTuple};

use crate::Digest;

/// Text or bytes that are not a key, a peer id or an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Not 64 hex digits.
    #[error("expected 64 hex digits")]
    NotHex,
    /// 32 bytes that no Ed25519 key pair has as its public key.
    #[error("not an Ed25519 public key")]
    NotAKey,
    /// Not of the form `<peer id>@ip:port,ip:port`.
    #[error("expected `<peer id>@<ip>:<port>`, with more addresses after commas")]
    NotAnAddress,
    /// A part that should be `ip:port` and is not.
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

/// The secret half of a node's key pair. It is never printed and is wiped from memory when dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Panics
    /// When the operating system has none to give.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Self::from_bytes(bytes)
    }

    /// The key with these secret bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&bytes))
    }

    /// The secret bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The id that others know the holder of this key by.
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

/// The key whose bytes are those of the id: as secret as the id is.
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

/// 64 hex digits.
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
    /// The signature with these bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// 64 bytes without a length.
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

/// What a node is known by: its 32-byte Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// The peer with this public key.
    ///
    /// # Errors
    /// [`IdentityError::NotAKey`] when the bytes are not a point of the curve.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, IdentityError> {
        VerifyingKey::from_bytes(&bytes)
            .map(|_| Self(bytes))
            .map_err(|_| IdentityError::NotAKey)
    }

    /// The public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this peer signed `message`. Weak keys and ambiguous signatures do not pass.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }

    /// The all-zero id sorts before every other; only for bounds of ranges.
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

/// All 64 hex digits, the form that [`FromStr`] takes. [`Short`](crate::primitives::Short) shows the first 10.
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

/// 64 hex digits that are a public key.
impl FromStr for PeerId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decode_hex(text).and_then(Self::from_bytes)
    }
}

/// 64 hex digits where people read, 32 bytes without a length elsewhere.
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
    /// Who must answer there.
    pub id: PeerId,
    /// Where; may be empty when others are expected to know.
    pub addrs: BTreeSet<SocketAddr>,
}

impl EndpointAddr {
    /// A peer at these addresses.
    pub fn new(id: PeerId, addrs: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            id,
            addrs: addrs.into_iter().collect(),
        }
    }
}

/// The form that [`FromStr`] takes: `<peer id>@ip:port,ip:port`.
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

/// A peer whose addresses are known elsewhere: from the catalog or from a bootstrap entry.
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
        // y = 2 is on no point of the curve.
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
