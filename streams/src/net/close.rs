//! [`CloseReason`]: the reasons for closing a connection, and their codes on the wire. No I/O.

use quinn::{ConnectionError, VarInt};

/// TLS alert `no_application_protocol` (120) as a QUIC transport error code: 0x100 + 120, RFC 9001 section 4.8.
const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;

/// The reason for which a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// Code 200: the exchange is complete.
    Success,
    /// Code 204: the peer shuts down, and may return.
    GracefulShutdown,
    /// Code 204 with the reason text `EndOfStream`: the stream has ended for good.
    EndOfStream,
    /// Code 100: the peer does not support the protocol.
    InvalidAlpn,
    /// Code 101: the nodes belong to different networks.
    DifferentNetwork,
    /// Code 102: the operation that used the connection was cancelled.
    Cancelled,
    /// Code 103: the peer ended a stream or connection unexpectedly.
    UnexpectedClose,
    /// Code 400: the peer violated the protocol.
    ProtocolViolation,
    /// Code 401: the peer is not in the catalog.
    UnknownPeer,
    /// Code 10404: the stream does not exist.
    StreamNotFound,
    /// Code 10403: the peer does not meet the requirements of the stream.
    NotAllowed,
    /// Code 10509: the stream has reached its maximum number of consumers.
    NoCapacity,
    /// Code 10413: the consumer did not keep up.
    TooSlow,
    /// Code 10415: the two sides declare different encodings or schemas for the stream.
    FormatMismatch,
    /// Any other code.
    Other(u64),
    /// The peer sent nothing for the idle timeout.
    TimedOut,
    /// The transport failed: reset, protocol error, or no route.
    Lost,
}

impl CloseReason {
    /// Returns the code on the wire. [`TimedOut`](Self::TimedOut) and [`Lost`](Self::Lost) are never sent and map to
    /// the code of [`UnexpectedClose`](Self::UnexpectedClose).
    pub const fn code(self) -> u64 {
        match self {
            Self::Success => 200,
            Self::GracefulShutdown | Self::EndOfStream => 204,
            Self::InvalidAlpn => 100,
            Self::DifferentNetwork => 101,
            Self::Cancelled => 102,
            Self::UnexpectedClose | Self::TimedOut | Self::Lost => 103,
            Self::ProtocolViolation => 400,
            Self::UnknownPeer => 401,
            Self::StreamNotFound => 10404,
            Self::NotAllowed => 10403,
            Self::NoCapacity => 10509,
            Self::TooSlow => 10413,
            Self::FormatMismatch => 10415,
            Self::Other(code) => code,
        }
    }

    /// Returns the reason text on the wire, which is the name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::GracefulShutdown => "GracefulShutdown",
            Self::EndOfStream => "EndOfStream",
            Self::InvalidAlpn => "InvalidAlpn",
            Self::DifferentNetwork => "DifferentNetwork",
            Self::Cancelled => "Cancelled",
            Self::UnexpectedClose => "UnexpectedClose",
            Self::ProtocolViolation => "ProtocolViolation",
            Self::UnknownPeer => "UnknownPeer",
            Self::StreamNotFound => "StreamNotFound",
            Self::NotAllowed => "NotAllowed",
            Self::NoCapacity => "NoCapacity",
            Self::TooSlow => "TooSlow",
            Self::FormatMismatch => "FormatMismatch",
            Self::Other(_) => "Other",
            Self::TimedOut => "TimedOut",
            Self::Lost => "Lost",
        }
    }

    /// Decodes a code and reason text from the wire. The text only distinguishes the two meanings of 204.
    pub(crate) fn from_wire(code: u64, text: &[u8]) -> Self {
        match code {
            200 => Self::Success,
            204 if text == Self::EndOfStream.name().as_bytes() => Self::EndOfStream,
            204 => Self::GracefulShutdown,
            100 => Self::InvalidAlpn,
            101 => Self::DifferentNetwork,
            102 => Self::Cancelled,
            103 => Self::UnexpectedClose,
            400 => Self::ProtocolViolation,
            401 => Self::UnknownPeer,
            10404 => Self::StreamNotFound,
            10403 => Self::NotAllowed,
            10509 => Self::NoCapacity,
            10413 => Self::TooSlow,
            10415 => Self::FormatMismatch,
            other => Self::Other(other),
        }
    }

    /// Converts quinn's error. A connection closed by this side maps to [`Cancelled`](Self::Cancelled); the closing
    /// code knows the actual reason.
    pub(crate) fn from_connection_error(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                Self::from_wire(close.error_code.into_inner(), &close.reason)
            }
            ConnectionError::ConnectionClosed(close)
                if u64::from(close.error_code) == NO_APPLICATION_PROTOCOL =>
            {
                Self::InvalidAlpn
            }
            ConnectionError::TransportError(error)
                if u64::from(error.code) == NO_APPLICATION_PROTOCOL =>
            {
                Self::InvalidAlpn
            }
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::LocallyClosed => Self::Cancelled,
            ConnectionError::ConnectionClosed(_)
            | ConnectionError::TransportError(_)
            | ConnectionError::VersionMismatch
            | ConnectionError::Reset
            | ConnectionError::CidsExhausted => Self::Lost,
        }
    }

    pub(crate) fn wire_code(self) -> VarInt {
        VarInt::from_u64(self.code()).unwrap_or(VarInt::MAX)
    }
}

/// Formats as `10404 StreamNotFound`. Reasons that are never sent have no code.
impl std::fmt::Display for CloseReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TimedOut | Self::Lost => f.write_str(self.name()),
            _ => write!(f, "{} {}", self.code(), self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CloseReason::{self, *};

    const ALL: [(u64, CloseReason, &str); 14] = [
        (200, Success, "Success"),
        (204, GracefulShutdown, "GracefulShutdown"),
        (204, EndOfStream, "EndOfStream"),
        (100, InvalidAlpn, "InvalidAlpn"),
        (101, DifferentNetwork, "DifferentNetwork"),
        (102, Cancelled, "Cancelled"),
        (103, UnexpectedClose, "UnexpectedClose"),
        (400, ProtocolViolation, "ProtocolViolation"),
        (401, UnknownPeer, "UnknownPeer"),
        (10404, StreamNotFound, "StreamNotFound"),
        (10403, NotAllowed, "NotAllowed"),
        (10509, NoCapacity, "NoCapacity"),
        (10413, TooSlow, "TooSlow"),
        (10415, FormatMismatch, "FormatMismatch"),
    ];

    #[test]
    fn codes_and_names_are_those_of_the_wire() {
        for (code, reason, name) in ALL {
            assert_eq!((reason.code(), reason.name()), (code, name));
            assert_eq!(CloseReason::from_wire(code, name.as_bytes()), reason);
        }
        assert_eq!(CloseReason::from_wire(204, b"bye"), GracefulShutdown);
        assert_eq!(CloseReason::from_wire(7, b""), Other(7));
        assert_eq!(StreamNotFound.to_string(), "10404 StreamNotFound");
    }
}
