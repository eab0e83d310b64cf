//! `HS256`, `HS384`, `HS512`: the same secret signs and verifies (RFC 7518 section 3.2).

use std::{fmt, str::FromStr};

use hmac::{Hmac, Mac};

use super::{InvalidKey, Signer, SigningKey, Verifier, VerifyingKey, decode_hex, hex};
use crate::id;

pub(super) type Sha256Mac = Hmac<sha2::Sha256>;
pub(super) type Sha384Mac = Hmac<sha2::Sha384>;
pub(super) type Sha512Mac = Hmac<sha2::Sha512>;

pub(super) fn verify(mac: &(impl Mac + Clone), message: &[u8], signature: &[u8]) -> bool {
    mac.clone()
        .chain_update(message)
        .verify_slice(signature)
        .is_ok()
}

pub(super) fn sign(mac: &(impl Mac + Clone), message: &[u8]) -> Vec<u8> {
    mac.clone()
        .chain_update(message)
        .finalize()
        .into_bytes()
        .to_vec()
}

macro_rules! hmac_keys {
    ($($name:ident: $algorithm:literal, $mac:ty, $len:literal, $fingerprint:literal, $expected:literal;)*) => {$(
        #[doc = concat!("The secret of `", $algorithm, "`, ", $len, " bytes. It both verifies and signs tokens.")]
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name([u8; $len]);

        impl $name {
            pub(super) const ALGORITHM: &str = $algorithm;

            /// Creates the key from its bytes.
            pub const fn new(secret: [u8; $len]) -> Self {
                Self(secret)
            }

            #[doc = concat!("Creates the key from its ", $expected, ".")]
            ///
            ///
            /// # Panics
            /// Panics on any other text; in a constant, at compile time. Use [`FromStr`] for external input.
            pub const fn hex(text: &str) -> Self {
                Self(hex(text))
            }

            fn mac(&self) -> $mac {
                <$mac>::new_from_slice(&self.0).expect("HMAC takes keys of any length")
            }
        }

        impl From<$name> for VerifyingKey {
            fn from(key: $name) -> Self {
                Self {
                    verifier: Verifier::$name(key.mac()),
                    fingerprint: id!($fingerprint).derive(key.0),
                }
            }
        }

        impl From<$name> for SigningKey {
            fn from(key: $name) -> Self {
                Self(Signer::$name(key.mac()))
            }
        }

        impl FromStr for $name {
            type Err = InvalidKey;

            fn from_str(text: &str) -> Result<Self, InvalidKey> {
                let bytes = decode_hex(text).and_then(|bytes| bytes.try_into().ok());
                bytes.map(Self).ok_or(InvalidKey {
                    algorithm: $algorithm,
                    expected: concat!("expected ", $expected),
                })
            }
        }

        /// Omits the secret.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(***)"))
            }
        }
    )*};
}

hmac_keys! {
    Hs256: "HS256", Sha256Mac, 32, "hs256", "64 hex digits";
    Hs384: "HS384", Sha384Mac, 48, "hs384", "96 hex digits";
    Hs512: "HS512", Sha512Mac, 64, "hs512", "128 hex digits";
}
