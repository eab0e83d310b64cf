//! The producing end of a stream: handles, the fan-out to subscribers, and a sender for each remote subscriber.

mod admission;
mod builder;
mod config;
mod confirmations;
mod control;
mod core;
mod ending;
mod error;
mod fanout;
mod frames;
mod lag;
mod log_place;
mod mismatches;
mod retained;
mod sender;
mod silence;
mod stats;
mod subscriber;
mod subscribers;
mod typed;
mod typed_builder;
mod undelivered;
mod worker;

pub(crate) use admission::{Admitted, Applicant};
pub use builder::{FramesBuilderError, FramesProducerBuilder};
pub use config::Config;
pub use control::{ProducerControl, ProducerReading};
pub(crate) use core::{Core, Registrar};
pub use error::{EncodingError, Error};
pub use frames::FramesProducer;
pub use lag::DisconnectLagging;
pub(crate) use sender::serve;
pub use stats::{Dropped, FinishReport, ProducerStats};
pub use typed::Producer;
pub use typed_builder::{Builder, BuilderError};
