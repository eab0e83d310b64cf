//! A node of a network, built from all the other parts.

mod builder;
mod definition;
mod network;

pub use builder::{Error, NetworkBuilder};
pub use definition::{
    ConsumerDef, ConsumerOf, ProducerDef, ProducerOf, StreamConsumer, StreamProducer,
};
pub use network::{LocalNode, Network};
