//! How a stage that was told to come to its end empties its edges.

use std::time::Duration;

use mosaik_streams::Frames;
use tokio::time::{Instant, timeout_at};

use super::{BATCH_DATUMS_MAX, Handoff, Input};

/// How far a stage reads on when it is told to come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// What its edges hold at this moment: others go on writing.
    Queued,
    /// As [`Queued`](Self::Queued); a source stops at once, and what it has read goes to its successor.
    HandOver,
    /// To the end of the node's own streams, whose writers have ended. A shared stream has writers elsewhere and does
    /// not end: it is received until nothing comes for [`SHARED_QUIET`], and for [`SHARED_MAX`] at the most, and all
    /// that was received is read.
    ToEnd,
}

/// When nothing has come on a shared stream for so long, nothing is under way: 100 ms.
pub const SHARED_QUIET: Duration = Duration::from_millis(100);
/// How long a shared stream is read on at the most: 2 s.
pub const SHARED_MAX: Duration = Duration::from_secs(2);

/// One input being emptied.
pub(super) struct Draining<'a> {
    drain: Drain,
    input: &'a mut Input,
    left: usize,
    until: Instant,
    /// Whether nothing more is received on a shared stream.
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

    /// The next batch; `None` when the input is empty as far as it is read, or abandoned.
    pub(super) async fn next(&mut self, handoff: &Handoff) -> Option<Frames> {
        let consumer = &mut self.input.consumer;
        match self.drain {
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
                    // Its end is certain to come; the time limit is whoever abandons it.
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
                // What other nodes have not sent yet they keep for the next life of this one.
                consumer.stop_receiving();
                self.is_leaving = true;
            },
        }
    }
}
