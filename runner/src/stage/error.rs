//! The reasons why the instances of an operator do not start, are not updated, or have no state to
//! hand over. Each is displayed as a sentence about the operator.

use std::time::Duration;

use crate::{machine::Shortage, operator::CallError};

/// The reason why the instances of an operator did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstancesError {
    /// There is no instance to start.
    #[error("it has no instance")]
    None,
    /// The system provides too few threads.
    #[error("{0}")]
    Shortage(Shortage),
}

/// The reason why the state of an operator was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// One of several instances has ended with an error.
    #[error("one of its instances has failed")]
    InstanceFailed,
    /// A lost instance was not restored.
    #[error("it could not be restored")]
    NotRestored,
    /// A lost instance waits for its next attempt to be restored.
    #[error("its instance was lost and is not restored yet")]
    Lost,
    /// The instance refuses, or fails.
    #[error("its state could not be taken: {0}")]
    Call(CallError),
}

/// The reason why state cannot be distributed over another number of instances.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "its state cannot move from {from} to {to} instances: {reason}; `state: reset` starts without it"
)]
pub struct RepartitionError {
    /// The number of instances that the state is from.
    pub from: usize,
    /// The number of instances that it is for.
    pub to: usize,
    /// The property that prevents it.
    pub reason: NotKeyed,
}

/// The property of an operator that prevents the distribution of its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotKeyed {
    /// An entry of the state has no key.
    #[error("its state is not kept by key")]
    State,
    /// The manifest sets no key.
    #[error("there is no `key`")]
    Records,
    /// Several instances had another key.
    #[error("its `key` changed")]
    Changed,
}

/// The reason why the state of a checkpoint was not restored in an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The checkpoint was taken of a source or a sink.
    #[error("the checkpoint holds another kind of stage of this name")]
    OtherKind,
    /// The state cannot be distributed over the instances.
    #[error(transparent)]
    Repartition(#[from] RepartitionError),
    /// An instance refuses the state, or fails.
    #[error("it rejects its state of the last checkpoint: {0}")]
    Rejected(CallError),
}

/// The reason why a running operator was not updated. It continues unchanged, unless it has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The new instances do not start, or the stage has none.
    #[error(transparent)]
    Instances(#[from] InstancesError),
    /// The state of the old instances was not taken.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The state cannot be distributed over the new instances.
    #[error(transparent)]
    Repartition(#[from] RepartitionError),
    /// A new instance refuses the state, or fails.
    #[error("the new operator rejects the state of the old one: {0}")]
    Rejected(CallError),
    /// The stage has ended.
    #[error("it has ended")]
    Ended,
    /// The operator was busy with a batch for longer than this limit.
    #[error("it did not reach a batch boundary within {0:?}")]
    Late(Duration),
}
