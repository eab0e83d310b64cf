//! Why a datum was not taken, with the datum.

use std::fmt;

/// What an encoding says of a datum it cannot write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EncodingError(pub(crate) String);

/// Why a datum, or a batch of them, was not taken. It is handed back.
#[derive(Clone, PartialEq, Eq)]
pub enum Error<D> {
    /// The producer or its network has ended. Without a datum when none was given yet.
    Closed(Option<D>),
    /// There is no room now.
    Full(D),
    /// The conditions for being online are not met now.
    Offline(D),
    /// A datum is larger than the stream allows.
    TooLarge(D),
    /// The datum cannot be encoded.
    Encoding(D, EncodingError),
}

impl<D> Error<D> {
    /// The datum.
    pub fn into_datum(self) -> Option<D> {
        match self {
            Self::Closed(datum) => datum,
            Self::Full(datum)
            | Self::Offline(datum)
            | Self::TooLarge(datum)
            | Self::Encoding(datum, _) => Some(datum),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Closed(_) => "Closed",
            Self::Full(_) => "Full",
            Self::Offline(_) => "Offline",
            Self::TooLarge(_) => "TooLarge",
            Self::Encoding(..) => "Encoding",
        }
    }
}

impl<D> fmt::Debug for Error<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding(_, error) => write!(f, "Encoding(.., {error:?})"),
            _ => write!(f, "{}(..)", self.name()),
        }
    }
}

impl<D> fmt::Display for Error<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => f.write_str("the producer is closed"),
            Self::Full(_) => f.write_str("the producer's buffer is full"),
            Self::Offline(_) => f.write_str("the producer is offline"),
            Self::TooLarge(_) => f.write_str("a datum is larger than the stream allows"),
            Self::Encoding(_, error) => write!(f, "the datum cannot be encoded: {error}"),
        }
    }
}

impl<D> std::error::Error for Error<D> {}
