//! `EdDSA` with Ed25519 (RFC 8037).

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use ed25519_dalek::Signer as _;

use super::{InvalidKey, Signer, SigningKey, Verifier, VerifyingKey, decode_hex, hex};
use crate::id;

/// Rejects weak keys and ambiguous signatures.
pub(super) fn verify(key: &ed25519_dalek::VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    ed25519_dalek::Signature::from_slice(signature)
        .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
}

pub(super) fn sign(key: &ed25519_dalek::SigningKey, message: &[u8]) -> Vec<u8> {
    key.sign(message).to_vec()
}

/// The public key of `EdDSA`: 32 bytes of Ed25519.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EdDsa([u8; 32]);

impl EdDsa {
    pub(super) const ALGORITHM: &str = "EdDSA";
    const INVALID: InvalidKey = InvalidKey {
        algorithm: Self::ALGORITHM,
        expected: "expected 64 hex digits of a point of Ed25519 that is not weak",
    };

    /// Creates the key from its bytes. They are validated on conversion into a [`VerifyingKey`].
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Creates the key from its 64 hex digits. It is validated on conversion into a [`VerifyingKey`].
    ///
    /// # Panics
    /// Panics on any other text; in a constant, at compile time. Use [`FromStr`] for external input.
    pub const fn hex(text: &str) -> Self {
        Self(hex(text))
    }
}

/// # Panics
/// Panics if the bytes of the key are not a point on the curve.
impl From<EdDsa> for VerifyingKey {
    fn from(key: EdDsa) -> Self {
        let point = ed25519_dalek::VerifyingKey::from_bytes(&key.0)
            .expect("the bytes are a point of Ed25519");
        Self {
            verifier: Verifier::EdDsa(point),
            fingerprint: id!("EdDsa").derive(key.0),
        }
    }
}

impl FromStr for EdDsa {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        decode_hex(text)
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .filter(|bytes| {
                ed25519_dalek::VerifyingKey::from_bytes(bytes).is_ok_and(|key| !key.is_weak())
            })
            .map(Self)
            .ok_or(Self::INVALID)
    }
}

/// Formats as 64 hex digits.
impl fmt::Display for EdDsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for EdDsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EdDsa({self})")
    }
}

/// The private key of `EdDSA`.
#[derive(Clone)]
pub struct EdDsaSigningKey(ed25519_dalek::SigningKey);

impl EdDsaSigningKey {
    /// Creates the key from its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&bytes))
    }

    /// Generates a key.
    ///
    /// # Panics
    /// Panics if the operating system provides no random bytes.
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Self::from_bytes(bytes)
    }

    /// Returns the corresponding public key.
    pub fn verifying_key(&self) -> EdDsa {
        EdDsa(self.0.verifying_key().to_bytes())
    }
}

impl From<EdDsaSigningKey> for SigningKey {
    fn from(key: EdDsaSigningKey) -> Self {
        Self(Signer::EdDsa(key.0))
    }
}

/// Omits the key.
impl fmt::Debug for EdDsaSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EdDsaSigningKey(***)")
    }
}
