//! [`FramesConsumer`]: the handle that gives wire-format batches.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use super::{
    attempts::Attempt,
    builder::{Config, Taken},
    control::ConsumerControl,
    core::Core,
    progress::Progress,
    stats::ConsumerStats,
};
use crate::{
    Frames, StreamId,
    queue::Source,
    status::{ChannelInfo, When},
};

/// Gives the datums of a stream in wire-format batches.
///
/// Several consumers of one stream are independent of each other: each gets every datum.
#[derive(Debug)]
pub struct FramesConsumer {
    core: Arc<Core>,
    /// Where the last batch came from.
    origin: Origin,
    /// Records and bytes handed out that do not count as taken yet.
    in_work: (u64, u64),
}

/// A source, and how far its records are taken if it is a producer on another node.
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

    /// Waits for datums and takes a batch of them: at least one, at most `max_count`. Cancel safe.
    ///
    /// `None` when the stream has ended: at least one producer ended it for good, and none is connected or being
    /// connected to. Also when the network has ended. From then on it stays `None`.
    pub async fn recv_frames(&mut self, max_count: usize) -> Option<Frames> {
        poll_fn(|cx| self.poll_take(cx, max_count))
            .await
            .map(|(_, frames)| frames)
    }

    /// Takes a batch of at most `max_count` datums if there is one now.
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

    /// Notes what may have to be confirmed. Apart, because batches of one's own node are handed out more often.
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

    /// What was handed out counts as taken.
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

    /// A datum of this source was not what it should be: ends that subscription.
    pub(super) fn reject(&self, source: Source) {
        self.core.reject(source);
    }

    /// Whether the stream has ended and all that was queued is taken.
    pub fn is_ended(&self) -> bool {
        self.core.queue().is_closed() && self.core.queue().held().0 == 0
    }

    /// To wait for being online and for producers.
    pub fn when(&self) -> &When {
        self.core.board.when()
    }

    /// Whether the conditions for being online are met.
    pub fn is_online(&self) -> bool {
        self.core.board.is_online()
    }

    /// What it has received so far.
    pub fn stats(&self) -> ConsumerStats {
        self.core.tally.read()
    }

    /// The producers it is connected or being connected to.
    pub fn producers(&self) -> Vec<ChannelInfo> {
        self.core.board.list()
    }

    /// How it fares with every node elsewhere that offers the stream and meets its requirements.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.core.group.attempts.list()
    }

    /// Datums and bytes (headers included) that wait to be taken.
    pub fn queued(&self) -> (usize, usize) {
        self.core.queue().held()
    }

    /// The stream.
    pub fn stream_id(&self) -> &StreamId {
        &self.core.config.stream_id
    }

    /// Receives nothing more from other nodes, since this one stops. What was received can be taken still, and then the
    /// consumer is at its end. Producers that keep records keep what it has not received, for the consumer of the same name
    /// in the next life of this node. One that shares a subscription stops it for all: the others get nothing more either, and
    /// come to their end when they are told so.
    pub fn stop_receiving(&self) {
        self.core.group.stop_receiving(&self.core);
    }

    /// Takes nothing more, as a drop does, and tells what it has received in its whole life. What waited to be taken counts
    /// as closed.
    pub fn close(self) -> ConsumerStats {
        let core = Arc::clone(&self.core);
        drop(self);
        core.tally.read()
    }

    /// To look on and to change settings from elsewhere, without keeping the consumer.
    pub fn control(&self) -> ConsumerControl {
        ConsumerControl::new(&self.core)
    }

    /// Its bounds and reach, as it was built with them.
    pub fn config(&self) -> &Config {
        &self.core.config
    }
}

impl Drop for FramesConsumer {
    fn drop(&mut self) {
        // The caller accounts for the last batch.
        self.worked_off();
        self.core.group.leave(&self.core);
        let left = self.core.queue().abandon();
        self.core.tally.closed.add(left);
        self.core.taps.close();
        self.core.streams.remove_consumer(&self.core);
    }
}
