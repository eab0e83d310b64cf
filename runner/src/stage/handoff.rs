//! [`Handoff`]: hands the batches of a stage to streams until the stage has to give up.

use mosaik_streams::{Frames, FramesProducer};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::{Counters, End};

/// Hands on batches until the stage has to give up its remaining records.
#[derive(Debug, Clone)]
pub struct Handoff(CancellationToken);

impl Handoff {
    /// Creates a handoff that ends when `abandon` is cancelled.
    pub const fn until(abandon: CancellationToken) -> Self {
        Self(abandon)
    }

    /// Returns true once the time limit for the stage to end has passed.
    pub(super) fn is_abandoned(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the time limit for the stage to end has passed. Cancel safe.
    pub(super) fn abandoned(&self) -> WaitForCancellationFuture<'_> {
        self.0.cancelled()
    }

    /// Hands a batch to a stream and counts the accepted records. The others stay in `batch`.
    /// Cancel safe.
    pub(super) async fn send_rest(
        &self,
        output: &FramesProducer,
        batch: &mut Frames,
        counters: &Counters,
    ) -> Result<(), End> {
        let counted = Counted::of(batch, counters);
        tokio::select! {
            biased;
            // Triggered when the stream has accepted all records, or accepts no more.
            sent = output.send_rest(counted.batch) => sent.map_err(|error| End::Failed(error.to_string())),
            // Triggered when the time limit for the stage to end has passed.
            () = self.0.cancelled() => Err(End::Stopped),
        }
    }
}

/// Counts the records that have left a batch, on drop, so that cancellation is covered too.
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
