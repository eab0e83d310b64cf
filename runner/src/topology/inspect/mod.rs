//! Reads the state of a running node: its status, the reasons why no records flow, and its totals.

mod explain;
mod observer;
mod readers;
pub mod report;
mod status;
mod summary;
mod totals;

pub(super) use observer::View;
pub use observer::{Observer, RELOADS_MAX, TapError, Tapped};
pub(super) use readers::watch as watch_readers;
pub use status::PEERS_SHOWN_MAX;
pub(super) use summary::LEFT_BEHIND;
pub use summary::{StageSummary, StreamSummary, Summary};
pub(super) use totals::RunTotals;
