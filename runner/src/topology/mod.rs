//! Graph to running node: build, run, apply a new generation.

mod apply;
mod build;
mod edges;
mod explain;
mod identity;
mod join;
mod library;
mod node;
mod observer;
mod plan;
mod receipt;
pub mod report;
mod restart;
mod retune;
mod running;
mod settings;
mod setup;
mod shutdown;
mod status;
mod stop;
mod streams;
mod summary;
mod swap;
mod watch;

pub use apply::{ApplyError, REPLACE_DEADLINE, SWAP_DEADLINE};
pub use build::BuildError;
pub use identity::{IdentityError, cache_folder, state_folder};
pub use library::{BUILTINS, COMPILE_TIME_CAP, COMPILE_TIME_MAX, CodeError, Library};
pub use node::{DRAIN_DEADLINE, Node, StartError};
pub use observer::{Observer, RELOADS_MAX, TapError, Tapped};
pub use receipt::Receipt;
pub use settings::Settings;
pub use setup::{granted, limits};
pub use status::PEERS_SHOWN_MAX;
pub use summary::{StageSummary, StreamSummary, Summary};
pub use watch::{FileWatch, QUIET, QUIET_MAX};
