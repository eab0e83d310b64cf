//! [`Feed`]: distributes the records of one remote producer to every consumer that shares the subscription.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::select_all;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    core::Core,
    progress::{Progress, Signal},
};
use crate::{
    Frames,
    channel::{
        queue::{Closed, Source},
        status::ChannelInfo,
    },
};

/// Distributes the records of one producer, in order and across all connections to it.
///
/// Each consumer has its own filter, queue, and backlog of records that its queue has no room for. While any backlog is
/// not empty, nothing is read from the producer. A backlog therefore holds at most one batch, plus the receive window
/// of one connection that has ended. The backlogs share the buffers of the records.
pub(in crate::consumer) struct Feed {
    source: Source,
    signal: Arc<Signal>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    outlets: Vec<Outlet>,
    /// The producer's position after the last received record.
    position: u64,
    /// The current connection, if any.
    channel: Option<ChannelInfo>,
    /// True while records of a connection that ended are in the backlogs.
    has_rest: bool,
    /// Cancelled when a consumer rejects the connection.
    rejected: CancellationToken,
}

/// The state of one consumer of a feed.
struct Outlet {
    core: Arc<Core>,
    progress: Arc<Progress>,
    backlog: VecDeque<Frames>,
}

impl Outlet {
    fn take(&mut self, source: Source, frames: &Frames, is_selected: bool) -> usize {
        let (mut wanted, mut unwanted) = (frames.clone(), 0);
        if !is_selected {
            let (selected, malformed) = self.core.wanted().filter.apply(frames);
            unwanted = frames.count() - selected.count();
            self.core.tally.malformed.add(malformed);
            self.core.tally.filtered.add(unwanted - malformed);
            wanted = selected;
        }
        self.progress.add(frames.count(), wanted.count());
        if self.backlog.is_empty() && self.core.queue().put(source, &mut wanted).is_err() {
            self.drop_records(wanted.count());
        } else if !wanted.is_empty() {
            self.backlog.push_back(wanted);
        }
        unwanted
    }

    /// Queues as many records as fit. Returns the length of the first record that does not fit, if any.
    fn queue_some(&mut self, source: Source) -> Option<usize> {
        while let Some(frames) = self.backlog.front_mut() {
            if self.core.queue().put(source, frames).is_err() {
                self.abandon();
            } else if let Some(first) = frames.iter().next() {
                return Some(first.len());
            } else {
                self.backlog.pop_front();
            }
        }
        None
    }

    fn abandon(&mut self) {
        let left = self.backlog.drain(..).map(|frames| frames.count()).sum();
        self.drop_records(left);
    }

    /// Counts records that the consumer will not receive.
    fn drop_records(&self, count: usize) {
        self.core.tally.closed.add(count);
        self.progress.abandon(count);
    }
}

impl State {
    fn is_drained(&self) -> bool {
        self.outlets.iter().all(|outlet| outlet.backlog.is_empty())
    }

    fn confirmed(&self) -> u64 {
        let confirmed = self
            .outlets
            .iter()
            .map(|outlet| outlet.progress.confirmed());
        confirmed.min().unwrap_or(self.position)
    }
}

