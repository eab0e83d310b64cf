//! [`Shared`]: what the writer of a log, its readers and its handles share.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use mosaik_log::{Disk, Gap, View};
use tokio::sync::watch;

use super::readers::Readers;
use crate::Frames;

/// The maximum number of bytes that are kept in memory for readers that keep up: 16 MiB.
const RECENT_MAX: usize = 16 * 1024 * 1024;
/// The number of bytes that a reader takes at once, unless a batch is longer: 1 MiB.
const TAKE_MAX: usize = 1024 * 1024;
/// The maximum number of remembered gaps and marks.
const REMEMBERED_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) view: View,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) readers: Readers,
    /// Set when the last handle is dropped: the writer no longer waits for room.
    pub(super) is_closing: AtomicBool,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The newest batches with their positions.
    recent: VecDeque<(u64, Frames)>,
    recent_bytes: usize,
    /// The position before which every record is durable.
    pub(super) synced: u64,
    /// The position before which every record is committed; `None` if readers do not wait for that.
    pub(super) committed: Option<u64>,
    /// True once the stream has ended for good.
    pub(super) is_finished: bool,
    /// True while the disk has no room.
    pub(super) is_full: bool,
    pub(super) failure: Option<String>,
    /// The number of records that retention, or a full disk, has removed.
    pub(super) expired: u64,
    /// The number of records that were accepted and not written before the log was closed.
    pub(super) unwritten: u64,
    /// The last marks with their positions, by their number in the log.
    pub(super) marks: BTreeMap<u64, (u64, u64)>,
    /// The number of the next mark.
    next_mark: u64,
    /// Damage that a reader has found.
    gaps: VecDeque<Gap>,
}

/// What a reader finds at its position.
#[derive(Debug)]
pub(super) enum Look {
    /// These batches.
    Recent(Vec<Frames>),
    /// Records before this limit, in the files.
    Files(u64),
    /// Nothing yet.
    Nothing,
    /// Nothing, and nothing will follow.
    End,
}

impl State {
    /// `committed` is set if readers wait for commits.
    pub(super) fn new(synced: u64, committed: Option<u64>) -> Self {
        Self {
            synced,
            committed,
            ..Self::default()
        }
    }

    pub(super) fn visible(&self) -> u64 {
        self.committed
            .map_or(self.synced, |committed| committed.min(self.synced))
    }

    fn recent_at(&self, position: u64, limit: u64) -> Vec<Frames> {
        let after = self.recent.partition_point(|(start, _)| *start <= position);
        let Some(first) = after.checked_sub(1) else {
            return Vec::new();
        };
        let (mut batches, mut bytes, mut next) = (Vec::new(), 0, position);
        for (start, frames) in self.recent.range(first..) {
            if next >= limit || bytes >= TAKE_MAX {
                break;
            }
            let mut frames = frames.clone();
            let before = usize::try_from(next - start).unwrap_or(usize::MAX);
            frames.split_front(before, usize::MAX);
            let room = usize::try_from(limit - next).unwrap_or(usize::MAX);
            let wanted = frames.split_front(room, usize::MAX);
            if wanted.is_empty() {
                break;
            }
            next += wanted.count() as u64;
            bytes += wanted.wire_len();
            batches.push(wanted);
        }
        batches
    }
}

impl Shared {
    pub(super) fn new(disk: Arc<dyn Disk>, view: View, readers: Readers, state: State) -> Self {
        Self {
            view,
            disk,
            readers,
            is_closing: AtomicBool::new(false),
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes readers and handles.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.send_replace(());
    }

    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Waits until `look` returns something of the state. Cancel safe.
    pub(super) async fn when<T>(&self, mut look: impl FnMut(&State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(found) = look(&self.state()) {
                return found;
            }
            // The sender is part of `self`.
            let _ = changed.changed().await;
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Keeps an appended batch in memory, in place of the oldest ones.
    pub(super) fn keep(&self, position: u64, frames: Frames) {
        let mut state = self.state();
        state.recent_bytes += frames.wire_len();
        state.recent.push_back((position, frames));
        while state.recent_bytes > RECENT_MAX
            && let Some((_, oldest)) = state.recent.pop_front()
        {
            state.recent_bytes -= oldest.wire_len();
        }
    }

    pub(super) fn note_mark(&self, mark: u64, position: u64) {
        self.change(|state| {
            state.marks.insert(state.next_mark, (mark, position));
            state.next_mark += 1;
            while state.marks.len() > REMEMBERED_MAX {
                state.marks.pop_first();
            }
        });
    }

    pub(super) fn note_gap(&self, gap: Gap) {
        let mut state = self.state();
        if state.gaps.len() >= REMEMBERED_MAX {
            state.gaps.pop_front();
        }
        state.gaps.push_back(gap);
    }

    /// Returns the first position from this one on at which the log is known to have a record, or its end.
    pub(super) fn next_readable(&self, position: u64) -> u64 {
        let position = position.max(self.view.start());
        let state = self.state();
        let inside = |gap: &&Gap| gap.from <= position && position < gap.to;
        state
            .gaps
            .iter()
            .find(inside)
            .map_or(position, |gap| gap.to)
    }

    pub(super) fn look(&self, position: u64) -> Look {
        let state = self.state();
        let limit = state.visible();
        if position < limit {
            let recent = state.recent_at(position, limit);
            return if recent.is_empty() {
                Look::Files(limit)
            } else {
                Look::Recent(recent)
            };
        }
        let is_last = position >= state.synced;
        if (state.is_finished && is_last) || state.failure.is_some() {
            Look::End
        } else {
            Look::Nothing
        }
    }
}
