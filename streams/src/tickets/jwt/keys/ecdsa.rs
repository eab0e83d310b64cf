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

            /// The point in compressed form. Whether it is one shows when it becomes a [`VerifyingKey`].
            pub const fn new(key: [u8; $len]) -> Self {
                Self(key)
            }

            #[doc = concat!("The point in compressed form, from its ", $digits, " hex digits. Whether it is one shows when it becomes a [`VerifyingKey`].")]
            ///
            /// # Panics
            /// For any other text; in a constant, when the program is compiled. Text from outside is better parsed.
            pub const fn hex(text: &str) -> Self {
                Self(hex(text))
            }

            /// The point from either form of SEC 1, compressed or not.
            ///
            /// # Errors
            /// When the bytes are no point of the curve.
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
        /// When the bytes that the key was made of are no point of the curve.
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

        /// Hex digits of either form of SEC 1.
        impl FromStr for $name {
            type Err = InvalidKey;

            fn from_str(text: &str) -> Result<Self, InvalidKey> {
                Self::from_sec1(&decode_hex(text).ok_or(Self::INVALID)?)
            }
        }

        /// The hex digits of the compressed form.
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
            #[doc = concat!("The key from its ", $secret_len, " bytes.")]
            ///
            /// # Panics
            /// When they are no private key: zero, or not below the curve's order.
            pub fn from_bytes(bytes: [u8; $secret_len]) -> Self {
                let key = $module::ecdsa::SigningKey::from_slice(&bytes);
                Self(key.expect(concat!("the bytes are a private key of ", $curve)))
            }

            /// A new key.
            ///
            /// # Panics
            /// When the operating system has no random bytes to give.
            pub fn random() -> Self {
                Self($module::ecdsa::SigningKey::random(&mut OsRng))
            }

            /// The public key that goes with it.
            pub fn verifying_key(&self) -> $name {
                $name::of(&$module::ecdsa::VerifyingKey::from(&self.0))
            }
        }

        impl From<$signing> for SigningKey {
            fn from(key: $signing) -> Self {
                Self(Signer::$name(key.0))
            }
        }

        /// Without the key.
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
