//! [`FramesConsumer`]: the handle that returns wire-format batches.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use super::{
    config::{Config, Taken},
    control::ConsumerControl,
    group::{Attempt, Core, Progress},
    stats::ConsumerStats,
};
use crate::{
    Frames, StreamId,
    channel::{
        queue::{Item, Source},
        status::{ChannelInfo, When},
    },
    durable::SourcePosition,
};

/// Receives the records of a stream in wire-format batches.
///
/// Consumers of the same stream are independent: each receives every record.
#[derive(Debug)]
pub struct FramesConsumer {
    pub(super) core: Arc<Core>,
    /// The source of the last batch.
    origin: Origin,
    /// Records and bytes that were returned to the application and do not count as taken yet.
    in_work: (u64, u64),
}

/// What a consumer of this node receives: records, or a mark between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A batch of records, all before the next mark.
    Batch(Frames),
    /// The number that a producer of this node has [put](crate::FramesProducer::put_mark) between its records.
    Mark(u64),
}

/// A source, and the progress on its records if it is a remote producer.
#[derive(Debug, Default)]
struct Origin {
    source: Source,
    progress: Option<Arc<Progress>>,
}

impl FramesConsumer {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            origin: Origin::default(),
            in_work: (0, 0),
        }
    }

    /// Waits for records and returns a batch of 1 to `max_count` of them. Cancel safe.
    ///
    /// Returns `None` when the stream has ended: at least one producer has finished it, and no producer is connected or
    /// connecting. Also returns `None` when the network has shut down. Every later call returns `None` too.
    pub async fn recv_frames(&mut self, max_count: usize) -> Option<Frames> {
        poll_fn(|cx| self.poll_take(cx, max_count))
            .await
            .map(|(_, frames)| frames)
    }

    /// Waits for the next mark, or for records, and returns a batch of 1 to `max_count` of them. Cancel safe.
    ///
    /// The other methods discard marks. Returns `None` as [`recv_frames`](Self::recv_frames) does.
    pub async fn recv_next(&mut self, max_count: usize) -> Option<Received> {
        poll_fn(|cx| {
            self.worked_off();
            let taken = ready!(
                self.core
                    .queue()
                    .poll_take_item(cx, self.at_once(max_count))
            );
            Poll::Ready(taken.map(|item| match item {
                Item::Batch(source, frames) => {
                    self.count(source, &frames);
                    Received::Batch(frames)
                }
                Item::Mark(mark) => Received::Mark(mark),
            }))
        })
        .await
    }

    /// Returns a batch of at most `max_count` records without waiting, or `None` if the queue is empty.
    pub fn try_recv_frames(&mut self, max_count: usize) -> Option<Frames> {
        self.try_take(max_count).map(|(_, frames)| frames)
    }

    pub(super) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        max_count: usize,
    ) -> Poll<Option<(Source, Frames)>> {
        self.worked_off();
        let taken = ready!(self.core.queue().poll_take(cx, self.at_once(max_count)));
        if let Some((source, frames)) = &taken {
            self.count(*source, frames);
        }
        Poll::Ready(taken)
    }

    pub(super) fn try_take(&mut self, max_count: usize) -> Option<(Source, Frames)> {
        self.worked_off();
        let taken = self.core.queue().try_take(self.at_once(max_count))?;
        self.count(taken.0, &taken.1);
        Some(taken)
    }

    fn at_once(&self, max_count: usize) -> usize {
        let batch_size = self.core.batch_size.load(Ordering::Relaxed);
        max_count.min(batch_size).max(1)
    }

    #[inline]
    fn count(&mut self, source: Source, frames: &Frames) {
        if source != self.origin.source || self.origin.progress.is_some() {
            self.hand_out(source, frames);
        }
        self.core.tally.datums.add(frames.count());
        self.core.tally.bytes.add(frames.payload_len());
        self.core.taps.offer(frames);
    }

    /// Notes records that have to be confirmed. Not inlined: batches of local producers, which need no confirmation,
    /// are returned more often.
    #[inline(never)]
    fn hand_out(&mut self, source: Source, frames: &Frames) {
        if source != self.origin.source {
            let progress = self.core.group.progress(source, &self.core);
            self.origin = Origin { source, progress };
        }
        if self.origin.progress.is_some() {
            self.in_work = (frames.count() as u64, frames.wire_len() as u64);
            if self.core.config.taken == Taken::HandedOut {
                self.confirm();
            }
        }
    }

    /// Counts the previous batch as taken.
    #[inline]
    fn worked_off(&mut self) {
        if self.in_work.0 > 0 {
            self.confirm();
        }
    }

    #[inline(never)]
    fn confirm(&mut self) {
        let (count, bytes) = std::mem::take(&mut self.in_work);
        if let Some(progress) = &self.origin.progress {
            progress.take(count, bytes);
        }
    }

    /// Returns the positions in the logs of durable streams before which the application has taken every record. Counts
    /// the last batch as taken. A consumer that is built with
    /// [`with_positions`](super::FramesConsumerBuilder::with_positions) in another process continues there.
    pub fn positions(&mut self) -> Vec<SourcePosition> {
        self.worked_off();
        self.core.group.positions(&self.core)
    }

    /// Disconnects the source after a malformed record.
    pub(super) fn reject(&self, source: Source) {
        self.core.reject(source);
    }

    /// Returns true if the stream has ended and the queue is empty.
    pub fn is_ended(&self) -> bool {
        self.core.queue().is_closed() && self.core.queue().held().0 == 0
    }

    /// Returns futures that wait for online conditions and producers.
    pub fn when(&self) -> &When {
        self.core.board.when()
    }

    /// Returns true if the online conditions are met.
    pub fn is_online(&self) -> bool {
        self.core.board.is_online()
    }

    /// Returns the counters so far.
    pub fn stats(&self) -> ConsumerStats {
        self.core.tally.read()
    }

    /// Returns the producers that are connected or connecting.
    pub fn producers(&self) -> Vec<ChannelInfo> {
        self.core.board.list()
    }

    /// Returns the connection state for each remote node that offers the stream and meets the requirements.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.core.group.attempts.list()
    }

    /// Returns the number of queued records, and their bytes with headers.
    pub fn queued(&self) -> (usize, usize) {
        self.core.queue().held()
    }

    /// Returns the stream id.
    pub fn stream_id(&self) -> &StreamId {
        &self.core.config.stream_id
    }

    /// Stops receiving from other nodes because this node is about to stop.
    ///
    /// Received records can still be taken; then the consumer ends. Producers that retain records keep those that were
    /// not received, for the consumer of the same name after this node restarts. If the subscription is shared, this
    /// stops it for all its consumers: the others receive nothing more, and end once this method is called on them too.
    pub fn stop_receiving(&self) {
        self.core.group.stop_receiving(&self.core);
    }

    /// Closes the consumer, as dropping it does, and returns its final counters. Queued records count as closed.
    pub fn close(self) -> ConsumerStats {
        let core = Arc::clone(&self.core);
        drop(self);
        core.tally.read()
    }

    /// Returns a handle to observe and reconfigure the consumer. It does not keep the consumer alive.
    pub fn control(&self) -> ConsumerControl {
        ConsumerControl::new(&self.core)
    }

    /// Returns the current settings, including changes made with [`ConsumerControl`].
    pub fn config(&self) -> Config {
        self.core.current_config()
    }
}

impl Drop for FramesConsumer {
    fn drop(&mut self) {
        // The application has processed the last batch, or accounts for it.
        self.worked_off();
        self.core.group.leave(&self.core);
        let left = self.core.queue().abandon();
        self.core.tally.closed.add(left);
        self.core.taps.close();
        self.core.unregister();
    }
}
