//! [`FramesProducer`]: the handle that takes wire-format batches.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    builder::Config, control::ProducerControl, core::Core, error::Error, stats::ProducerStats,
    worker::DRAIN,
};
use crate::{
    Frames, StreamId,
    queue::Closed,
    status::{ChannelInfo, When},
};

/// How a producer's stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FinishReport {
    /// Whether the stream has ended; false when other handles go on.
    pub ended: bool,
    /// Subscribers that have read all.
    pub complete: usize,
    /// Subscribers that left before, or did not make it in time.
    pub incomplete: usize,
    /// What the producer has done in its whole life.
    pub stats: ProducerStats,
}

/// Takes wire-format batches for a stream. Clones are handles to the same producer.
///
/// When the last handle is dropped, the stream is taken back and may come again: its id is free at once, what is queued still
/// goes out for at most 30 s, and subscribers look out for the next producer. When the last handle is [finished](Self::finish),
/// the stream is over for good.
#[derive(Debug)]
pub struct FramesProducer {
    core: Arc<Core>,
    open: bool,
}

impl FramesProducer {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, open: true }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Waits until the producer is online, then for room, and queues the batch, split where it does not fit at once.
    ///
    /// Cancel safe in that what was queued is a front part of the batch, in order; to keep what was not, use
    /// [`send_rest`](Self::send_rest).
    ///
    /// # Errors
    /// [`Error::TooLarge`] when a datum is larger than the stream allows; then nothing is sent. [`Error::Closed`] with what was not
    /// queued, when the producer or its network ends.
    pub async fn send_frames(&self, mut frames: Frames) -> Result<(), Error<Frames>> {
        match self.send_rest(&mut frames).await {
            Ok(()) => Ok(()),
            Err(Error::TooLarge(())) => Err(Error::TooLarge(frames)),
            Err(_) => Err(Error::Closed(Some(frames))),
        }
    }

    /// As [`send_frames`](Self::send_frames); what is queued is taken off the front of `frames`. Cancel safe: `frames` holds
    /// what is not queued, whenever the future is dropped.
    ///
    /// # Errors
    /// As [`send_frames`](Self::send_frames); `frames` holds what is not queued.
    pub async fn send_rest(&self, frames: &mut Frames) -> Result<(), Error<()>> {
        self.check_len(frames).map_err(Error::TooLarge)?;
        while let Some(first) = frames.iter().next() {
            let first_len = first.len();
            self.core
                .online()
                .await
                .map_err(|Closed| Error::Closed(None))?;
            let before = frames.count();
            self.core
                .intake
                .put(0, frames)
                .map_err(|Closed| Error::Closed(None))?;
            if before == frames.count() {
                self.core
                    .intake
                    .room_for(first_len)
                    .await
                    .map_err(|Closed| Error::Closed(None))?;
            }
        }
        Ok(())
    }

    /// Queues the whole batch now or not at all.
    ///
    /// # Errors
    /// Hands the batch back, and says why.
    pub fn try_send_frames(&self, frames: Frames) -> Result<(), Error<Frames>> {
        if self.check_len(&frames).is_err() {
            return Err(Error::TooLarge(frames));
        }
        if self.core.intake.is_closed() {
            return Err(Error::Closed(Some(frames)));
        }
        if !self.is_online() {
            return Err(Error::Offline(frames));
        }
        match self.core.intake.put_whole(0, &frames) {
            Err(Closed) => Err(Error::Closed(Some(frames))),
            Ok(false) => Err(Error::Full(frames)),
            Ok(true) => Ok(()),
        }
    }

    fn check_len(&self, frames: &Frames) -> Result<(), ()> {
        let most = self.core.config.max_datum_len;
        // A batch that is not longer than the longest datum has none that is too long.
        if frames.wire_len() <= most || frames.iter().all(|datum| datum.len() <= most) {
            return Ok(());
        }
        self.core.tally.too_large.add(1);
        Err(())
    }

    /// Ends this handle. When it is the last one, ends the stream for good: waits until every subscriber has read all that is
    /// queued, 30 s at most.
    ///
    /// What is then still held, because the producer is offline or a subscriber is slow, counts as dropped. The end goes its way
    /// even if the future is dropped.
    pub async fn finish(self) -> FinishReport {
        self.finish_within(DRAIN).await
    }

    /// As [`finish`](Self::finish), waiting so long at most.
    pub async fn finish_within(self, limit: Duration) -> FinishReport {
        self.end_within(true, limit).await
    }

    /// As [`finish`](Self::finish), without a time limit of its own: subscribers may take as long as they need, and what is
    /// held for want of a subscriber is held, until `cut` resolves. What is left then counts as dropped.
    pub async fn finish_unless(self, cut: impl Future<Output = ()>) -> FinishReport {
        /// Longer than anything runs, and far from where the clock overflows.
        const UNHURRIED: Duration = Duration::from_hours(24 * 3650);
        self.end_unless(true, UNHURRIED, cut).await
    }

    async fn end_unless(
        self,
        for_good: bool,
        limit: Duration,
        cut: impl Future<Output = ()>,
    ) -> FinishReport {
        let core = self.core.clone();
        let mut ending = std::pin::pin!(self.end_within(for_good, limit));
        tokio::select! {
            biased;
            // Triggered when all have read all.
            report = &mut ending => return report,
            // Triggered when whoever called has waited long enough.
            () = cut => core.hurry(),
        }
        ending.await
    }

    /// Ends this handle as a drop does, and waits for what follows, so long at most. When it is the last one, the stream is
    /// taken back and may come again: what is queued goes out, and subscribers look out for the next producer.
    pub async fn close_within(self, limit: Duration) -> FinishReport {
        self.end_within(false, limit).await
    }

    /// As [`close_within`](Self::close_within), waiting no longer than until `cut` resolves.
    pub async fn close_unless(
        self,
        limit: Duration,
        cut: impl Future<Output = ()>,
    ) -> FinishReport {
        self.end_unless(false, limit, cut).await
    }

    /// As [`close_within`](Self::close_within), whoever has other handles: they are closed too, and the stream's id is free.
    pub async fn retire_within(mut self, limit: Duration) -> FinishReport {
        let mut report = self.core.report.subscribe();
        self.open = false;
        self.core.close_handle();
        self.core.streams.remove_producer(&self.core, false);
        self.core.end(false, Instant::now() + limit);
        self.ended(&mut report).await
    }

    async fn end_within(mut self, for_good: bool, limit: Duration) -> FinishReport {
        let mut report = self.core.report.subscribe();
        self.open = false;
        if !self.core.close_handle() {
            return FinishReport {
                stats: self.core.stats(),
                ..FinishReport::default()
            };
        }
        if !for_good {
            self.core.streams.remove_producer(&self.core, false);
        }
        self.core.end(for_good, Instant::now() + limit);
        self.ended(&mut report).await
    }

    /// Waits for an end that has begun.
    async fn ended(&self, report: &mut watch::Receiver<Option<FinishReport>>) -> FinishReport {
        let ended = report.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|report| *report).unwrap_or_default();
        FinishReport {
            stats: self.core.stats(),
            ..ended
        }
    }

    /// To wait for being online and for subscribers.
    pub fn when(&self) -> &When {
        self.core.board.when()
    }

    /// Whether the conditions for being online are met.
    pub fn is_online(&self) -> bool {
        self.core.board.is_online()
    }

    /// Its subscribers, those of this node included.
    pub fn consumers(&self) -> Vec<ChannelInfo> {
        self.core.board.list()
    }

    /// What it has done so far.
    pub fn stats(&self) -> ProducerStats {
        self.core.stats()
    }

    /// Datums and bytes (headers included) taken but not yet handed to subscribers.
    pub fn queued(&self) -> (usize, usize) {
        self.core.intake.held()
    }

    /// The stream.
    pub fn stream_id(&self) -> &StreamId {
        &self.core.id
    }

    /// To look on and to change settings from elsewhere, without keeping the producer.
    pub fn control(&self) -> ProducerControl {
        ProducerControl::new(&self.core)
    }

    /// Its bounds and reach, as it was built with them.
    pub fn config(&self) -> &Config {
        &self.core.config
    }
}

impl Clone for FramesProducer {
    fn clone(&self) -> Self {
        // The count cannot be zero: `self` is counted for as long as it is open.
        let open = self.open && self.core.open_handle();
        Self {
            core: self.core.clone(),
            open,
        }
    }
}

impl Drop for FramesProducer {
    fn drop(&mut self) {
        if self.open && self.core.close_handle() {
            self.core.streams.remove_producer(&self.core, false);
            self.core.end(false, Instant::now() + DRAIN);
        }
    }
}
