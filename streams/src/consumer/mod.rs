//! The consuming end of a stream: handles, the watch for producers, and a receiver for each of those elsewhere.

mod attempts;
mod builder;
mod core;
mod frames;
mod left;
mod receiver;
mod stats;
mod subscription;
mod typed;
mod worker;

pub use attempts::{Attempt, Phase};
pub use builder::{Config, FramesConsumerBuilder};
pub(crate) use core::Core;
pub use frames::FramesConsumer;
pub use stats::{ConsumerStats, Dropped};
pub use typed::{Builder, Consumer};
