#![doc = include_str!("../README.md")]

#[cfg(doctest)]
mod book;
mod channel;
pub mod consumer;
pub mod declare;
pub mod discovery;
pub mod durable;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod net;
pub mod network;
mod node;
mod peer;
pub mod primitives;
pub mod producer;
mod registry;
pub mod streams;
pub mod tickets;

pub use channel::{authorization::Requirements, config::Scope, status, tap};
pub use consumer::{Consumer, FramesConsumer, Received};
#[doc(hidden)]
pub use declare::__private;
pub use futures;
pub use mosaik_datum::{
    Bytes, BytesMut, Criteria, Datum, Digest, Encoding, Frames, FramesBuilder, NetworkId, Schema,
    StreamId, Tag, UniqueId, canonical, criteria, frames, number, path, schema,
};
pub use net::{EndpointAddr, PeerId, SecretKey, Signature};
pub use node::{ConsumerOf, Network, ProducerOf, StreamConsumer, StreamProducer};
pub use producer::{FramesProducer, Producer};
pub use registry::Streams;

/// Runs the examples of the book as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/streams.md")]
struct Book;
