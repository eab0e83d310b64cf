//! Streams that are named once and opened in many places: definitions as values and as types.
//!
//! [`stream!`](crate::stream) makes such a type from one line.

use std::{fmt, marker::PhantomData};

use crate::{Datum, Network, StreamId, consumer, producer};

/// A type that stands for a stream and makes its producers. [`stream!`](crate::stream) implements it.
pub trait StreamProducer {
    /// What it makes.
    type Producer;

    /// A producer as the definition says; the existing one, as it was set up, when this node has one of the stream.
    fn producer(network: &Network) -> Self::Producer;

    /// The same, once it is online. Cancel safe; dropping the future drops the producer.
    fn online_producer(
        network: &Network,
    ) -> impl Future<Output = Self::Producer> + Send + Sync + 'static;
}

/// A type that stands for a stream and makes its consumers. [`stream!`](crate::stream) implements it.
pub trait StreamConsumer {
    /// What it makes.
    type Consumer;

    /// A new consumer as the definition says.
    fn consumer(network: &Network) -> Self::Consumer;

    /// The same, once it is online. Cancel safe; dropping the future drops the consumer.
    fn online_consumer(
        network: &Network,
    ) -> impl Future<Output = Self::Consumer> + Send + Sync + 'static;
}

/// The producer that a definition makes.
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

/// The consumer that a definition makes.
pub type ConsumerOf<S> = <S as StreamConsumer>::Consumer;

/// The definition of a producer: the type of its datums and, unless it is the type's own, its stream.
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
/// // Each gives a builder, to be set up further.
/// let producer = PRICES.open(&network).with_buffer_size(64).build()?;
/// let consumer = PRICES_IN.open(&network).with_local(true).build();
/// assert_eq!(producer.stream_id(), consumer.stream_id());
/// # Ok(())
/// # }
/// ```
pub struct ProducerDef<T> {
    /// The stream; `None` is the type's own.
    pub stream_id: Option<StreamId>,
    datum: PhantomData<fn(&T)>,
}

impl<T: Datum> ProducerDef<T> {
    /// A definition; with `None`, of the type's own stream.
    pub const fn new(stream_id: Option<StreamId>) -> Self {
        Self {
            stream_id,
            datum: PhantomData,
        }
    }

    /// Starts the producer.
    pub fn open(&self, network: &Network) -> producer::Builder<T> {
        network.streams().producer_of(StreamDef::from(*self))
    }
}

/// The definition of a consumer: the type of its datums and, unless it is the type's own, its stream.
///
/// See [`ProducerDef`] for an example.
pub struct ConsumerDef<T> {
    /// The stream; `None` is the type's own.
    pub stream_id: Option<StreamId>,
    datum: PhantomData<fn(&T)>,
}

impl<T: Datum> ConsumerDef<T> {
    /// A definition; with `None`, of the type's own stream.
    pub const fn new(stream_id: Option<StreamId>) -> Self {
        Self {
            stream_id,
            datum: PhantomData,
        }
    }

    /// Starts the consumer.
    pub fn open(&self, network: &Network) -> consumer::Builder<T> {
        network.streams().consumer_of(StreamDef::from(*self))
    }
}

/// The definition of a stream, for both of its sides: what a library offers of an interface that others agree on.
///
/// ```
/// use mosaik_streams::{Network, streams::StreamDef, unique_id};
///
/// pub const PRICES: StreamDef<u64> = StreamDef::with_stream_id(unique_id!("prices"));
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = Network::new("markets").await?;
/// let producer = network.streams().producer_of(PRICES).build()?;
/// let consumer = network.streams().consumer_of(PRICES).build();
/// assert_eq!(producer.stream_id(), consumer.stream_id());
/// # Ok(())
/// # }
/// ```
pub struct StreamDef<T> {
    /// The stream; `None` is the type's own.
    pub stream_id: Option<StreamId>,
    datum: PhantomData<fn(&T)>,
}

impl<T: Datum> StreamDef<T> {
    /// Of the type's own stream.
    pub const fn new() -> Self {
        Self {
            stream_id: None,
            datum: PhantomData,
        }
    }

    /// Of this stream.
    pub const fn with_stream_id(stream_id: StreamId) -> Self {
        Self {
            stream_id: Some(stream_id),
            datum: PhantomData,
        }
    }
}

impl<T: Datum> Default for StreamDef<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Datum> From<ProducerDef<T>> for StreamDef<T> {
    fn from(def: ProducerDef<T>) -> Self {
        Self {
            stream_id: def.stream_id,
            datum: PhantomData,
        }
    }
}

impl<T: Datum> From<ConsumerDef<T>> for StreamDef<T> {
    fn from(def: ConsumerDef<T>) -> Self {
        Self {
            stream_id: def.stream_id,
            datum: PhantomData,
        }
    }
}

/// What a derive would ask of the datum too, for no reason.
macro_rules! value {
    ($def:ident) => {
        impl<T> Clone for $def<T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $def<T> {}

        impl<T> PartialEq for $def<T> {
            fn eq(&self, other: &Self) -> bool {
                self.stream_id == other.stream_id
            }
        }

        impl<T> Eq for $def<T> {}

        impl<T> std::hash::Hash for $def<T> {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.stream_id.hash(state);
            }
        }

        impl<T> fmt::Debug for $def<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($def))
                    .field("stream_id", &self.stream_id)
                    .field("datum", &std::any::type_name::<T>())
                    .finish()
            }
        }
    };
}

value!(ProducerDef);
value!(ConsumerDef);
value!(StreamDef);
