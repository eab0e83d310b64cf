//! Stream definitions as values and as types: declared once, used in many places.
//!
//! [`stream!`](crate::stream) creates such a type in one line.

use std::{fmt, marker::PhantomData};

use crate::{Datum, Network, StreamId, consumer, producer};

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

/// The definition of a stream for both sides: the interface that a library offers to producers and consumers.
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
    /// The stream id; `None` derives it from the type.
    pub stream_id: Option<StreamId>,
    datum: PhantomData<fn(&T)>,
}

impl<T: Datum> StreamDef<T> {
    /// Creates a definition with the stream id derived from the type.
    pub const fn new() -> Self {
        Self {
            stream_id: None,
            datum: PhantomData,
        }
    }

    /// Creates a definition with this stream id.
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

/// Implements traits for which a derive would needlessly add bounds on the record type.
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
