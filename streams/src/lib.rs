#![doc = include_str!("../README.md")]

mod authorization;
#[cfg(doctest)]
mod book;
pub mod consumer;
pub mod declare;
pub mod discovery;
mod filter;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod network;
pub mod primitives;
pub mod producer;
mod queue;
pub mod status;
pub mod streams;
pub mod tap;
pub mod tickets;

pub use authorization::Requirements;
pub use consumer::{Consumer, FramesConsumer};
#[doc(hidden)]
pub use declare::__private;
pub use futures;
pub use mosaik_datum::{
    Bytes, BytesMut, Criteria, Datum, Digest, Encoding, Frames, FramesBuilder, NetworkId, Schema,
    StreamId, Tag, UniqueId, canonical, criteria, frames, number, path, schema,
};
pub use network::{EndpointAddr, Network, PeerId, SecretKey, Signature};
pub use producer::{FramesProducer, Producer};
pub use streams::{ConsumerOf, ProducerOf, Scope, StreamConsumer, StreamProducer, Streams};

/// Runs the examples of the book as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/streams.md")]
struct Book;
