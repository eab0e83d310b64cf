//! The consuming end of a stream: handles, and the groups that share subscriptions. Each group runs one worker that
//! watches for producers, and one receiver for each remote producer.

mod builder;
mod config;
mod confirm;
mod control;
mod frames;
mod group;
mod outcome;
mod receiver;
mod stats;
mod subscription;
mod typed;
mod worker;

pub use builder::FramesConsumerBuilder;
pub use config::{Config, Taken};
pub use control::{ConsumerControl, ConsumerReading};
pub use frames::{FramesConsumer, Received};
pub use group::{Attempt, Phase};
pub(crate) use group::{Core, MakeConsumer, Registrar};
pub use stats::{ConsumerStats, Dropped};
pub use typed::{Builder, Consumer};
