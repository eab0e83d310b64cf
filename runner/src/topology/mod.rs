//! Runs a graph as a node: builds it, runs it, and applies new generations.

mod build;
mod error;
mod identity;
mod inspect;
mod node;
mod recovery;
mod reload;
mod settings;
mod shutdown;
mod stages;
mod start;
mod streams;
mod watch;

use std::time::Duration;

pub(crate) use self::recovery::{checkpoint_folder, checkpoints_folder};
pub use error::{BuildError, BuildReason, StartError, StreamError};
pub use identity::{IdentityError, cache_folder, state_folder};
pub use inspect::{
    Observer, PEERS_SHOWN_MAX, RELOADS_MAX, StageSummary, StreamSummary, Summary, TapError, Tapped,
    report,
};
pub use node::Node;
pub use reload::{ApplyError, REPLACE_DEADLINE, Receipt, SWAP_DEADLINE};
pub use settings::Settings;
pub use watch::{FileWatch, QUIET, QUIET_MAX};

/// Time limit for a node to drain when it is asked to stop: 30 s.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
