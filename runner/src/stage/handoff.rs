//! [`Handoff`]: how a stage hands batches to streams, for as long as nobody has it give up.

use mosaik_streams::{Frames, FramesProducer};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::{Counters, End};

/// Hands batches on until it is told to give up what the stage holds.
#[derive(Debug, Clone)]
pub struct Handoff(CancellationToken);

impl Handoff {
    /// Ends when this token is cancelled.
    pub const fn until(abandon: CancellationToken) -> Self {
        Self(abandon)
    }

    /// Whether the time to come to an end is over.
    pub(super) fn is_abandoned(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the time to come to an end is over. Cancel safe.
    pub(super) fn abandoned(&self) -> WaitForCancellationFuture<'_> {
        self.0.cancelled()
    }

    /// Hands a batch to a stream, and counts what was given. What was not stays in `batch`. Cancel safe.
    pub(super) async fn send_rest(
        &self,
        output: &FramesProducer,
        batch: &mut Frames,
        counters: &Counters,
    ) -> Result<(), End> {
        let counted = Counted::of(batch, counters);
        tokio::select! {
            biased;
            // Triggered when the stream has taken all, or takes no more.
            sent = output.send_rest(counted.batch) => sent.map_err(|error| End::Failed(error.to_string())),
            // Triggered when the time to come to an end is over.
            () = self.0.cancelled() => Err(End::Stopped),
        }
    }
}

/// Counts what has gone from a batch when it is dropped, however that comes.
struct Counted<'a> {
    batch: &'a mut Frames,
    before: (usize, usize),
    counters: &'a Counters,
}

impl<'a> Counted<'a> {
    fn of(batch: &'a mut Frames, counters: &'a Counters) -> Self {
        let before = (batch.count(), batch.payload_len());
        Self {
            batch,
            before,
            counters,
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let (datums, bytes) = self.before;
        self.counters.gave(
            datums - self.batch.count(),
            bytes - self.batch.payload_len(),
        );
    }
}
