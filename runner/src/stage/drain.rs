//! Drains the edges of a stage that was asked to end.

use std::time::Duration;

use mosaik_streams::Frames;
use tokio::time::{Instant, timeout_at};

use super::{BATCH_DATUMS_MAX, Handoff, Input};

/// The amount of input that a stage still reads when it is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// The records queued on its edges at this moment. Writers may continue to write.
    Queued,
    /// Like [`Queued`](Self::Queued), but a source stops immediately and passes its unsent records
    /// to its successor.
    HandOver,
    /// Nothing, and no input is ended: the last checkpoint holds the state of the stage, and a later process goes on
    /// from there.
    Suspend,
    /// Everything up to the end of private streams, whose writers have ended. A shared stream has
    /// remote writers and does not end: the stage receives until nothing arrives for
    /// [`SHARED_QUIET`], for at most [`SHARED_MAX`], and reads everything received.
    ToEnd,
}

/// Time without records after which a shared stream counts as drained: 100 ms.
pub const SHARED_QUIET: Duration = Duration::from_millis(100);
/// Maximum time for which a shared stream is drained: 2 s.
pub const SHARED_MAX: Duration = Duration::from_secs(2);

/// An input that is being drained.
pub(super) struct Draining<'a> {
    drain: Drain,
    input: &'a mut Input,
    left: usize,
    until: Instant,
    /// True once the node has stopped receiving on a shared stream.
    is_leaving: bool,
}

impl<'a> Draining<'a> {
    pub(super) fn new(drain: Drain, input: &'a mut Input) -> Self {
        let left = input.consumer.queued().0;
        Self {
            drain,
            input,
            left,
            until: Instant::now() + SHARED_MAX,
            is_leaving: false,
        }
    }

    /// Returns the next batch, or `None` when the input is drained or abandoned.
    pub(super) async fn next(&mut self, handoff: &Handoff) -> Option<Frames> {
        let consumer = &mut self.input.consumer;
        match self.drain {
            Drain::Suspend => None,
            Drain::Queued | Drain::HandOver if self.left == 0 => None,
            Drain::Queued | Drain::HandOver => {
                let batch = consumer.try_recv_frames(self.left.min(BATCH_DATUMS_MAX))?;
                self.left = self.left.saturating_sub(batch.count());
                Some(batch)
            }
            Drain::ToEnd => loop {
                let quiet = if self.input.shared && !self.is_leaving {
                    self.until.min(Instant::now() + SHARED_QUIET)
                } else {
                    // The end of the stream is certain to arrive. The caller limits the time by
                    // abandoning the stage.
                    Instant::now() + Duration::from_hours(24)
                };
                let batch = tokio::select! {
                    biased;
                    batch = timeout_at(quiet, consumer.recv_frames(BATCH_DATUMS_MAX)) => batch,
                    () = handoff.abandoned() => return None,
                };
                if let Ok(batch) = batch {
                    return batch;
                }
                // Other nodes keep unsent records until this node restarts.
                consumer.stop_receiving();
                self.is_leaving = true;
            },
        }
    }
}
