//! The producing end of a stream: handles, the fan-out to subscribers, and a sender for each remote subscriber.

mod admission;
mod builder;
mod confirmations;
mod control;
mod core;
mod error;
mod fanout;
mod frames;
mod lag;
mod mismatches;
mod retained;
mod sender;
mod silence;
mod stats;
mod subscriber;
mod typed;
mod typed_builder;
mod undelivered;
mod worker;

pub(crate) use admission::{Admitted, Applicant};
pub use builder::{Config, FramesBuilderError, FramesProducerBuilder};
pub use control::{ProducerControl, ProducerReading};
pub(crate) use core::{Core, Registrar};
pub use error::{EncodingError, Error};
pub use frames::{FinishReport, FramesProducer};
pub use lag::DisconnectLagging;
pub(crate) use sender::serve;
pub use stats::{Dropped, ProducerStats};
pub use typed::Producer;
pub use typed_builder::{Builder, BuilderError};
