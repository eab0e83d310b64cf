//! `ES256`, `ES384`, `ES512`: ECDSA over the NIST curves (RFC 7518 section 3.4).

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use p521::{
    ecdsa::signature::{self, SignatureEncoding},
    elliptic_curve::rand_core::OsRng,
};

use super::{InvalidKey, Signer, SigningKey, Verifier, VerifyingKey, decode_hex, hex};
use crate::id;

pub(super) fn verify<S: SignatureEncoding>(
    key: &impl signature::Verifier<S>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    S::try_from(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
}

pub(super) fn sign<S: SignatureEncoding>(
    key: &impl signature::Signer<S>,
    message: &[u8],
) -> Vec<u8> {
    key.sign(message).to_vec()
}

macro_rules! ecdsa_keys {
    ($($name:ident, $signing:ident: $algorithm:literal, $curve:literal, $module:ident, $len:literal, $secret_len:literal, $fingerprint:literal, $digits:literal;)*) => {$(
        #[doc = concat!("The public key of `", $algorithm, "`: a point of ", $curve, ", ", $len, " bytes in the compressed form of SEC 1.")]
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name([u8; $len]);

        impl $name {
            pub(super) const ALGORITHM: &str = $algorithm;

            /// Creates the key from a point in compressed form. It is validated on conversion into a [`VerifyingKey`].
            pub const fn new(key: [u8; $len]) -> Self {
                Self(key)
            }

            #[doc = concat!("Creates the key from the ", $digits, " hex digits of a point in compressed form. It is validated on conversion into a [`VerifyingKey`].")]
            ///
            ///
            /// # Panics
            /// Panics on any other text; in a constant, at compile time. Use [`FromStr`] for external input.
            pub const fn hex(text: &str) -> Self {
                Self(hex(text))
            }

            /// Parses a point in either form of SEC 1, compressed or not.
            ///
            /// # Errors
            /// Fails if the bytes are not a point on the curve.
            pub fn from_sec1(bytes: &[u8]) -> Result<Self, InvalidKey> {
                $module::ecdsa::VerifyingKey::from_sec1_bytes(bytes)
                    .map(|key| Self::of(&key))
                    .map_err(|_| Self::INVALID)
            }

            const INVALID: InvalidKey = InvalidKey {
                algorithm: $algorithm,
                expected: concat!("expected a point of ", $curve, " in SEC 1 form, compressed (", $digits, " hex digits) or not"),
            };

            fn of(key: &$module::ecdsa::VerifyingKey) -> Self {
                let mut bytes = [0; $len];
                bytes.copy_from_slice(key.to_encoded_point(true).as_bytes());
                Self(bytes)
            }
        }

        /// # Panics
        /// Panics if the bytes of the key are not a point on the curve.
        impl From<$name> for VerifyingKey {
            fn from(key: $name) -> Self {
                let point = $module::ecdsa::VerifyingKey::from_sec1_bytes(&key.0)
                    .expect(concat!("the bytes are a point of ", $curve));
                Self {
                    verifier: Verifier::$name(point),
                    fingerprint: id!($fingerprint).derive(key.0),
                }
            }
        }

        /// Parses the hex digits of either form of SEC 1.
        impl FromStr for $name {
            type Err = InvalidKey;

            fn from_str(text: &str) -> Result<Self, InvalidKey> {
                Self::from_sec1(&decode_hex(text).ok_or(Self::INVALID)?)
            }
        }

        /// Formats as the hex digits of the compressed form.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        #[doc = concat!("The private key of `", $algorithm, "`.")]
        #[derive(Clone)]
        pub struct $signing($module::ecdsa::SigningKey);

        impl $signing {
            #[doc = concat!("Creates the key from its ", $secret_len, " bytes.")]
            ///
            ///
            /// # Panics
            /// Panics if they are not a private key: zero, or not below the order of the curve.
            pub fn from_bytes(bytes: [u8; $secret_len]) -> Self {
                let key = $module::ecdsa::SigningKey::from_slice(&bytes);
                Self(key.expect(concat!("the bytes are a private key of ", $curve)))
            }

            /// Generates a key.
            ///
            /// # Panics
            /// Panics if the operating system provides no random bytes.
            pub fn random() -> Self {
                Self($module::ecdsa::SigningKey::random(&mut OsRng))
            }

            /// Returns the corresponding public key.
            pub fn verifying_key(&self) -> $name {
                $name::of(&$module::ecdsa::VerifyingKey::from(&self.0))
            }
        }

        impl From<$signing> for SigningKey {
            fn from(key: $signing) -> Self {
                Self(Signer::$name(key.0))
            }
        }

        /// Omits the key.
        impl fmt::Debug for $signing {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($signing), "(***)"))
            }
        }
    )*};
}

ecdsa_keys! {
    Es256, Es256SigningKey: "ES256", "P-256", p256, 33, 32, "es256", "66";
    Es384, Es384SigningKey: "ES384", "P-384", p384, 49, 48, "es384", "98";
    Es512, Es512SigningKey: "ES512", "P-521", p521, 67, 66, "es512", "134";
}
