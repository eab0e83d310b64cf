//! The streams of a network: creates producers and consumers, and connects those on the same node.
//!
//! A producer announces its stream in its node's entry. Consumers find it in the catalog, connect with the protocol
//! `/mosaik/streams/1.0`, and send their criteria. Each remote consumer has its own queue and sender. Dropping the last
//! handle ends a producer or consumer. A record is a value of a type that implements [`Datum`](crate::Datum).
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use mosaik_streams::{Network, discovery, futures::SinkExt};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct PriceUpdate {
//!     symbol: String,
//!     cents: u64,
//! }
//!
//! let one = Network::new("markets").await?;
//! let mut producer = one.streams().produce::<PriceUpdate>();
//!
//! let known = discovery::Config::builder().with_bootstrap(one.local().addr());
//! let two = Network::builder("markets").with_discovery(known).build().await?;
//! let mut consumer = two.streams().consume::<PriceUpdate>();
//!
//! producer.when().online().await;
//! producer.send(PriceUpdate { symbol: "ETH".into(), cents: 320_000 }).await?;
//! let update = consumer.recv().await.ok_or("the stream has ended")?;
//! assert_eq!((update.symbol.as_str(), update.cents), ("ETH", 320_000));
//! # Ok(())
//! # }
//! ```

pub use crate::{
    StreamId,
    channel::{
        backoff,
        config::{Config, ConfigBuilder, ConfigError, ConfigError as ConfigBuilderError, Scope},
        format::Format,
        hold::SubscriptionHold,
        refusal::{FormatMismatch, NoCapacity, NotAllowed, StreamNotFound, TooSlow},
        status,
    },
    consumer::{self, Consumer},
    criteria::Criteria,
    net::CloseReason,
    node::{ConsumerDef, ConsumerOf, ProducerDef, ProducerOf, StreamConsumer, StreamProducer},
    producer::{self, Producer},
    registry::{StreamDef, Streams},
};
