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
    Frames, PeerId,
    channel::{
        protocol::Epoch,
        queue::{Closed, Source},
        status::ChannelInfo,
    },
    durable::{LogId, LogPosition, SourcePosition, StartAt},
};

/// Distributes the records of one producer, in order and across all connections to it.
///
/// Each consumer has its own filter, queue, and backlog of records that its queue has no room for. While any backlog is
/// not empty, nothing is read from the producer. A backlog therefore holds at most one batch, plus the receive window
/// of one connection that has ended. The backlogs share the buffers of the records.
pub(in crate::consumer) struct Feed {
    source: Source,
    peer: PeerId,
    signal: Arc<Signal>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    outlets: Vec<Outlet>,
    /// The producer's position after the last received record.
    position: u64,
    /// The log that the producer sends, if the stream is durable there.
    log: Option<Epoch>,
    /// The position before which the last consumer had taken every record when it was removed.
    left_at: Option<u64>,
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
    /// Records before this position are not for the consumer: it has taken them in an earlier process, or begins later.
    skips_to: u64,
}

impl Outlet {
    /// Sets which records of a log are for the consumer, when the log is sent for the first time. `continues` is true
    /// if the subscription continues at the position of a consumer.
    fn begin(&mut self, (peer, log): (&PeerId, Epoch), continues: bool, end: u64) {
        let known = self.core.position_of(peer);
        let known = known.filter(|at| Epoch(at.log.0) == log);
        self.skips_to = match known {
            Some(at) => at.position,
            None if continues && self.core.config.start == StartAt::Latest => end,
            None => 0,
        };
    }

    /// `position` is that of the first record in `frames`, which `is_selected` by the producer, and part of the log of a
    /// durable stream if `is_log` is set.
    fn take(
        &mut self,
        source: Source,
        (frames, position): (&Frames, u64),
        (is_selected, is_log): (bool, bool),
    ) -> usize {
        let mut wanted = frames.clone();
        let skipped = self.skips_to.saturating_sub(position);
        if skipped > 0 {
            let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
            self.progress
                .add(wanted.split_front(skipped, usize::MAX).count(), 0);
        }
        let mut unwanted = 0;
        if is_selected {
            self.progress.add(wanted.count(), wanted.count());
        } else {
            let all = wanted.count();
            let criteria = self.core.wanted();
            let (selected, malformed) = if is_log && !criteria.filter.is_everything() {
                // The position of each record has to be known exactly, for a checkpoint.
                criteria.filter.apply_noting(&wanted, |count, is_wanted| {
                    let queued = if is_wanted { count } else { 0 };
                    self.progress.add(count, queued);
                })
            } else {
                let (selected, malformed) = criteria.filter.apply(&wanted);
                self.progress.add(all, selected.count());
                (selected, malformed)
            };
            unwanted = all - selected.count();
            self.core.tally.malformed.add(malformed);
            self.core.tally.filtered.add(unwanted - malformed);
            wanted = selected;
        }
        if wanted.is_empty() {
            return unwanted;
        }
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
    pub(in crate::consumer) fn new(source: Source, peer: PeerId) -> Self {
        Self {
            source,
            peer,
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
            skips_to: 0,
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
        if state.outlets.is_empty() {
            state.left_at = Some(outlet.progress.confirmed());
        }
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
    /// `log` is the log that it sends, and the end of the log, if the stream is durable. `continues` is true if the
    /// subscription continues at the position of a consumer.
    pub(in crate::consumer) fn begin(
        &self,
        position: u64,
        kept_bytes: u64,
        log: Option<(Epoch, u64)>,
        continues: bool,
    ) {
        let mut state = self.state();
        state.position = position;
        let id = log.map(|(id, _)| id);
        if let Some((id, end)) = log.filter(|_| state.log != id) {
            for outlet in &mut state.outlets {
                outlet.begin((&self.peer, id), continues, end);
            }
        } else if id.is_none() {
            for outlet in &mut state.outlets {
                outlet.skips_to = 0;
            }
        }
        state.log = id;
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
        let (position, is_log) = (state.position, state.log.is_some());
        state.position += frames.count() as u64;
        let mut unwanted = 0;
        for outlet in &mut state.outlets {
            unwanted = outlet.take(self.source, (frames, position), (is_selecting, is_log));
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

    /// Returns the position of a consumer in the log of the producer, if the stream is durable and the consumer is one of
    /// these.
    pub(in crate::consumer) fn position_of(&self, core: &Core) -> Option<SourcePosition> {
        let progress = self.progress(core)?;
        let Epoch(log) = self.state().log?;
        Some(SourcePosition {
            peer: self.peer,
            at: LogPosition {
                log: LogId(log),
                position: progress.confirmed(),
            },
        })
    }

    /// The position before which every consumer has taken every record.
    pub(in crate::consumer) fn confirmed(&self) -> u64 {
        self.state().confirmed()
    }

    /// The position before which this node accounts for every record, when it closes the connection. `drains` is true
    /// if received records will still be taken. From a log, other records are read again.
    pub(in crate::consumer) fn accounted(&self, drains: bool) -> u64 {
        let state = self.state();
        if state.log.is_none() || drains {
            state.position
        } else if state.outlets.is_empty() {
            state.left_at.unwrap_or(state.position)
        } else {
            state.confirmed()
        }
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
