//! Builds an operator's instances and defines the policy for records on which they fail.

use mosaik_streams::FramesProducer;

use crate::operator::{Component, Instance, OpenError, Setup};

/// The policy for records that an operator rejects or fails on, or that a sink does not write.
#[derive(Debug, Clone)]
pub enum OnError {
    /// Count them and continue. Unless the manifest sets this policy, they count as lost.
    Skip {
        /// True if the manifest sets this policy.
        explicit: bool,
    },
    /// Fail the stage.
    Stop,
    /// Continue with a new instance, also after a refusal that leaves the instance usable. A sink
    /// skips the records.
    Restart,
    /// Send them to a stream, with the stage and the reason.
    To(FramesProducer),
}

/// The component and the setup from which an operator's instances are built.
#[derive(Clone)]
pub struct Blueprint {
    /// The compiled component.
    pub component: Component,
    /// The setup with which an instance is opened.
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

    /// Builds `count` instances. Blocks for each, like [`instantiate`](Self::instantiate).
    ///
    /// # Errors
    /// The guest refuses its configuration, or fails.
    pub fn instances(&self, count: usize) -> Result<Vec<Instance>, OpenError> {
        (0..count).map(|_| self.instantiate()).collect()
    }
}
