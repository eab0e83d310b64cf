//! [`Feed`]: hands the records of one producer on another node to every consumer that shares the subscription.

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
    queue::{Closed, Source},
    status::ChannelInfo,
};

/// Records of one producer on their way to the consumers, in order, over all connections to the producer.
///
/// Each consumer has its own filter, its own queue, and its own backlog of what its queue has no room for. While one has a
/// backlog nothing is read from the producer, so a backlog holds at most one batch and what one connection had received when
/// it ended, its receive window. The backlogs share the buffers of the records.
pub(super) struct Feed {
    source: Source,
    signal: Arc<Signal>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    outlets: Vec<Outlet>,
    /// The producer's position behind the last record received.
    position: u64,
    /// The connection, while there is one.
    channel: Option<ChannelInfo>,
    /// Whether the rest of a connection that ended is in the backlogs.
    has_rest: bool,
    /// Cancelled when a consumer wants no more of the connection.
    rejected: CancellationToken,
}

/// The end of a feed at one consumer.
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

    /// Queues what there is room for. The length of the record that has no room, if one is left.
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

    /// The consumer is not given these.
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
    /// `source` names the producer in the consumers' queues.
    pub(super) fn new(source: Source) -> Self {
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

    pub(super) const fn source(&self) -> Source {
        self.source
    }

    /// Adds a consumer. It gets the records that are received from now on.
    pub(super) fn add(&self, core: &Arc<Core>) {
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

    /// Removes a consumer. What waits for it counts as closed, and it holds the others back no more.
    pub(super) fn remove(&self, core: &Core) {
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

    /// Shows a connection on the boards of the consumers. The token is cancelled when one of them rejects it.
    pub(super) fn connect(&self, channel: &ChannelInfo) -> CancellationToken {
        let mut state = self.state();
        for outlet in &state.outlets {
            outlet.core.board.add(channel);
        }
        state.channel = Some(channel.clone());
        state.rejected = CancellationToken::new();
        state.rejected.clone()
    }

    /// Makes the boards look at the connection again.
    pub(super) fn touch(&self) {
        for outlet in &self.state().outlets {
            outlet.core.board.touch();
        }
    }

    /// The connection is over.
    pub(super) fn disconnect(&self) {
        let mut state = self.state();
        if let Some(channel) = state.channel.take() {
            for outlet in &state.outlets {
                outlet.core.board.remove(&channel);
            }
        }
    }

    /// Ends the connection, after a record that is invalid.
    pub(super) fn reject(&self) {
        self.state().rejected.cancel();
    }

    /// A connection that confirms starts at this position of the producer, which keeps at most `kept_bytes`.
    pub(super) fn begin(&self, position: u64, kept_bytes: u64) {
        let mut state = self.state();
        state.position = position;
        for outlet in &state.outlets {
            outlet.progress.begin(position);
        }
        self.signal.set_kept_bytes(kept_bytes);
        self.signal.set_idle(false);
    }

    /// Hands a batch to every consumer: what each wants of it, or all of it if the producer `is_selecting` by the criteria
    /// that all of them have. Returns the number of records that a lone consumer did not want.
    ///
    /// # Errors
    /// There is no consumer any more. The batch then counts as not received.
    pub(super) fn take(&self, frames: &Frames, is_selecting: bool) -> Result<usize, Closed> {
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

    /// Whether every consumer's queue has had room for all that was received.
    pub(super) fn is_drained(&self) -> bool {
        self.state().is_drained()
    }

    /// Whether what a connection that is over had received may be taken: once, until all is queued. What comes after that
    /// is not read, and counts as lost when the producer is heard again.
    pub(super) fn takes_rest(&self) -> bool {
        let mut state = self.state();
        let has_rest = state.has_rest && !state.is_drained();
        state.has_rest = true;
        !has_rest
    }

    /// Gives up what is not queued.
    pub(super) fn abandon(&self) {
        let mut state = self.state();
        state.outlets.iter_mut().for_each(Outlet::abandon);
        state.has_rest = false;
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until all is queued or given up. Cancel safe.
    pub(super) async fn drained(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.is_drained() {
                return;
            }
            changed.await;
        }
    }

    /// Queues the backlogs as there is room, for as long as it is polled. Cancel safe.
    pub(super) async fn drain(&self) {
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
                // Triggered when a queue has room, or is closed, which the next round sees.
                _ = select_all(room) => {}
                // Triggered when there is more to queue, or a consumer has left.
                () = changed => {}
            }
        }
    }

    /// Queues what there is room for. The consumers that have none, and the length of the next record of each.
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

    /// What a consumer has taken, if it is one of these.
    pub(super) fn progress(&self, core: &Core) -> Option<Arc<Progress>> {
        let state = self.state();
        let is_it = |outlet: &&Outlet| std::ptr::eq(&raw const *outlet.core, core);
        let outlet = state.outlets.iter().find(is_it);
        outlet.map(|outlet| outlet.progress.clone())
    }

    /// The position before which every consumer has taken every record.
    pub(super) fn confirmed(&self) -> u64 {
        self.state().confirmed()
    }

    /// The position behind the last record received.
    pub(super) fn position(&self) -> u64 {
        self.state().position
    }

    /// Whether all that was received is taken.
    pub(super) fn is_all_taken(&self) -> bool {
        let state = self.state();
        state.confirmed() == state.position
    }

    /// Whether all that was received is taken. From now on the next record makes a confirmation due.
    pub(super) fn idles(&self) -> bool {
        self.signal.set_idle(true);
        let is_all = self.is_all_taken();
        if !is_all {
            self.signal.set_idle(false);
        }
        is_all
    }

    /// Resolves when a confirmation is due before its time. Cancel safe.
    pub(super) async fn due(&self) {
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
