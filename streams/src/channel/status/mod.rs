//! The channels of a stream, and conditions on them to wait for.

mod board;
mod channel;
mod conditions;
mod stats;
mod when;

pub(crate) use board::Board;
pub(crate) use channel::{Channel, SILENT_AFTER, next_generation};
pub use channel::{ChannelInfo, State};
pub use conditions::ChannelConditions;
pub(crate) use stats::Counter;
pub use stats::Stats;
pub use when::When;
