//! [`Builder`]: configures a producer of typed records.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use tokio::sync::mpsc::UnboundedSender;

use super::{
    builder::{FramesBuilderError, FramesProducerBuilder},
    lag::DisconnectLagging,
    typed::Producer,
};
use crate::{
    Datum, StreamId,
    channel::{config::Scope, status::ChannelConditions},
    peer::{PeerEntry, TicketValidator},
};

/// An error from building a producer.
#[derive(thiserror::Error)]
pub enum BuilderError<D> {
    /// The stream already has a producer on this node. Contains another handle to it.
    #[error("the stream already has a producer on this node")]
    AlreadyExists(Producer<D>),
}

impl<D> fmt::Debug for BuilderError<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::AlreadyExists(existing) = self;
        f.debug_tuple("AlreadyExists").field(existing).finish()
    }
}

/// Configures and starts a producer of typed records.
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

    /// Sets the stream id in place of the one derived from the type.
    pub fn with_stream_id(self, id: impl Into<StreamId>) -> Self {
        self.map(|frames| frames.with_stream_id(id.into()))
    }

    /// See [`FramesProducerBuilder::with_scope`].
    pub fn with_scope(self, scope: Scope) -> Self {
        self.map(|frames| frames.with_scope(scope))
    }

    /// See [`FramesProducerBuilder::with_buffer_size`].
    pub fn with_buffer_size(self, records: usize) -> Self {
        self.map(|frames| frames.with_buffer_size(records))
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

    /// Sends records that no subscriber receives to `sink`: those that no subscriber's criteria select, and those sent
    /// while there is no subscriber, if [`online_when`](Self::online_when) allows that. Each is decoded from its bytes.
    ///
    /// The channel is unbounded, so its receiver must be read. Once the receiver is dropped, such records count as dropped
    /// or filtered again. Records held while the producer is offline are not sent to `sink`.
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
    /// Fails if the stream already has a producer on this node. The error contains a handle to that producer.
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
