//! Macros for ids and streams that are evaluated at compile time. They expand to `$crate` paths only, so the crate can
//! be renamed.

pub use crate::stream;

/// Computes an id from a literal at compile time: 64 hex digits are decoded, other text is hashed. Usable in constants.
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

/// Defines a stream as a type that creates its producers and consumers. The type implements
/// [`StreamProducer`](crate::StreamProducer) and [`StreamConsumer`](crate::StreamConsumer).
///
/// Use it if several places refer to the same stream. If a stream is used in one place, or known only at run time, use
/// [`Streams`](crate::Streams) directly.
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
///     /// The reference prices.
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
/// # Syntax
///
/// `attributes visibility [producer | consumer] Name = Datum [, id] [, [producer | consumer] key: value]...`
///
/// With `producer` or `consumer` before the name, the type has that side only. It may have type parameters.
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
/// **Id.** By default it is derived from the record type: [`Datum::derived_stream_id`](crate::Datum::derived_stream_id).
/// A literal of 64 hex digits is decoded at compile time, any other literal is hashed. An expression is converted into a
/// [`StreamId`](crate::StreamId).
///
/// **Keys.** Each key calls the builder method of the same name, on the side that it applies to.
///
/// | key | side | sets |
/// |---|---|---|
/// | `max_consumers` | producer | the maximum number of remote consumers |
/// | `disconnect_lagging` | producer | the policy for consumers that do not keep up: `true`, `false`, a `Duration`, or a [`DisconnectLagging`](crate::producer::DisconnectLagging) |
/// | `buffer_size`, `buffer_bytes`, `max_datum_len` | producer; the consumer with the prefix `consumer` | the bounds of its queue and records |
/// | `linger` | producer | the maximum time for which records wait to be sent together |
/// | `batch_size` | consumer | the maximum number of records returned at once |
/// | `criteria` | consumer | the criteria that select records |
/// | `backoff` | consumer | the delays between connection attempts |
/// | `local` | consumer | whether it includes this node's own producer |
/// | `require` | both, or see below | conditions on the other side's node; all must hold |
/// | `require_ticket` | both, or see below | tickets that the other side must present; all are required |
/// | `online_when` | both, or the one of its prefix | the online conditions |
/// | `scope` | both, or the one of its prefix | the reach of the stream |
///
/// # Prefixes
///
/// For `require` and `require_ticket`, the prefix names **the side that must satisfy it**; the other side checks. With
/// `consumer require: ...`, the producer admits only consumers that meet the condition. For every other key, the prefix
/// names the side that is configured. Without a prefix, these keys apply to both sides: each checks the other.
///
/// ```
/// # use std::time::Duration;
/// # use mosaik_streams::*;
/// # const KEY: tickets::Hs256 = tickets::Hs256::new([7; 32]);
/// declare::stream!(pub PriceFeed = u64, "oracle.price",
///     // The producer admits trusted consumers with a valid ticket, and disconnects them when it expires.
///     consumer require: |peer| peer.tags().contains(&tag!("trusted")),
///     consumer require_ticket: tickets::Jwt::with_key(KEY).allow_issuer("my-app"),
///     // Consumers accept every node that has the tag `oracle`.
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

/// Targets of the macros. Not part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use mosaik_streams_macros::{id_bytes, stream};
}
