//! Stream definitions as values and as types: declared once, used in many places.
//!
//! [`stream!`](crate::stream) creates such a type in one line.

use std::{fmt, marker::PhantomData};

use super::network::Network;
use crate::{
    Datum, StreamId, consumer, producer,
    registry::{StreamDef, value},
};

/// A type that defines a stream and creates its producers. Implemented by [`stream!`](crate::stream).
pub trait StreamProducer {
    /// The type of the producers.
    type Producer;

    /// Creates a producer with the settings of the definition. If this node already has a producer of the stream,
    /// returns a handle to that one, with its own settings.
    fn producer(network: &Network) -> Self::Producer;

    /// Like [`producer`](Self::producer), and waits until it is online. Cancel safe; dropping the future drops the
    /// producer.
    fn online_producer(
        network: &Network,
    ) -> impl Future<Output = Self::Producer> + Send + Sync + 'static;
}

/// A type that defines a stream and creates its consumers. Implemented by [`stream!`](crate::stream).
pub trait StreamConsumer {
    /// The type of the consumers.
    type Consumer;

    /// Creates a consumer with the settings of the definition.
    fn consumer(network: &Network) -> Self::Consumer;

    /// Like [`consumer`](Self::consumer), and waits until it is online. Cancel safe; dropping the future drops the
    /// consumer.
    fn online_consumer(
        network: &Network,
    ) -> impl Future<Output = Self::Consumer> + Send + Sync + 'static;
}

/// The producer type of a definition.
///
/// ```
/// use mosaik_streams::*;
///
/// declare::stream!(pub PriceFeed = u64, "oracle.price");
///
/// struct Exchange {
///     prices: ProducerOf<PriceFeed>,
/// }
///
/// impl Exchange {
///     fn new(network: &Network) -> Self {
///         Self { prices: PriceFeed::producer(network) }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), network::Error> {
/// let exchange = Exchange::new(&Network::new("markets").await?);
/// assert_eq!(exchange.prices.stream_id(), unique_id!("oracle.price"));
/// # Ok(())
/// # }
/// ```
pub type ProducerOf<S> = <S as StreamProducer>::Producer;

/// The consumer type of a definition.
pub type ConsumerOf<S> = <S as StreamConsumer>::Consumer;

/// A producer definition: the record type and, unless derived from the type, the stream id.
///
/// ```
/// use mosaik_streams::{Network, streams::{ConsumerDef, ProducerDef}, unique_id};
///
/// const PRICES: ProducerDef<u64> = ProducerDef::new(Some(unique_id!("prices")));
/// const PRICES_IN: ConsumerDef<u64> = ConsumerDef::new(Some(unique_id!("prices")));
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = Network::new("markets").await?;
/// // Each returns a builder for further settings.
/// let producer = PRICES.open(&network).with_buffer_size(64).build()?;
/// let consumer = PRICES_IN.open(&network).with_local(true).build();
/// assert_eq!(producer.stream_id(), consumer.stream_id());
/// # Ok(())
/// # }
/// ```
pub struct ProducerDef<T> {
    /// The stream id; `None` derives it from the type.
    pub stream_id: Option<StreamId>,
    datum: PhantomData<fn(&T)>,
}

impl<T: Datum> ProducerDef<T> {
    /// Creates a definition. `None` derives the stream id from the type.
    pub const fn new(stream_id: Option<StreamId>) -> Self {
        Self {
            stream_id,
            datum: PhantomData,
        }
    }

    /// Returns a builder for the producer.
    pub fn open(&self, network: &Network) -> producer::Builder<T> {
        network.streams().producer_of(StreamDef::from(*self))
    }
}

/// A consumer definition: the record type and, unless derived from the type, the stream id.
///
/// See [`ProducerDef`] for an example.
pub struct ConsumerDef<T> {
    /// The stream id; `None` derives it from the type.
    pub stream_id: Option<StreamId>,
    datum: PhantomData<fn(&T)>,
}

impl<T: Datum> ConsumerDef<T> {
    /// Creates a definition. `None` derives the stream id from the type.
    pub const fn new(stream_id: Option<StreamId>) -> Self {
        Self {
            stream_id,
            datum: PhantomData,
        }
    }

    /// Returns a builder for the consumer.
    pub fn open(&self, network: &Network) -> consumer::Builder<T> {
        network.streams().consumer_of(StreamDef::from(*self))
    }
}

impl<T: Datum> From<ProducerDef<T>> for StreamDef<T> {
    fn from(def: ProducerDef<T>) -> Self {
        Self::of(def.stream_id)
    }
}

impl<T: Datum> From<ConsumerDef<T>> for StreamDef<T> {
    fn from(def: ConsumerDef<T>) -> Self {
        Self::of(def.stream_id)
    }
}

value!(ProducerDef);
value!(ConsumerDef);
