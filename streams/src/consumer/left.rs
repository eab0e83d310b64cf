//! [`Left`]: what was received from one producer while the consumer's queue had no room. It is handed over as room comes,
//! whatever becomes of the connection meanwhile.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{core::Core, progress::Progress};
use crate::{
    Frames,
    queue::{Closed, Source},
};

/// Datums of one producer that wait for room in the consumer's queue, in order, over all subscriptions to it.
///
/// Holds at most one batch and what one connection had received when it ended, its receive window. Dropped, it counts what
/// is left as `closed`.
pub(super) struct Left<'a> {
    core: &'a Core,
    progress: &'a Progress,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    batches: VecDeque<(Source, Frames)>,
    /// Whether the rest of a connection that ended is among them.
    has_rest: bool,
}

impl<'a> Left<'a> {
    pub(super) fn new(core: &'a Core, progress: &'a Progress) -> Self {
        Self {
            core,
            progress,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().batches.is_empty()
    }

    /// Queues what there is room for, unless others wait already, and keeps the rest.
    pub(super) fn take(&self, source: Source, mut frames: Frames) -> Result<(), Closed> {
        let mut state = self.state();
        if state.batches.is_empty() {
            let queued = self.core.queue().put(source, &mut frames);
            if queued.is_err() {
                self.core.tally.closed.add(frames.count());
                self.progress.abandon(frames.count());
            }
            queued?;
        }
        if !frames.is_empty() {
            state.batches.push_back((source, frames));
            self.changed.notify_waiters();
        }
        Ok(())
    }

    /// Whether what a connection that is over had received may be taken: once, until all is queued. What comes after that
    /// is not read, and counts as lost when the producer is heard again.
    pub(super) fn takes_rest(&self) -> bool {
        let mut state = self.state();
        let has_rest = state.has_rest && !state.batches.is_empty();
        state.has_rest = true;
        !has_rest
    }

    /// Gives up what is not queued.
    pub(super) fn abandon(&self) {
        let mut state = self.state();
        let left: usize = state
            .batches
            .drain(..)
            .map(|(_, frames)| frames.count())
            .sum();
        self.core.tally.closed.add(left);
        self.progress.abandon(left);
        state.has_rest = false;
        self.changed.notify_waiters();
    }

    /// Waits until all is queued or given up. Cancel safe.
    pub(super) async fn emptied(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// Queues what is kept as there is room, for as long as it is polled. Cancel safe.
    pub(super) async fn drain(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.queue_some() {
                Ok(None) => changed.await,
                // An end of the queue is seen by the next round.
                Ok(Some(len)) => _ = self.core.queue().room_for(len).await,
                Err(Closed) => self.abandon(),
            }
        }
    }

    /// The length of the datum that has no room, if one is left.
    fn queue_some(&self) -> Result<Option<usize>, Closed> {
        let mut state = self.state();
        while let Some((source, frames)) = state.batches.front_mut() {
            self.core.queue().put(*source, frames)?;
            if let Some(first) = frames.iter().next() {
                return Ok(Some(first.len()));
            }
            state.batches.pop_front();
            if state.batches.is_empty() {
                state.has_rest = false;
                self.changed.notify_waiters();
            }
        }
        Ok(None)
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.abandon();
    }
}
