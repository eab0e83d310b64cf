//! Values that must not be shown: keys, and text from the environment or from files.

use std::{fmt, ops::Deref};

use crate::secrets::{mask, secrets};

/// A value that may be a secret. A secret is shown as `***` in any output.
///
/// Values from `${env:…}` or `${file:…}` are secrets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Guarded<T> {
    value: T,
    secret: bool,
    /// The texts that were substituted from the environment or from files.
    put_in: Vec<String>,
}

impl<T> Guarded<T> {
    /// Creates a value that is a secret if `secret` is set.
    pub const fn new(value: T, secret: bool) -> Self {
        let put_in = Vec::new();
        Self {
            value,
            secret,
            put_in,
        }
    }

    /// Creates a value that contains these texts from the environment or from files. It is a secret if there are any.
    pub(crate) fn with(value: T, put_in: Vec<String>) -> Self {
        Self {
            value,
            secret: !put_in.is_empty(),
            put_in,
        }
    }

    /// Returns the texts from the environment or from files that are part of the value. Messages must not show them.
    pub fn put_in(&self) -> &[String] {
        &self.put_in
    }

    /// Masks the texts that [`put_in`](Self::put_in) returns in a message.
    pub(crate) fn mask(&self, message: String) -> String {
        mask(message, &secrets(&self.put_in))
    }

    /// Creates a value that is not a secret.
    pub const fn open(value: T) -> Self {
        Self::new(value, false)
    }

    /// Returns whether the value is a secret.
    pub const fn is_secret(&self) -> bool {
        self.secret
    }

    /// Returns the value itself.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Guarded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret {
            f.write_str("***")
        } else {
            self.value.fmt(f)
        }
    }
}

impl<T: fmt::Display> fmt::Display for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret {
            f.write_str("***")
        } else {
            self.value.fmt(f)
        }
    }
}

/// 32 bytes that are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Parses 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        decode_hex(text).map(Self)
    }

    /// Returns the secret bytes.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Decodes 64 hex digits.
pub(crate) fn decode_hex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let value = |digit: u8| char::from(digit).to_digit(16);
        *byte = (value(*high)? * 16 + value(*low)?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let guarded = Guarded::with("hunter2".to_owned(), vec!["hunter2".to_owned()]);
        assert_eq!(guarded.mask("it is hunter2".to_owned()), "it is ***");
        assert_eq!(format!("{guarded} {guarded:?}"), "*** ***");
        assert_eq!(guarded.as_str(), "hunter2");
        assert_eq!(format!("{}", Guarded::open("plain")), "plain");
        let key = Secret::from_hex(&"a0".repeat(32)).unwrap();
        assert_eq!(format!("{key:?}"), "***");
        assert_eq!(key.expose(), &[0xa0; 32]);
    }

    #[test]
    fn hex_is_64_digits() {
        assert!(decode_hex(&"g".repeat(64)).is_none());
        assert!(decode_hex(&"a".repeat(63)).is_none());
        assert!(decode_hex(&"é".repeat(32)).is_none());
        assert_eq!(decode_hex(&"fF".repeat(32)), Some([0xff; 32]));
    }
}
