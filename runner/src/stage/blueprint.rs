//! How an operator's instances are built, and what becomes of the records that they fail on.

use mosaik_streams::FramesProducer;

use crate::operator::{Component, Instance, OpenError, Setup};

/// The policy for records that an operator rejects or fails on.
#[derive(Debug, Clone)]
pub enum OnError {
    /// Count them and go on. By decision, or for want of one: then they count as lost.
    Skip {
        /// Whether the manifest says so.
        explicit: bool,
    },
    /// Fail the stage.
    Stop,
    /// Go on with a new instance, also after a mere refusal.
    Restart,
    /// Send them to a stream, with operator, port and reason.
    To(FramesProducer),
}

/// All it takes to build an operator's instance again.
#[derive(Clone)]
pub struct Blueprint {
    /// The compiled component.
    pub component: Component,
    /// What an instance is opened with.
    pub setup: Setup,
}

impl std::fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blueprint")
            .field("name", &self.setup.name)
            .finish_non_exhaustive()
    }
}

impl Blueprint {
    /// Builds an instance. Blocks while the guest opens, within its limits.
    ///
    /// # Errors
    /// The guest refuses its configuration, or fails.
    pub fn instantiate(&self) -> Result<Instance, OpenError> {
        self.component.instantiate(self.setup.clone())
    }

    /// Builds so many instances. Blocks as [`instantiate`](Self::instantiate) for each.
    ///
    /// # Errors
    /// The guest refuses its configuration, or fails.
    pub fn instances(&self, count: usize) -> Result<Vec<Instance>, OpenError> {
        (0..count).map(|_| self.instantiate()).collect()
    }
}
