//! [`Producer`]: the handle that accepts values of a type and encodes them directly into the current batch.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::Sink;

use super::{
    config::Config,
    core::Core,
    error::{EncodingError, Error},
    frames::FramesProducer,
    stats::{FinishReport, ProducerStats},
};
use crate::{
    Datum, StreamId,
    channel::{
        queue::{Closed, PutError},
        status::{ChannelInfo, When},
    },
};

/// `Sync`, because the handle that contains it may be shared between threads.
type Waiting = Pin<Box<dyn Future<Output = Result<(), Closed>> + Send + Sync>>;

/// Sends the records of a stream as values of a type. Clones are handles to the same producer.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mosaik_streams::{Network, futures::SinkExt};
///
/// let network = Network::new("markets").await?;
/// // Two streams of one type, told apart by their ids.
/// let mut spot = network.streams().producer::<u64>().with_stream_id("spot").build()?;
/// let futures = network.streams().producer::<u64>().with_stream_id("futures").build()?;
/// let mut consumer =
///     network.streams().consumer::<u64>().with_stream_id("spot").with_local(true).build();
///
/// // Waits until at least one consumer is connected.
/// spot.when().online().await;
/// spot.send(320_000).await?;
/// // Does not wait. `futures` has no consumer, so the error returns the record.
/// let error = futures.try_send(321_000).expect_err("it is offline");
/// assert_eq!(error.into_datum(), Some(321_000));
/// assert_eq!(consumer.recv().await, Some(320_000));
/// # Ok(())
/// # }
/// ```
///
/// As a [`Sink`] it is ready when it is online and its queue has room. Flushing does not wait. Closing closes this handle
/// only.
pub struct Producer<D> {
    frames: Option<FramesProducer>,
    core: Arc<Core>,
    /// Room in the queue that `poll_ready` has reserved for `start_send`.
    permit: bool,
    /// Kept across polls to avoid allocating for each one.
    waiting: Option<Waiting>,
    datum: PhantomData<fn(D)>,
}

impl<D: Datum> Producer<D> {
    pub(crate) fn new(frames: FramesProducer) -> Self {
        let core = frames.core().clone();
        Self {
            frames: Some(frames),
            core,
            permit: false,
            waiting: None,
            datum: PhantomData,
        }
    }

    /// Queues a record without waiting.
    ///
    /// # Errors
    /// Returns the record and the reason.
    pub fn try_send(&self, datum: D) -> Result<(), Error<D>> {
        if self.frames.is_none() {
            return Err(Error::Closed(Some(datum)));
        }
        if !self.is_online() {
            return Err(if self.core.intake.is_closed() {
                Error::Closed(Some(datum))
            } else {
                Error::Offline(datum)
            });
        }
        self.put(false, datum).map(|_| ())
    }

    /// Queues a record. Returns true if room for the next one was reserved for this handle.
    fn put(&self, reserved: bool, datum: D) -> Result<bool, Error<D>> {
        let put = self
            .core
            .intake
            .put_datum(reserved, self.core.config.max_datum_len, |bytes| {
                datum.encode_into(bytes)
            });
        match put {
            Ok(again) => Ok(again),
            Err(PutError::Closed) => Err(Error::Closed(Some(datum))),
            Err(PutError::Full) => Err(Error::Full(datum)),
            Err(PutError::TooLarge) => {
                self.core.tally.too_large.add(1);
                Err(Error::TooLarge(datum))
            }
            Err(PutError::Write(error)) => {
                Err(Error::Encoding(datum, EncodingError(error.to_string())))
            }
        }
    }

    /// Closes this handle; see [`FramesProducer::finish`].
    pub async fn finish(mut self) -> FinishReport {
        match self.frames.take() {
            Some(frames) => frames.finish().await,
            None => FinishReport::default(),
        }
    }

    /// Like [`finish`](Self::finish), waiting at most `limit`.
    pub async fn finish_within(mut self, limit: Duration) -> FinishReport {
        match self.frames.take() {
            Some(frames) => frames.finish_within(limit).await,
            None => FinishReport::default(),
        }
    }

    /// Returns futures that wait for online conditions and subscribers.
    pub fn when(&self) -> &When {
        self.core.board.when()
    }

    /// Returns true if the online conditions are met.
    pub fn is_online(&self) -> bool {
        self.core.board.is_online()
    }

    /// Returns the subscribers.
    pub fn consumers(&self) -> impl Iterator<Item = ChannelInfo> {
        self.core.board.list().into_iter()
    }

    /// Returns the counters so far.
    pub fn stats(&self) -> ProducerStats {
        self.core.stats()
    }

    /// Returns the stream id.
    pub fn stream_id(&self) -> &StreamId {
        &self.core.id
    }

    /// Returns the current settings.
    pub fn config(&self) -> Config {
        self.core.current_config()
    }
}

impl<D: Datum> Sink<D> for Producer<D> {
    type Error = Error<D>;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error<D>>> {
        if self.frames.is_none() {
            return Poll::Ready(Err(Error::Closed(None)));
        }
        if self.permit {
            if self.core.board.is_online() {
                return Poll::Ready(Ok(()));
            }
            self.permit = false;
            self.core.intake.release();
        }
        // The common case: nothing to wait for.
        if self.waiting.is_none() && self.core.board.is_online() && self.core.intake.try_reserve() {
            self.permit = true;
            return Poll::Ready(Ok(()));
        }
        let mut waiting = self.waiting.take().unwrap_or_else(|| {
            // Not a handle, which would keep the stream open.
            let core = self.core.clone();
            Box::pin(async move {
                core.online().await?;
                core.intake.reserve().await
            })
        });
        match waiting.as_mut().poll(cx) {
            Poll::Pending => {
                self.waiting = Some(waiting);
                Poll::Pending
            }
            Poll::Ready(Ok(())) => {
                self.permit = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(Closed)) => Poll::Ready(Err(Error::Closed(None))),
        }
    }

    fn start_send(mut self: Pin<&mut Self>, datum: D) -> Result<(), Error<D>> {
        let reserved = std::mem::take(&mut self.permit);
        self.permit = self.put(reserved, datum)?;
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error<D>>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error<D>>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.frames = None;
        Poll::Ready(Ok(()))
    }
}

impl<D> Unpin for Producer<D> {}

impl<D> Clone for Producer<D> {
    fn clone(&self) -> Self {
        Self {
            frames: self.frames.clone(),
            core: self.core.clone(),
            permit: false,
            waiting: None,
            datum: PhantomData,
        }
    }
}

impl<D> Drop for Producer<D> {
    fn drop(&mut self) {
        if self.permit {
            self.core.intake.release();
        }
    }
}

impl<D> fmt::Debug for Producer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}
