//! [`FramesProducer`]: the handle that accepts wire-format batches.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    config::{Config, DRAIN},
    control::ProducerControl,
    core::Core,
    error::Error,
    stats::{FinishReport, ProducerStats},
};
use crate::{
    Frames, StreamId,
    channel::{
        queue::Closed,
        status::{ChannelInfo, When},
    },
};

/// Sends wire-format batches to a stream. Clones are handles to the same producer.
///
/// When the last handle is dropped, the stream is withdrawn: its id is free at once, queued records are sent for up to
/// 30 s, and subscribers look for another producer of the stream. When the last handle is [finished](Self::finish), the
/// stream ends for good.
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

    /// Waits until the producer is online and there is room, and queues the batch, in parts if it does not fit at once.
    ///
    /// Cancel safe in that the queued part is a prefix of the batch. Use [`send_rest`](Self::send_rest) to keep the
    /// remainder.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if a record exceeds the maximum length of the stream; nothing is sent then.
    /// [`Error::Closed`] with the part that was not queued if the producer or its network ends.
    pub async fn send_frames(&self, mut frames: Frames) -> Result<(), Error<Frames>> {
        match self.send_rest(&mut frames).await {
            Ok(()) => Ok(()),
            Err(Error::TooLarge(())) => Err(Error::TooLarge(frames)),
            Err(_) => Err(Error::Closed(Some(frames))),
        }
    }

    /// Like [`send_frames`](Self::send_frames), but removes queued records from the front of `frames`. Cancel safe:
    /// `frames` contains the part that was not queued whenever the future is dropped.
    ///
    /// # Errors
    /// As [`send_frames`](Self::send_frames); `frames` contains the part that was not queued.
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

    /// Queues the whole batch without waiting, or nothing.
    ///
    /// # Errors
    /// Returns the batch and the reason.
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

    /// Puts a number between the records queued so far and those that follow. The consumers of this node that call
    /// [`recv_next`](crate::FramesConsumer::recv_next) receive it in that place; other consumers, and consumers on
    /// other nodes, do not receive it. A mark takes no room, and does not wait for the producer to be online.
    ///
    /// # Errors
    /// [`Error::Closed`] if the producer or its network ends.
    pub fn put_mark(&self, mark: u64) -> Result<(), Error<()>> {
        let put = self.core.intake.put_mark(mark);
        put.map_err(|Closed| Error::Closed(None))
    }

    fn check_len(&self, frames: &Frames) -> Result<(), ()> {
        let most = self.core.config.max_datum_len;
        // No record in a batch can be longer than the batch.
        if frames.wire_len() <= most || frames.iter().all(|datum| datum.len() <= most) {
            return Ok(());
        }
        self.core.tally.too_large.add(1);
        Err(())
    }

    /// Closes this handle. If it is the last one, ends the stream for good and waits up to 30 s until every subscriber
    /// has read all queued records.
    ///
    /// Records that are left then, because the producer is offline or a subscriber is slow, count as dropped. Dropping
    /// the future does not stop the process of ending.
    pub async fn finish(self) -> FinishReport {
        self.finish_within(DRAIN).await
    }

    /// Like [`finish`](Self::finish), waiting at most `limit`.
    pub async fn finish_within(self, limit: Duration) -> FinishReport {
        self.end_within(true, limit).await
    }

    /// Like [`finish`](Self::finish), waiting until `cut` resolves instead of for 30 s. Until then subscribers may take
    /// any time, and records are held while there is no subscriber. Records that are left then count as dropped.
    pub async fn finish_unless(self, cut: impl Future<Output = ()>) -> FinishReport {
        /// Longer than any process runs, and small enough not to overflow the clock.
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
            // Triggered when every subscriber has read everything.
            report = &mut ending => return report,
            // Triggered when the caller stops waiting.
            () = cut => core.hurry(),
        }
        ending.await
    }

    /// Closes this handle as dropping it does, and waits at most `limit` for the result. If it is the last handle, the
    /// stream is withdrawn: queued records are sent, and subscribers look for another producer.
    pub async fn close_within(self, limit: Duration) -> FinishReport {
        self.end_within(false, limit).await
    }

    /// Like [`close_within`](Self::close_within), waiting at most until `cut` resolves.
    pub async fn close_unless(
        self,
        limit: Duration,
        cut: impl Future<Output = ()>,
    ) -> FinishReport {
        self.end_unless(false, limit, cut).await
    }

    /// Like [`close_within`](Self::close_within), and also closes all other handles. The stream's id is free at once.
    pub async fn retire_within(mut self, limit: Duration) -> FinishReport {
        let mut report = self.core.report.subscribe();
        self.open = false;
        self.core.close_handle();
        self.core.unregister(false);
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
            self.core.unregister(false);
        }
        self.core.end(for_good, Instant::now() + limit);
        self.ended(&mut report).await
    }

    /// Waits for the end of a producer that is ending.
    async fn ended(&self, report: &mut watch::Receiver<Option<FinishReport>>) -> FinishReport {
        let ended = report.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|report| *report).unwrap_or_default();
        FinishReport {
            stats: self.core.stats(),
            ..ended
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

    /// Returns the subscribers, local ones included.
    pub fn consumers(&self) -> Vec<ChannelInfo> {
        self.core.board.list()
    }

    /// Returns the counters so far.
    pub fn stats(&self) -> ProducerStats {
        self.core.stats()
    }

    /// Returns the number of records that are accepted and not yet handed to subscribers, and their bytes with headers.
    pub fn queued(&self) -> (usize, usize) {
        self.core.intake.held()
    }

    /// Returns the stream id.
    pub fn stream_id(&self) -> &StreamId {
        &self.core.id
    }

    /// Returns a handle to observe and reconfigure the producer. It does not keep the producer alive.
    pub fn control(&self) -> ProducerControl {
        ProducerControl::new(&self.core)
    }

    /// Returns the current settings, including changes made with [`ProducerControl`].
    pub fn config(&self) -> Config {
        self.core.current_config()
    }
}

impl Clone for FramesProducer {
    fn clone(&self) -> Self {
        // The count cannot be zero: it includes `self` while `self` is open.
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
            self.core.unregister(false);
            self.core.end(false, Instant::now() + DRAIN);
        }
    }
}
