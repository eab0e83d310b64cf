//! The consuming end of a stream: handles, the watch for producers, and a receiver for each of those elsewhere.

mod attempts;
mod builder;
mod confirm;
mod control;
mod core;
mod frames;
mod left;
mod memory;
mod progress;
mod receiver;
mod stats;
mod subscription;
mod typed;
mod worker;

pub use attempts::{Attempt, Phase};
pub use builder::{Config, FramesConsumerBuilder, Taken};
pub use control::{ConsumerControl, ConsumerReading};
pub(crate) use core::Core;
pub use frames::FramesConsumer;
pub use stats::{ConsumerStats, Dropped};
pub use typed::{Builder, Consumer};
