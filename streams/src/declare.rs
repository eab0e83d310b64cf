//! The macros that name ids and streams when a program is compiled. They expand through `$crate` alone, so that the crate
//! works under any name.

pub use crate::stream;

/// An id from a literal, computed when the program is compiled: 64 hex digits are taken as they are, other text is
/// hashed. May be used in constants.
///
/// ```
/// use mosaik_streams::{StreamId, unique_id};
///
/// const PRICES: StreamId = unique_id!("oracle.price");
/// assert_eq!(PRICES, StreamId::from("oracle.price"));
/// ```
#[macro_export]
macro_rules! unique_id {
    ($text:expr) => {
        $crate::UniqueId::from_bytes($crate::__private::id_bytes!($text))
    };
}

/// The same as [`unique_id!`](crate::unique_id).
#[macro_export]
macro_rules! id {
    ($text:expr) => {
        $crate::unique_id!($text)
    };
}

/// The same as [`unique_id!`](crate::unique_id), for a [`Tag`](crate::Tag).
#[macro_export]
macro_rules! tag {
    ($text:expr) => {
        $crate::unique_id!($text)
    };
}

/// Defines a stream once, as a type that makes its producers and consumers: [`StreamProducer`](crate::StreamProducer) and
/// [`StreamConsumer`](crate::StreamConsumer). To be preferred where several places speak of the same stream; one that is
/// needed in a single place, or known only while the program runs, is made by [`Streams`](crate::Streams) directly.
///
/// ```
/// use mosaik_streams::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// pub struct PriceUpdate {
///     symbol: String,
///     cents: u64,
/// }
///
/// declare::stream!(
///     /// The prices that everybody goes by.
///     pub PriceFeed = PriceUpdate, "oracle.price"
/// );
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = Network::new("markets").await?;
/// let producer = PriceFeed::producer(&network);
/// let consumer = PriceFeed::online_consumer(&network).await;
/// assert_eq!(producer.stream_id(), consumer.stream_id());
/// # Ok(())
/// # }
/// ```
///
/// # Form
///
/// `attributes visibility [producer | consumer] Name = Datum [, id] [, [producer | consumer] key: value]...`
///
/// With `producer` or `consumer` before the name, the type has that side alone. It may have type parameters.
///
/// ```
/// # use mosaik_streams::{StreamId, declare, stream, unique_id};
/// stream!(pub PriceFeed = u64);
/// declare::stream!(pub producer PricesOut = u64, "oracle.price");
/// declare::stream!(pub consumer PricesIn = u64, "oracle.price");
///
/// const MY_STREAM: StreamId = unique_id!("my.stream");
/// declare::stream!(pub MyStream = String, MY_STREAM);
/// ```
///
/// **Id.** Without one the stream is that of the datum's type, [`Datum::derived_stream_id`](crate::Datum::derived_stream_id). A
/// literal of 64 hex digits is decoded and any other is hashed, when the program is compiled. Anything else is an expression
/// that converts into a [`StreamId`](crate::StreamId).
///
/// **Keys.** Each sets what the method of that name sets on the builder of the side that it goes to.
///
/// | key | goes to | sets |
/// |---|---|---|
/// | `max_consumers` | producer | the most consumers elsewhere |
/// | `disconnect_lagging` | producer | when a consumer that does not keep up is cut off: `true`, `false`, a `Duration`, or a [`DisconnectLagging`](crate::producer::DisconnectLagging) |
/// | `buffer_size`, `buffer_bytes`, `max_datum_len` | producer; the consumer with the prefix `consumer` | bounds of its queue and datums |
/// | `criteria` | consumer | which datums are wanted |
/// | `backoff` | consumer | how attempts to reach a producer are spaced |
/// | `local` | consumer | whether this node's own producer is taken too |
/// | `require` | both, or see below | which nodes it deals with; several must all hold |
/// | `require_ticket` | both, or see below | which tickets those must show; several must all be shown |
/// | `online_when` | both, or the one of its prefix | when it is online |
/// | `scope` | both, or the one of its prefix | how far the stream reaches |
///
/// # What a prefix means
///
/// For `require` and `require_ticket` the prefix names **who must satisfy it**; the other side checks. So
/// `consumer require: ...` says what a consumer must be like, and the producer lets no other in. For every other key the prefix
/// names the side that the key sets something of. Without a prefix, such a key goes to both sides: both check each other.
///
/// ```
/// # use std::time::Duration;
/// # use mosaik_streams::*;
/// # const KEY: tickets::Hs256 = tickets::Hs256::new([7; 32]);
/// declare::stream!(pub PriceFeed = u64, "oracle.price",
///     // The producer takes consumers that are trusted and show a ticket. It is cut short when that expires.
///     consumer require: |peer| peer.tags().contains(&tag!("trusted")),
///     consumer require_ticket: tickets::Jwt::with_key(KEY).allow_issuer("my-app"),
///     // Consumers take any node for a producer that says that it is one.
///     producer require: |peer| peer.tags().contains(&tag!("oracle")),
///     producer online_when: |c| c.minimum_of(2),
///     consumer online_when: |c| c.minimum_of(1),
///     disconnect_lagging: Duration::from_secs(5),
///     max_consumers: 100,
/// );
/// ```
#[macro_export]
macro_rules! stream {
    ($($definition:tt)*) => {
        $crate::__private::stream! { ($crate) $($definition)* }
    };
}

/// What the macros expand to. Not for use by name.
#[doc(hidden)]
pub mod __private {
    pub use mosaik_streams_macros::{id_bytes, stream};
}
