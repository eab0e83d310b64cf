//! How a producer of a type's datums is set up.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use tokio::sync::mpsc::UnboundedSender;

use super::{DisconnectLagging, FramesBuilderError, FramesProducerBuilder, Producer};
use crate::{
    Datum, StreamId, discovery::PeerEntry, status::ChannelConditions, streams::Scope,
    tickets::TicketValidator,
};

/// Why a producer cannot be made.
#[derive(thiserror::Error)]
pub enum BuilderError<D> {
    /// The stream has a producer on this node already: this one. Here is another handle to it.
    #[error("the stream has a producer on this node already")]
    AlreadyExists(Producer<D>),
}

impl<D> fmt::Debug for BuilderError<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::AlreadyExists(existing) = self;
        f.debug_tuple("AlreadyExists").field(existing).finish()
    }
}

/// Sets up a producer of a type's datums.
#[must_use = "nothing is produced before it is built"]
pub struct Builder<D> {
    frames: FramesProducerBuilder,
    datum: PhantomData<fn(D)>,
}

impl<D: Datum> Builder<D> {
    pub(crate) fn new(frames: FramesProducerBuilder) -> Self {
        Self {
            frames,
            datum: PhantomData,
        }
    }

    fn map(self, change: impl FnOnce(FramesProducerBuilder) -> FramesProducerBuilder) -> Self {
        Self {
            frames: change(self.frames),
            datum: PhantomData,
        }
    }

    /// Another stream than the type's own.
    pub fn with_stream_id(self, id: impl Into<StreamId>) -> Self {
        self.map(|frames| frames.with_stream_id(id.into()))
    }

    /// See [`FramesProducerBuilder::with_scope`].
    pub fn with_scope(self, scope: Scope) -> Self {
        self.map(|frames| frames.with_scope(scope))
    }

    /// See [`FramesProducerBuilder::with_buffer_size`].
    pub fn with_buffer_size(self, datums: usize) -> Self {
        self.map(|frames| frames.with_buffer_size(datums))
    }

    /// See [`FramesProducerBuilder::with_buffer_bytes`].
    pub fn with_buffer_bytes(self, bytes: usize) -> Self {
        self.map(|frames| frames.with_buffer_bytes(bytes))
    }

    /// See [`FramesProducerBuilder::with_linger`].
    pub fn with_linger(self, linger: Duration) -> Self {
        self.map(|frames| frames.with_linger(linger))
    }

    /// See [`FramesProducerBuilder::with_max_consumers`].
    pub fn with_max_consumers(self, max_consumers: usize) -> Self {
        self.map(|frames| frames.with_max_consumers(max_consumers))
    }

    /// See [`FramesProducerBuilder::with_max_datum_len`].
    pub fn with_max_datum_len(self, bytes: usize) -> Self {
        self.map(|frames| frames.with_max_datum_len(bytes))
    }

    /// See [`FramesProducerBuilder::online_when`].
    pub fn online_when(
        self,
        conditions: impl FnOnce(ChannelConditions) -> ChannelConditions + Send + Sync + 'static,
    ) -> Self {
        self.map(|frames| frames.online_when(conditions))
    }

    /// See [`FramesProducerBuilder::require`].
    pub fn require(self, may: impl Fn(&PeerEntry) -> bool + Send + Sync + 'static) -> Self {
        self.map(|frames| frames.require(may))
    }

    /// See [`FramesProducerBuilder::require_ticket`].
    pub fn require_ticket(self, validator: impl TicketValidator) -> Self {
        self.map(|frames| frames.require_ticket(validator))
    }

    /// See [`FramesProducerBuilder::disconnect_lagging`].
    pub fn disconnect_lagging(self, policy: impl Into<DisconnectLagging>) -> Self {
        self.map(|frames| frames.disconnect_lagging(policy))
    }

    /// Gives back what no subscriber wants: datums that the criteria of none select, and those that go out while there
    /// is no subscriber at all, where [`online_when`](Self::online_when) allows that. They are as decoded from their
    /// bytes.
    ///
    /// The queue has no bound of its own, so whoever holds the other end must read it. Once that is dropped, datums count
    /// as dropped again, or as filtered. What is held while the producer is offline is not given back.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use mosaik_streams::{Network, futures::SinkExt};
    ///
    /// let (sink, mut undelivered) = tokio::sync::mpsc::unbounded_channel();
    /// let network = Network::new("markets").await?;
    /// let mut producer = network
    ///     .streams()
    ///     .producer::<u64>()
    ///     .online_when(|channels| channels.minimum_of(0))
    ///     .with_undelivered_sink(sink)
    ///     .build()?;
    /// producer.send(7).await?;
    /// assert_eq!(undelivered.recv().await, Some(7));
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_undelivered_sink(self, sink: UnboundedSender<D>) -> Self {
        let give_back =
            move |datum: &[u8]| D::decode(datum).is_ok_and(|datum| sink.send(datum).is_ok());
        self.map(|frames| frames.with_undelivered(Arc::new(give_back)))
    }

    /// Starts the producer and announces its stream.
    ///
    /// # Errors
    /// When the stream has a producer on this node already; the error holds a handle to it.
    pub fn build(self) -> Result<Producer<D>, BuilderError<D>> {
        match self.frames.build() {
            Ok(frames) => Ok(Producer::new(frames)),
            Err(FramesBuilderError::AlreadyExists(existing)) => {
                Err(BuilderError::AlreadyExists(Producer::new(existing)))
            }
        }
    }
}

impl<D> fmt::Debug for Builder<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.frames.fmt(f)
    }
}
