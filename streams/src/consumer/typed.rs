//! [`Consumer`]: the handle that decodes records as values of a type.

use std::{
    fmt,
    future::poll_fn,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{Stream, stream::FusedStream};
use tokio::sync::mpsc::error::TryRecvError;

use super::{
    builder::FramesConsumerBuilder, config::Config, frames::FramesConsumer, group::Attempt,
    stats::ConsumerStats,
};
use crate::{
    Criteria, Datum, Frames, StreamId,
    channel::{
        backoff::ExponentialBackoff,
        config::Scope,
        queue::Source,
        status::{ChannelConditions, ChannelInfo, When},
    },
    frames::Cursor,
    peer::{PeerEntry, TicketValidator},
};

/// The maximum number of records taken from the queue at once.
const BATCH_MAX: usize = 4096;

/// Receives the records of a stream as values of a type. A producer whose records cannot be decoded is disconnected.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mosaik_streams::{Network, futures::StreamExt};
///
/// let network = Network::new("markets").await?;
/// let mut consumer = network.streams().consumer::<u64>().with_local(true).build();
/// let producer = network.streams().produce::<u64>();
///
/// // Waits until it is connected to at least one producer.
/// consumer.when().subscribed().await;
/// for cents in [1, 2, 3] {
///     producer.try_send(cents)?;
/// }
/// assert_eq!(consumer.recv().await, Some(1));
/// // It is a stream of the `futures` crate, too.
/// assert_eq!(consumer.next().await, Some(2));
/// assert_eq!(consumer.stats().datums(), 2);
///
/// // Ends when the producer has finished, which waits until the last record is read.
/// let rest = consumer.collect::<Vec<_>>();
/// let (_, rest) = tokio::join!(producer.finish(), rest);
/// assert_eq!(rest, [3]);
/// # Ok(())
/// # }
/// ```
pub struct Consumer<D> {
    frames: FramesConsumer,
    batch: Cursor,
    source: Source,
    /// The number of records that could not be decoded, and their bytes.
    undecodable: (u64, u64),
    datum: PhantomData<fn() -> D>,
}

impl<D: Datum> Consumer<D> {
    fn new(frames: FramesConsumer) -> Self {
        Self {
            frames,
            batch: Cursor::default(),
            source: 0,
            undecodable: (0, 0),
            datum: PhantomData,
        }
    }

    /// Waits for the next record. Returns `None` when the stream has ended; see
    /// [`recv_frames`](FramesConsumer::recv_frames). Cancel safe.
    pub async fn recv(&mut self) -> Option<D> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Returns the next record without waiting.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if no record is queued, [`TryRecvError::Disconnected`] if the stream has ended.
    pub fn try_recv(&mut self) -> Result<D, TryRecvError> {
        loop {
            if let Some(datum) = self.decode_next() {
                return Ok(datum);
            }
            // Checked before taking: a record that arrives in between is then not missed.
            let is_ended = self.frames.is_ended();
            match self.frames.try_take(BATCH_MAX) {
                Some(taken) => self.begin(taken),
                None if is_ended => return Err(TryRecvError::Disconnected),
                None => return Err(TryRecvError::Empty),
            }
        }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<D>> {
        loop {
            if let Some(datum) = self.decode_next() {
                return Poll::Ready(Some(datum));
            }
            match ready!(self.frames.poll_take(cx, BATCH_MAX)) {
                Some(taken) => self.begin(taken),
                None => return Poll::Ready(None),
            }
        }
    }

    fn begin(&mut self, (source, batch): (Source, Frames)) {
        (self.source, self.batch) = (source, batch.into());
    }

    fn decode_next(&mut self) -> Option<D> {
        loop {
            let datum = self.batch.take_one()?;
            match D::decode(datum) {
                Ok(datum) => return Some(datum),
                Err(error) => {
                    self.undecodable.0 += 1;
                    self.undecodable.1 += datum.len() as u64;
                    tracing::debug!(stream = %self.stream_id(), %error, "failed to decode a record");
                    self.frames.reject(self.source);
                }
            }
        }
    }

    /// Returns futures that wait for online conditions and producers.
    pub fn when(&self) -> &When {
        self.frames.when()
    }

    /// Returns true if the online conditions are met.
    pub fn is_online(&self) -> bool {
        self.frames.is_online()
    }

    /// Returns the counters so far.
    pub fn stats(&self) -> ConsumerStats {
        let taken = self.frames.stats();
        let (undecodable, undecodable_len) = self.undecodable;
        ConsumerStats {
            datums: taken.datums - self.batch.count() as u64 - undecodable,
            bytes: taken.bytes - self.batch.payload_len() as u64 - undecodable_len,
            ..taken
        }
    }

    /// Returns the producers that are connected or connecting.
    pub fn producers(&self) -> impl Iterator<Item = ChannelInfo> {
        self.frames.producers().into_iter()
    }

    /// Returns the connection state for each remote node that offers the stream and meets the requirements.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.frames.attempts()
    }

    /// Returns the stream id.
    pub fn stream_id(&self) -> &StreamId {
        self.frames.stream_id()
    }

    /// Returns the current settings.
    pub fn config(&self) -> Config {
        self.frames.config()
    }
}

impl<D: Datum> Stream for Consumer<D> {
    type Item = D;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<D>> {
        self.poll_recv(cx)
    }
}

impl<D: Datum> FusedStream for Consumer<D> {
    fn is_terminated(&self) -> bool {
        self.batch.count() == 0 && self.frames.is_ended()
    }
}

impl<D> Unpin for Consumer<D> {}

impl<D> fmt::Debug for Consumer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.frames.fmt(f)
    }
}