impl Feed {
    /// `source` identifies the producer in the queues of the consumers.
    pub(in crate::consumer) fn new(source: Source) -> Self {
        Self {
            source,
            signal: Arc::default(),
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks every use of the feed until the returned value is dropped.
    #[cfg(test)]
    pub(in crate::consumer) fn lock(&self) -> impl Sized + '_ {
        self.state()
    }

    pub(in crate::consumer) const fn source(&self) -> Source {
        self.source
    }

    /// Adds a consumer. It receives the records that arrive from now on.
    pub(in crate::consumer) fn add(&self, core: &Arc<Core>) {
        let mut state = self.state();
        let progress = Arc::new(Progress::new(self.signal.clone()));
        progress.begin(state.position);
        if let Some(channel) = &state.channel {
            core.board.add(channel);
        }
        state.outlets.push(Outlet {
            core: core.clone(),
            progress,
            backlog: VecDeque::new(),
        });
    }

    /// Removes a consumer. Its backlog counts as closed and no longer holds back the others.
    pub(in crate::consumer) fn remove(&self, core: &Core) {
        let mut state = self.state();
        let is_it = |outlet: &Outlet| std::ptr::eq(&raw const *outlet.core, core);
        let Some(at) = state.outlets.iter().position(is_it) else {
            return;
        };
        let mut outlet = state.outlets.remove(at);
        outlet.abandon();
        if let Some(channel) = &state.channel {
            core.board.remove(channel);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Adds a connection to the boards of the consumers. The returned token is cancelled when a consumer rejects it.
    pub(in crate::consumer) fn connect(&self, channel: &ChannelInfo) -> CancellationToken {
        let mut state = self.state();
        for outlet in &state.outlets {
            outlet.core.board.add(channel);
        }
        state.channel = Some(channel.clone());
        state.rejected = CancellationToken::new();
        state.rejected.clone()
    }

    /// Makes the boards evaluate their conditions again.
    pub(in crate::consumer) fn touch(&self) {
        for outlet in &self.state().outlets {
            outlet.core.board.touch();
        }
    }

    /// Removes the connection from the boards.
    pub(in crate::consumer) fn disconnect(&self) {
        let mut state = self.state();
        if let Some(channel) = state.channel.take() {
            for outlet in &state.outlets {
                outlet.core.board.remove(&channel);
            }
        }
    }

    /// Closes the connection after an invalid record.
    pub(in crate::consumer) fn reject(&self) {
        self.state().rejected.cancel();
    }

    /// Starts a connection with confirmations at this position of the producer, which retains at most `kept_bytes`.
    pub(in crate::consumer) fn begin(&self, position: u64, kept_bytes: u64) {
        let mut state = self.state();
        state.position = position;
        for outlet in &state.outlets {
            outlet.progress.begin(position);
        }
        self.signal.set_kept_bytes(kept_bytes);
        self.signal.set_idle(false);
    }

    /// Distributes a batch. Each consumer receives its selection of it, or the whole batch if the producer
    /// `is_selecting` by criteria that all of them share. Returns the number of records filtered out if there is one
    /// consumer, otherwise 0.
    ///
    /// # Errors
    /// Fails if no consumer is left. The batch then counts as not received.
    pub(in crate::consumer) fn take(
        &self,
        frames: &Frames,
        is_selecting: bool,
    ) -> Result<usize, Closed> {
        let mut state = self.state();
        if state.outlets.is_empty() {
            return Err(Closed);
        }
        state.position += frames.count() as u64;
        let mut unwanted = 0;
        for outlet in &mut state.outlets {
            unwanted = outlet.take(self.source, frames, is_selecting);
        }
        let is_lone = state.outlets.len() == 1;
        let is_drained = state.is_drained();
        drop(state);
        self.signal.received();
        if !is_drained {
            self.changed.notify_waiters();
        }
        Ok(if is_lone { unwanted } else { 0 })
    }

    /// Returns true if all received records have been queued.
    pub(in crate::consumer) fn is_drained(&self) -> bool {
        self.state().is_drained()
    }

    /// Returns true if the records that a closed connection had received may be read: once, until all of them are
    /// queued. Later ones are not read, and count as lost when the producer is connected again.
    pub(in crate::consumer) fn takes_rest(&self) -> bool {
        let mut state = self.state();
        let has_rest = state.has_rest && !state.is_drained();
        state.has_rest = true;
        !has_rest
    }

    /// Drops the backlogs.
    pub(in crate::consumer) fn abandon(&self) {
        let mut state = self.state();
        state.outlets.iter_mut().for_each(Outlet::abandon);
        state.has_rest = false;
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until the backlogs are empty. Cancel safe.
    pub(in crate::consumer) async fn drained(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.is_drained() {
                return;
            }
            changed.await;
        }
    }

    /// Moves backlogs into the queues as room becomes available. Never resolves. Cancel safe.
    pub(in crate::consumer) async fn drain(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let full = self.queue_some();
            if full.is_empty() {
                changed.await;
                continue;
            }
            let room = full
                .iter()
                .map(|(core, len)| Box::pin(core.queue().room_for(*len)));
            tokio::select! {
                // Triggered when a queue has room or is closed. The next iteration finds out which.
                _ = select_all(room) => {}
                // Triggered when a backlog grows or a consumer is removed.
                () = changed => {}
            }
        }
    }

    /// Queues as many records as fit. Returns each consumer with a backlog and the length of its next record.
    fn queue_some(&self) -> Vec<(Arc<Core>, usize)> {
        let mut state = self.state();
        let was_drained = state.is_drained();
        let mut full = Vec::new();
        for outlet in &mut state.outlets {
            if let Some(len) = outlet.queue_some(self.source) {
                full.push((outlet.core.clone(), len));
            }
        }
        if full.is_empty() && !was_drained {
            state.has_rest = false;
            drop(state);
            self.changed.notify_waiters();
        }
        full
    }

    /// Returns the progress of a consumer, if it is one of these.
    pub(in crate::consumer) fn progress(&self, core: &Core) -> Option<Arc<Progress>> {
        let state = self.state();
        let is_it = |outlet: &&Outlet| std::ptr::eq(&raw const *outlet.core, core);
        let outlet = state.outlets.iter().find(is_it);
        outlet.map(|outlet| outlet.progress.clone())
    }

    /// The position before which every consumer has taken every record.
    pub(in crate::consumer) fn confirmed(&self) -> u64 {
        self.state().confirmed()
    }

    /// The position after the last received record.
    pub(in crate::consumer) fn position(&self) -> u64 {
        self.state().position
    }

    /// Returns true if every received record is taken.
    pub(in crate::consumer) fn is_all_taken(&self) -> bool {
        let state = self.state();
        state.confirmed() == state.position
    }

    /// Returns true if every received record is taken. Then the next record makes a confirmation due.
    pub(in crate::consumer) fn idles(&self) -> bool {
        self.signal.set_idle(true);
        let is_all = self.is_all_taken();
        if !is_all {
            self.signal.set_idle(false);
        }
        is_all
    }

    /// Resolves when a confirmation becomes due early. Cancel safe.
    pub(in crate::consumer) async fn due(&self) {
        self.signal.due().await;
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
