//! The producing end of a stream: handles, the fan-out to subscribers, and a sender for each of those elsewhere.

mod builder;
mod control;
mod core;
mod error;
mod fanout;
mod frames;
mod lag;
mod mismatches;
mod sender;
mod stats;
mod subscriber;
mod typed;
mod typed_builder;
mod undelivered;
mod worker;

pub use builder::{Config, FramesBuilderError, FramesProducerBuilder};
pub use control::{ProducerControl, ProducerReading};
pub(crate) use core::Core;
pub use error::{EncodingError, Error};
pub(crate) use fanout::Admitted;
pub use frames::{FinishReport, FramesProducer};
pub use lag::DisconnectLagging;
pub(crate) use sender::serve;
pub use stats::{Dropped, ProducerStats};
pub use typed::Producer;
pub use typed_builder::{Builder, BuilderError};
