//! The consuming end of a stream: handles, and the groups that share subscriptions. Each group runs one worker that
//! watches for producers, and one receiver for each remote producer.

mod attempts;
mod builder;
mod confirm;
mod control;
mod core;
mod demand;
mod feed;
mod frames;
mod group;
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
pub(crate) use core::{Core, MakeConsumer, Registrar};
pub use frames::FramesConsumer;
pub use stats::{ConsumerStats, Dropped};
pub use typed::{Builder, Consumer};
