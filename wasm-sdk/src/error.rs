//! [`Error`]: the reason for which an operator rejects a record or a configuration. A text, because only text leaves
//! the sandbox.

use std::fmt;

/// The reason for which a record, a configuration or a saved state was rejected.
///
/// Created from any standard error with `?`, or with [`Error::new`], [`bail!`](crate::bail) and
/// [`ensure!`](crate::ensure).
pub struct Error(Box<str>);

/// The result of an operator's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Creates an error with this text: a lower-case fragment that fits "rejected: {reason}".
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string().into_boxed_str())
    }

    /// Returns the reason.
    pub fn reason(&self) -> &str {
        &self.0
    }

    /// Returns the reason, owned.
    pub fn into_reason(self) -> String {
        self.0.into_string()
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns an [`Error`](crate::Error) with a formatted reason from the function.
#[macro_export]
macro_rules! bail {
    ($($reason:tt)+) => {
        return ::core::result::Result::Err($crate::Error::new(::core::format_args!($($reason)+)))
    };
}

/// Returns an [`Error`](crate::Error) with a formatted reason from the function, unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            $crate::bail!($($reason)+)
        }
    };
}
