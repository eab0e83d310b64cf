//! Values that may not be shown: keys, and whatever came from the environment or a file.

use std::{fmt, ops::Deref};

use crate::secrets::{mask, secrets};

/// A value that is shown unless it is a secret; then it reads `***` in any output.
///
/// What comes from `${env:…}` or `${file:…}` is a secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Guarded<T> {
    value: T,
    secret: bool,
    /// What was put in from the environment or a file.
    put_in: Vec<String>,
}

impl<T> Guarded<T> {
    /// A value, and whether it is a secret.
    pub const fn new(value: T, secret: bool) -> Self {
        let put_in = Vec::new();
        Self {
            value,
            secret,
            put_in,
        }
    }

    /// A value with these texts from the environment or a file in it; a secret if there are any.
    pub(crate) fn with(value: T, put_in: Vec<String>) -> Self {
        Self {
            value,
            secret: !put_in.is_empty(),
            put_in,
        }
    }

    /// The texts from the environment or a file that are in it, which no message may show.
    pub fn put_in(&self) -> &[String] {
        &self.put_in
    }

    /// A message about it, without the texts that [`put_in`](Self::put_in) returns.
    pub(crate) fn mask(&self, message: String) -> String {
        mask(message, &secrets(&self.put_in))
    }

    /// A value that anyone may see.
    pub const fn open(value: T) -> Self {
        Self::new(value, false)
    }

    /// Whether it may not be shown.
    pub const fn is_secret(&self) -> bool {
        self.secret
    }

    /// The value itself.
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
    /// Reads 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        decode_hex(text).map(Self)
    }

    /// The bytes, for the one who needs them.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// 64 hex digits as bytes.
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
