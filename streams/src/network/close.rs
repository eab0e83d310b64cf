//! Why a connection ended, and the codes that say so on the wire. No I/O.

use quinn::{ConnectionError, VarInt};

/// TLS alert `no_application_protocol` (120) as a QUIC transport error code: 0x100 + 120, RFC 9001 section 4.8.
const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// Code 200: all was said.
    Success,
    /// Code 204: the other side goes away, and may come back.
    GracefulShutdown,
    /// Code 204 with the reason text `EndOfStream`: the stream is over for good.
    EndOfStream,
    /// Code 100: the protocol is not spoken here.
    InvalidAlpn,
    /// Code 101: the two nodes are of different networks.
    DifferentNetwork,
    /// Code 102: what the connection served was given up.
    Cancelled,
    /// Code 103: the other side ended what it should not have.
    UnexpectedClose,
    /// Code 400: the other side sent what the protocol does not allow.
    ProtocolViolation,
    /// Code 401: the peer is not in the catalog.
    UnknownPeer,
    /// Code 10404: there is no such stream.
    StreamNotFound,
    /// Code 10403: the peer does not meet the stream's requirements.
    NotAllowed,
    /// Code 10509: the stream has as many consumers as it takes.
    NoCapacity,
    /// Code 10413: the consumer lagged too far behind.
    TooSlow,
    /// Code 10415: the two sides declare different encodings or schemas of the stream.
    FormatMismatch,
    /// A code that is none of these.
    Other(u64),
    /// Nothing was heard from the other side for the idle time-out.
    TimedOut,
    /// The transport failed: reset, protocol error, or no route.
    Lost,
}

impl CloseReason {
    /// The code on the wire. [`TimedOut`](Self::TimedOut) and [`Lost`](Self::Lost) are never sent and count as
    /// [`UnexpectedClose`](Self::UnexpectedClose).
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

    /// The reason text on the wire: the name.
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

    /// What a code and reason text from the wire say. The text only tells the two meanings of 204 apart.
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

    /// Why quinn says that a connection ended. One that this side closed counts as [`Cancelled`](Self::Cancelled);
    /// whoever closed it knows better.
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

/// `10404 StreamNotFound`; what never crosses the wire has no code.
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
