//! Errors that return the record which was not accepted.

use std::fmt;

/// The error of an encoding that cannot write a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EncodingError(pub(crate) String);

/// A record, or a batch of them, was not accepted. The error returns it to the caller.
#[derive(Clone, PartialEq, Eq)]
pub enum Error<D> {
    /// The producer or its network has ended. Contains no record if none had been passed in.
    Closed(Option<D>),
    /// The queue is full.
    Full(D),
    /// The online conditions are not met.
    Offline(D),
    /// A record exceeds the maximum length of the stream.
    TooLarge(D),
    /// The record cannot be encoded.
    Encoding(D, EncodingError),
}

impl<D> Error<D> {
    /// Returns the record that was not sent, if the error carries one.
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
            Self::TooLarge(_) => f.write_str("record exceeds the maximum length of the stream"),
            Self::Encoding(_, error) => write!(f, "failed to encode the record: {error}"),
        }
    }
}

impl<D> std::error::Error for Error<D> {}