/// Configures and starts a consumer of typed records.
#[must_use = "nothing is consumed before it is built"]
pub struct Builder<D> {
    frames: FramesConsumerBuilder,
    datum: PhantomData<fn() -> D>,
}

impl<D: Datum> Builder<D> {
    pub(crate) fn new(frames: FramesConsumerBuilder) -> Self {
        Self {
            frames,
            datum: PhantomData,
        }
    }

    fn map(self, change: impl FnOnce(FramesConsumerBuilder) -> FramesConsumerBuilder) -> Self {
        Self {
            frames: change(self.frames),
            datum: PhantomData,
        }
    }

    /// Sets the stream id in place of the one derived from the type.
    pub fn with_stream_id(self, id: impl Into<StreamId>) -> Self {
        self.map(|frames| frames.with_stream_id(id.into()))
    }

    /// See [`FramesConsumerBuilder::with_scope`].
    pub fn with_scope(self, scope: Scope) -> Self {
        self.map(|frames| frames.with_scope(scope))
    }

    /// See [`FramesConsumerBuilder::with_criteria`]. Criteria address fields by their serde names.
    pub fn with_criteria(self, criteria: Criteria) -> Self {
        self.map(|frames| frames.with_criteria(criteria))
    }

    /// See [`FramesConsumerBuilder::with_buffer_size`].
    pub fn with_buffer_size(self, records: usize) -> Self {
        self.map(|frames| frames.with_buffer_size(records))
    }

    /// See [`FramesConsumerBuilder::with_buffer_bytes`].
    pub fn with_buffer_bytes(self, bytes: usize) -> Self {
        self.map(|frames| frames.with_buffer_bytes(bytes))
    }

    /// See [`FramesConsumerBuilder::with_batch_size`].
    pub fn with_batch_size(self, records: usize) -> Self {
        self.map(|frames| frames.with_batch_size(records))
    }

    /// See [`FramesConsumerBuilder::with_max_datum_len`].
    pub fn with_max_datum_len(self, bytes: usize) -> Self {
        self.map(|frames| frames.with_max_datum_len(bytes))
    }

    /// See [`FramesConsumerBuilder::with_local`].
    pub fn with_local(self, local: bool) -> Self {
        self.map(|frames| frames.with_local(local))
    }

    /// See [`FramesConsumerBuilder::require`].
    pub fn require(self, from: impl Fn(&PeerEntry) -> bool + Send + Sync + 'static) -> Self {
        self.map(|frames| frames.require(from))
    }

    /// See [`FramesConsumerBuilder::require_ticket`].
    pub fn require_ticket(self, validator: impl TicketValidator) -> Self {
        self.map(|frames| frames.require_ticket(validator))
    }

    /// See [`FramesConsumerBuilder::online_when`].
    pub fn online_when(
        self,
        conditions: impl FnOnce(ChannelConditions) -> ChannelConditions + Send + Sync + 'static,
    ) -> Self {
        self.map(|frames| frames.online_when(conditions))
    }

    /// See [`FramesConsumerBuilder::with_backoff`].
    pub fn with_backoff(self, backoff: ExponentialBackoff) -> Self {
        self.map(|frames| frames.with_backoff(backoff))
    }

    /// Starts the consumer.
    pub fn build(self) -> Consumer<D> {
        Consumer::new(self.frames.build_typed(D::matches))
    }
}

impl<D> fmt::Debug for Builder<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.frames.fmt(f)
    }
}
