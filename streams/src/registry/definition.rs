//! [`StreamDef`]: the definition of a stream as a value.

use std::{fmt, marker::PhantomData};

use crate::{Datum, StreamId};

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
        Self::of(None)
    }

    /// Creates a definition; `None` derives the stream id from the type.
    pub(crate) const fn of(stream_id: Option<StreamId>) -> Self {
        Self {
            stream_id,
            datum: PhantomData,
        }
    }

    /// Creates a definition with this stream id.
    pub const fn with_stream_id(stream_id: StreamId) -> Self {
        Self::of(Some(stream_id))
    }
}

impl<T: Datum> Default for StreamDef<T> {
    fn default() -> Self {
        Self::new()
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

pub(crate) use value;

value!(StreamDef);
