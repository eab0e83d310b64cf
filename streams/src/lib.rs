#![doc = include_str!("../README.md")]

#[cfg(doctest)]
mod book;
pub mod consumer;
pub mod criteria;
mod datum;
pub mod declare;
pub mod discovery;
mod encoding;
mod filter;
pub mod frames;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod id;
pub mod network;
pub mod primitives;
pub mod producer;
mod queue;
pub mod schema;
pub mod status;
pub mod streams;
pub mod tickets;

pub use bytes::{Bytes, BytesMut};
pub use consumer::{Consumer, FramesConsumer};
pub use criteria::Criteria;
pub use datum::Datum;
#[doc(hidden)]
pub use declare::__private;
pub use encoding::Encoding;
pub use frames::{Frames, FramesBuilder};
pub use futures;
pub use id::{Digest, NetworkId, StreamId, Tag, UniqueId};
pub use network::{EndpointAddr, Network, PeerId, SecretKey, Signature};
pub use producer::{FramesProducer, Producer};
pub use schema::Schema;
pub use streams::{ConsumerOf, ProducerOf, Scope, StreamConsumer, StreamProducer, Streams};

/// What the book shows of this crate, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/streams.md")]
struct Book;
