//! Keys of JSON Web Tokens. A key belongs to one algorithm, and cannot be used with another.

mod ecdsa;
mod eddsa;
mod hmac;

use std::fmt;

pub use ecdsa::{Es256, Es256SigningKey, Es384, Es384SigningKey, Es512, Es512SigningKey};
pub use eddsa::{EdDsa, EdDsaSigningKey};
pub use hmac::{Hs256, Hs384, Hs512};

use crate::Digest;

/// Text or bytes that are not a key of the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key for {algorithm}: {expected}")]
pub struct InvalidKey {
    /// The name of the algorithm in tokens.
    pub algorithm: &'static str,
    /// A description of valid keys.
    pub expected: &'static str,
}

/// A key of any algorithm that verifies signatures.
#[derive(Clone)]
pub struct VerifyingKey {
    verifier: Verifier,
    fingerprint: Digest,
}

#[derive(Clone)]
enum Verifier {
    Hs256(hmac::Sha256Mac),
    Hs384(hmac::Sha384Mac),
    Hs512(hmac::Sha512Mac),
    Es256(p256::ecdsa::VerifyingKey),
    Es384(p384::ecdsa::VerifyingKey),
    Es512(p521::ecdsa::VerifyingKey),
    EdDsa(ed25519_dalek::VerifyingKey),
}

impl VerifyingKey {
    /// Returns the value that `alg` must have in a token's header.
    pub const fn algorithm(&self) -> &'static str {
        match self.verifier {
            Verifier::Hs256(_) => Hs256::ALGORITHM,
            Verifier::Hs384(_) => Hs384::ALGORITHM,
            Verifier::Hs512(_) => Hs512::ALGORITHM,
            Verifier::Es256(_) => Es256::ALGORITHM,
            Verifier::Es384(_) => Es384::ALGORITHM,
            Verifier::Es512(_) => Es512::ALGORITHM,
            Verifier::EdDsa(_) => EdDsa::ALGORITHM,
        }
    }

    /// Returns a digest that identifies the key without revealing it.
    pub(super) const fn fingerprint(&self) -> &Digest {
        &self.fingerprint
    }

    /// Returns true if `signature` is valid for `message`. Takes the same time for every invalid signature of the same
    /// length.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.verifier {
            Verifier::Hs256(mac) => hmac::verify(mac, message, signature),
            Verifier::Hs384(mac) => hmac::verify(mac, message, signature),
            Verifier::Hs512(mac) => hmac::verify(mac, message, signature),
            Verifier::Es256(key) => {
                ecdsa::verify::<p256::ecdsa::Signature>(key, message, signature)
            }
            Verifier::Es384(key) => {
                ecdsa::verify::<p384::ecdsa::Signature>(key, message, signature)
            }
            Verifier::Es512(key) => {
                ecdsa::verify::<p521::ecdsa::Signature>(key, message, signature)
            }
            Verifier::EdDsa(key) => eddsa::verify(key, message, signature),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.algorithm())
    }
}

/// A key of any algorithm that signs.
#[derive(Clone)]
pub struct SigningKey(Signer);

#[derive(Clone)]
enum Signer {
    Hs256(hmac::Sha256Mac),
    Hs384(hmac::Sha384Mac),
    Hs512(hmac::Sha512Mac),
    Es256(p256::ecdsa::SigningKey),
    Es384(p384::ecdsa::SigningKey),
    Es512(p521::ecdsa::SigningKey),
    EdDsa(ed25519_dalek::SigningKey),
}

impl SigningKey {
    /// Returns the value of `alg` in the header of its tokens.
    pub const fn algorithm(&self) -> &'static str {
        match self.0 {
            Signer::Hs256(_) => Hs256::ALGORITHM,
            Signer::Hs384(_) => Hs384::ALGORITHM,
            Signer::Hs512(_) => Hs512::ALGORITHM,
            Signer::Es256(_) => Es256::ALGORITHM,
            Signer::Es384(_) => Es384::ALGORITHM,
            Signer::Es512(_) => Es512::ALGORITHM,
            Signer::EdDsa(_) => EdDsa::ALGORITHM,
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.0 {
            Signer::Hs256(mac) => hmac::sign(mac, message),
            Signer::Hs384(mac) => hmac::sign(mac, message),
            Signer::Hs512(mac) => hmac::sign(mac, message),
            Signer::Es256(key) => ecdsa::sign::<p256::ecdsa::Signature>(key, message),
            Signer::Es384(key) => ecdsa::sign::<p384::ecdsa::Signature>(key, message),
            Signer::Es512(key) => ecdsa::sign::<p521::ecdsa::Signature>(key, message),
            Signer::EdDsa(key) => eddsa::sign(key, message),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm())
    }
}

/// Decodes `2 * N` hex digits, also in constants.
///
/// # Panics
/// Panics on any other text; in a constant, at compile time.
const fn hex<const N: usize>(text: &str) -> [u8; N] {
    const fn digit(digit: u8) -> u8 {
        match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => panic!("expected hex digits"),
        }
    }
    let text = text.as_bytes();
    assert!(text.len() == 2 * N, "the key has the wrong length");
    let mut bytes = [0; N];
    let mut index = 0;
    while index < N {
        bytes[index] = digit(text[2 * index]) << 4 | digit(text[2 * index + 1]);
        index += 1;
    }
    bytes
}

/// Decodes any number of hex digits.
fn decode_hex(text: &str) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .ok()
}

#[cfg(test)]
mod tests;
