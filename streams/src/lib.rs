//! Typed, self-organising data streams over QUIC, wire-compatible with Mosaik 0.3.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use futures::SinkExt;
//! use mosaik_streams::{Criteria, Network, discovery, futures};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Price {
//!     symbol: String,
//!     cents: u64,
//! }
//!
//! let one = Network::new("markets").await?;
//! let mut producer = one.streams().produce::<Price>();
//!
//! let config = discovery::Config::builder().with_bootstrap(one.local().addr());
//! let two = Network::builder("markets").with_discovery(config).build().await?;
//! let wanted = Criteria::field("cents").gte(100);
//! let mut consumer = two.streams().consumer::<Price>().with_criteria(wanted).build();
//!
//! // Waits until a consumer is there.
//! producer.send(Price { symbol: "BTC".into(), cents: 1 }).await?;
//! producer.send(Price { symbol: "ETH".into(), cents: 320_000 }).await?;
//! assert_eq!(consumer.recv().await.map(|price| price.symbol).as_deref(), Some("ETH"));
//!
//! producer.finish().await;
//! assert!(consumer.recv().await.is_none());
//! # Ok(())
//! # }
//! ```

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
pub mod status;
pub mod streams;
pub mod tickets;

pub use bytes::{Bytes, BytesMut};
pub use consumer::{Consumer, FramesConsumer};
pub use criteria::Criteria;
pub use datum::Datum;
#[doc(hidden)]
pub use declare::__private;
pub use encoding::{Encoding, Schema};
pub use frames::{Frames, FramesBuilder};
pub use futures;
pub use id::{Digest, NetworkId, StreamId, Tag, UniqueId};
pub use network::{EndpointAddr, Network, PeerId, SecretKey, Signature};
pub use producer::{FramesProducer, Producer};
pub use streams::{ConsumerOf, ProducerOf, Scope, StreamConsumer, StreamProducer, Streams};
