//! [`Outcome`]: how a subscription ended.

use crate::net::CloseReason;

/// The outcome of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The link was closed or could not be opened.
    Closed(CloseReason),
    /// The peer violated the protocol, or sent a record that cannot be decoded.
    Rejected,
    /// The peer has restarted, and the link leads to its previous incarnation.
    Restarted,
    /// The peer no longer meets the requirements.
    Denied,
}

impl Outcome {
    /// The reason with which either side closed the link.
    pub(super) const fn close_reason(self) -> Option<CloseReason> {
        match self {
            Self::Closed(reason) => Some(reason),
            Self::Rejected => Some(CloseReason::ProtocolViolation),
            Self::Denied => Some(CloseReason::NotAllowed),
            Self::Restarted => None,
        }
    }
}
