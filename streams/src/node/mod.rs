//! A node of a network, built from all the other parts.

mod builder;
mod definition;
mod error;
mod network;
mod settings;

pub use builder::NetworkBuilder;
pub use definition::{
    ConsumerDef, ConsumerOf, ProducerDef, ProducerOf, StreamConsumer, StreamProducer,
};
pub use error::Error;
pub use network::{LocalNode, Network};
