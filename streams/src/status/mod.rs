//! What is known of a stream's channels, and waiting for it to change.

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
