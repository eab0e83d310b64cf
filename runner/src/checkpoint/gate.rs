//! [`Gate`]: lets a barrier into a stream that several stages of this node write to.
//!
//! Their records go through one queue, so a barrier divides it once for all of them. A writer that has passed its barrier
//! sends nothing more until every other writer has passed its own. When the last writer leaves, a mark says so behind
//! its records: up to there, a reader waits for a barrier.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mosaik_streams::FramesProducer;
use tokio::sync::watch;

use super::StageId;

/// Set in the marks behind the records of a last writer. The rest is the number of times that a last writer has left.
const LEFT: u64 = 1 << 63;

/// The place at which the writers of one stream wait for each other.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
    /// The last barrier that is in the stream.
    passed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    writers: BTreeSet<u64>,
    /// The barrier that the writers in `arrived` have passed.
    number: u64,
    arrived: BTreeSet<u64>,
    /// The number of times that the last writer has left.
    left: u64,
    /// How many of these each reader has seen.
    seen: BTreeMap<StageId, u64>,
}

/// A mark that a reader has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Barrier(u64),
    /// The last writer has left, so many times.
    Left(u64),
}

impl Mark {
    pub(super) const fn of(number: u64) -> Self {
        if number & LEFT == 0 {
            Self::Barrier(number)
        } else {
            Self::Left(number & !LEFT)
        }
    }
}

/// A writer of a stream. It leaves the gate when it is dropped.
#[derive(Debug)]
pub struct Writer {
    gate: Arc<Gate>,
    id: u64,
    output: FramesProducer,
    /// The last barrier that this writer has passed.
    arrived: u64,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            passed: watch::Sender::new(0),
        }
    }
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a writer that sends through `output`.
    pub fn join(self: &Arc<Self>, output: FramesProducer) -> Writer {
        let mut state = self.state();
        let id = state.next_id;
        state.next_id += 1;
        state.writers.insert(id);
        drop(state);
        Writer {
            gate: Arc::clone(self),
            id,
            output,
            arrived: 0,
        }
    }

    /// Notes a reader. One that is new has nothing to read from the writers before.
    pub(super) fn read_by(&self, reader: StageId, is_new: bool) {
        let mut state = self.state();
        let left = state.left;
        let seen = state.seen.entry(reader).or_insert(left);
        if is_new {
            *seen = left;
        }
    }

    /// Notes that a reader has received the mark of a last writer.
    pub(super) fn saw_left(&self, reader: &StageId, left: u64) {
        if let Some(seen) = self.state().seen.get_mut(reader) {
            *seen = left.max(*seen);
        }
    }

    /// Returns true if the reader has to wait for a barrier: there are writers, or records of a writer that has left.
    pub(super) fn brings_barriers(&self, reader: &StageId) -> bool {
        let state = self.state();
        let seen = state.seen.get(reader).copied().unwrap_or(state.left);
        !state.writers.is_empty() || seen < state.left
    }

    /// Puts the barrier into the stream if every writer has passed it.
    fn let_in(&self, state: &mut State, output: &FramesProducer) {
        let is_complete = !state.arrived.is_empty() && state.arrived == state.writers;
        if is_complete {
            // If the stream has ended, no reader waits for a barrier.
            let _ = output.put_mark(state.number);
            state.arrived.clear();
            self.passed.send_replace(state.number);
        }
    }
}

impl Writer {
    /// Passes a barrier: everything that this writer sends from now on belongs behind it. Does nothing if another writer
    /// has passed a later barrier, because this one is over then.
    pub fn pass(&mut self, number: u64) {
        let mut state = self.gate.state();
        if number < state.number {
            return;
        }
        self.arrived = number;
        if state.number != number {
            state.number = number;
            state.arrived.clear();
        }
        state.arrived.insert(self.id);
        self.gate.let_in(&mut state, &self.output);
    }

    /// Returns true if this writer may send: every other one has passed its last barrier too, or the barrier is given
    /// up.
    pub fn is_open(&self, over: u64) -> bool {
        self.arrived <= over.max(*self.gate.passed.borrow())
    }

    /// Waits until this writer may send. Cancel safe.
    pub async fn opens(&self, over: &mut watch::Receiver<u64>) {
        let mut passed = self.gate.passed.subscribe();
        let arrived = self.arrived;
        tokio::select! {
            // Triggered when every writer has passed the barrier. The gate owns the sender.
            _ = passed.wait_for(|passed| *passed >= arrived) => {}
            // Triggered when the checkpoint is over, or there are none any more.
            _ = over.wait_for(|over| *over >= arrived) => {}
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.writers.remove(&self.id);
        state.arrived.remove(&self.id);
        self.gate.let_in(&mut state, &self.output);
        if state.writers.is_empty() {
            state.left += 1;
            // If the stream has ended, its readers see that.
            let _ = self.output.put_mark(LEFT | state.left);
        }
    }
}
