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

    /// Hands a batch to a stream, and counts what was given and what was not.
    pub(super) async fn send(
        &self,
        output: &FramesProducer,
        mut batch: Frames,
        counters: &Counters,
    ) -> Result<(), End> {
        let sent = self.send_rest(output, &mut batch, counters).await;
        counters.undelivered(batch.count());
        sent
    }

    /// As [`send`](Self::send); what was not given stays in `batch`, uncounted.
    pub(super) async fn send_rest(
        &self,
        output: &FramesProducer,
        batch: &mut Frames,
        counters: &Counters,
    ) -> Result<(), End> {
        let (datums, bytes) = (batch.count(), batch.payload_len());
        let sent = tokio::select! {
            biased;
            // Triggered when the stream has taken all, or takes no more.
            sent = output.send_rest(batch) => sent.map_err(|error| End::Failed(error.to_string())),
            // Triggered when the time to come to an end is over.
            () = self.0.cancelled() => Err(End::Stopped),
        };
        counters.gave(datums - batch.count(), bytes - batch.payload_len());
        sent
    }
}
