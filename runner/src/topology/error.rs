//! [`StartError`]: the reason why a node did not start, or did not apply a new generation.

use std::path::PathBuf;

use mosaik_streams::{
    criteria::NotSelectable,
    durable::DurableError,
    network::{BindError, Error as NetworkError},
    schema::SchemaError,
};
use tokio::task::JoinError;

use super::identity::IdentityError;
use crate::{
    checkpoint::LedgerError,
    connector::{ResumeError, SinkError},
    graph::{Part, StageKey, StreamName},
    operator::OpenError,
    stage::RestoreError,
};

/// The reason why a stage could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {reason}")]
pub struct BuildError {
    /// The stage.
    pub stage: StageKey,
    /// The reason.
    pub reason: BuildReason,
}

impl BuildError {
    /// Returns a function that adds the stage to a reason.
    pub(super) fn of<R: Into<BuildReason>>(stage: &StageKey) -> impl FnOnce(R) -> Self {
        |reason| Self {
            stage: stage.clone(),
            reason: reason.into(),
        }
    }
}

/// The reason why the parts of a stage could not be built, or its state not be restored.
#[derive(Debug, thiserror::Error)]
pub enum BuildReason {
    /// The source or sink does not open. Secret values are masked in its reason.
    #[error("{0}")]
    Connector(String),
    /// A stream has an invalid schema.
    #[error("invalid schema of stream `{stream}`: {error}")]
    Schema {
        /// The stream.
        stream: StreamName,
        /// The reason.
        error: SchemaError,
    },
    /// The library does not hold the component that the check has loaded.
    #[error("its component is no longer loaded")]
    NotLoaded,
    /// An instance does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The thread that opened the instances has ended early.
    #[error("could not be opened: {0}")]
    OpeningEnded(JoinError),
    /// The source or sink cannot resume from the checkpoint.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// The operator does not accept its state of the checkpoint.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The thread that restored the instances has ended early.
    #[error(transparent)]
    RestoringEnded(JoinError),
    /// The sink cannot make its output durable.
    #[error(transparent)]
    Sync(#[from] SinkError),
}

/// The reason why a stream could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A producer of an earlier generation has ended the stream, and its records are still read.
    #[error(
        "it has just ended and its records are still being read; save the manifest again later"
    )]
    Ending,
    /// This process has another producer of the stream.
    #[error("the stream already has a producer on this node")]
    HasProducer,
    /// The criteria of a consumer do not fit the records of the stream.
    #[error(transparent)]
    Criteria(#[from] NotSelectable),
    /// Its log cannot be used.
    #[error("its log in {}: {error}", .folder.display())]
    Log {
        /// The folder of the log.
        folder: PathBuf,
        /// The reason.
        error: DurableError,
    },
    /// The last checkpoint does not say how much is in its log.
    #[error(
        "the last checkpoint does not name a position in its log; `up --fresh` starts without it"
    )]
    NoPosition,
}

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
        /// The reason.
        reason: StreamError,
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
