//! [`StartError`]: the reason why a node did not start, or did not apply a new generation.

use mosaik_streams::network::{BindError, Error as NetworkError};

use super::{build::BuildError, identity::IdentityError};
use crate::{
    checkpoint::LedgerError,
    graph::{Part, StreamName},
};

/// The reason why a node did not start, or did not apply a new generation.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The node has no key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The node could not join the network.
    #[error("cannot join the network: {0}")]
    Network(NetworkError),
    /// A stage could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A stream could not be opened.
    #[error("stream `{stream}`: {reason}")]
    Stream {
        /// The stream.
        stream: StreamName,
        /// The reason, as one sentence.
        reason: String,
    },
    /// The checkpoints cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The operating system provides too few threads or too little memory.
    #[error("{0}")]
    Machine(String),
}

impl StartError {
    /// Returns the part of the manifest that the error concerns, if there is one.
    pub fn part(&self) -> Option<Part> {
        match self {
            Self::Network(NetworkError::Bind(BindError::Socket { addr, .. })) => {
                Some(Part::Listen(*addr))
            }
            Self::Build(error) => Some(Part::Stage(error.stage.clone())),
            _ => None,
        }
    }
}
