//! [`Refusal`]: the reasons for which entries are not merged.

/// The reason for which an entry was not merged into the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It belongs to another network.
    #[error("it belongs to another network")]
    ForeignNetwork,
    /// It is not signed by its peer.
    #[error("its signature is invalid")]
    BadSignature,
    /// It was last renewed longer ago than the purge time.
    #[error("it is too old")]
    Stale,
    /// It is dated further in the future than the maximum clock difference.
    #[error("it is dated too far in the future")]
    FutureDated,
    /// The entry in the catalog is as new or newer.
    #[error("it is not newer than the known entry")]
    NotNewer,
    /// It claims to be this node's own.
    #[error("it claims to be this node's own entry")]
    Local,
    /// Its peer has departed since.
    #[error("its node has departed since")]
    Departed,
    /// The catalog has reached its maximum number of peers or bytes, and no peer can be displaced.
    #[error("the catalog is full")]
    Full,
    /// It exceeds the maximum length of an entry.
    #[error("it is too large")]
    TooLarge,
    /// The announcement that contained it is malformed.
    #[error("it is malformed")]
    Malformed,
}

/// The number of reasons.
pub(super) const REFUSALS: usize = Refusal::Malformed as usize + 1;
