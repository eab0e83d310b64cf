//! Switches a running node to a new generation: builds it beside the running one, then swaps it in
//! completely or not at all.

mod apply;
mod plan;
mod receipt;
mod restart;
mod retune;
mod stop;
mod swap;

use std::time::Duration;

pub use receipt::Receipt;
pub(super) use {apply::Switch, plan::Plan, restart::try_parts};

use super::error::StartError;
use crate::{graph::StageKey, stage::UpdateError};

/// Time limit for an operator to reach a batch boundary for a swap: 10 s.
pub const SWAP_DEADLINE: Duration = Duration::from_secs(10);
/// Time limit for a rewired or removed stage to process the records queued on its edges: 10 s.
pub const REPLACE_DEADLINE: Duration = Duration::from_secs(10);

/// The reason why a node keeps its current generation.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A change requires a restart of the node.
    #[error("a restart is needed: {0}")]
    NeedsRestart(String),
    /// A part of the new generation could not be built.
    #[error(transparent)]
    Build(#[from] StartError),
    /// The new generation runs, but some of its stages could not be started.
    #[error("some parts could not be started: {0}")]
    Incomplete(StartError),
    /// An operator refused the swap or did not complete it in time.
    #[error("{stage} cannot be swapped: {reason}")]
    Swap {
        /// The operator.
        stage: StageKey,
        /// The reason.
        reason: UpdateError,
    },
}
