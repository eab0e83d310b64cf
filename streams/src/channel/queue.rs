//! [`Queue`]: batches between two tasks, bounded by records and bytes. Writers wait for room, the reader waits for
//! records, and small batches are merged in the queue. No I/O.

use std::{
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

mod bypass;
mod next;
mod state;

pub(crate) use next::Next;
use state::{JOINED_MAX, State};

use crate::frames::{Frames, FramesBuilder};

/// Identifies a writer of a queue.
pub(crate) type Source = u64;

/// A number that travels between two records.
pub(crate) type Mark = u64;

/// What a queue holds.
#[derive(Debug)]
pub(crate) enum Item {
    Batch(Source, Frames),
    Mark(Mark),
}

/// The queue accepts nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// The reason for which a single record was not queued.
#[derive(Debug)]
pub(crate) enum PutError<E> {
    Closed,
    Full,
    TooLarge,
    Write(E),
}

/// A bounded queue of batches. Any number of writers, one reader.
///
/// Holds at most `max_count` records and `max_bytes` bytes (headers included), but accepts any record while it is
/// empty.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    room: Notify,
}

/// The entire contents of a queue, for one write to a socket.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    pub(crate) batches: Vec<Bytes>,
    pub(crate) count: usize,
    pub(crate) payload_len: usize,
}

impl Chunks {
    pub(crate) fn push(&mut self, frames: Frames) {
        self.count += frames.count();
        self.payload_len += frames.payload_len();
        self.batches.push(frames.into_wire());
    }
}

impl Queue {
    pub(crate) fn new(max_count: usize, max_bytes: usize) -> Self {
        let state = State {
            max_count: max_count.max(1),
            max_bytes: max_bytes.max(1),
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            room: Notify::new(),
        }
    }

    /// Sets the bounds. Queued records stay, even if they exceed them.
    pub(crate) fn set_bounds(&self, max_count: usize, max_bytes: usize) {
        let mut state = self.state();
        state.max_count = max_count.max(1);
        state.max_bytes = max_bytes.max(1);
        drop(state);
        self.room.notify_waiters();
    }

    /// Returns the maximum numbers of records and bytes.
    pub(crate) fn bounds(&self) -> (usize, usize) {
        let state = self.state();
        (state.max_count, state.max_bytes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves as many records as fit from the front of `frames`.
    pub(crate) fn put(&self, source: Source, frames: &mut Frames) -> Result<(), Closed> {
        let mut state = self.state();
        if state.closed {
            return Err(Closed);
        }
        let there = state.pass(frames, false);
        let before = state.count;
        state.fill(source, frames);
        let reader = if state.count > before {
            state.reader.take()
        } else {
            None
        };
        drop(state);
        wake(there);
        wake(reader);
        Ok(())
    }

    /// Queues all of `frames` or nothing. Returns false if there is no room.
    pub(crate) fn put_whole(&self, source: Source, frames: &Frames) -> Result<bool, Closed> {
        let mut state = self.state();
        if state.closed {
            return Err(Closed);
        }
        if !state.fits_all(frames) && state.count + state.reserved > 0 {
            return Ok(false);
        }
        let mut frames = frames.clone();
        let mut reader = state.pass(&mut frames, true);
        if !frames.is_empty() {
            state.append(source, frames);
            reader = state.reader.take();
        }
        drop(state);
        wake(reader);
        Ok(true)
    }

    /// Writes one record of at most `max_len` bytes in place, into room that is `reserved` or available now.
    ///
    /// If the room was reserved, also reserves room for the caller's next record, unless more than half of the queue is
    /// taken. Consecutive sends then need not reserve again, and idle handles cannot occupy the whole queue. Returns
    /// true if it reserved.
    pub(crate) fn put_datum<E>(
        &self,
        reserved: bool,
        max_len: usize,
        write: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<bool, PutError<E>> {
        let mut state = self.state();
        if reserved {
            state.reserved -= 1;
        }
        if state.closed {
            return Err(PutError::Closed);
        }
        if !reserved && !state.fits(0) {
            return Err(PutError::Full);
        }
        state.write(max_len, write)?;
        let again =
            reserved && state.count + state.reserved < state.max_count / 2 && state.reserve();
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(again)
    }

    /// Waits for room for a record of this length. Cancel safe.
    pub(crate) async fn room_for(&self, len: usize) -> Result<(), Closed> {
        self.wait_until(|state| state.fits(len)).await
    }

    /// Waits for room for one record and reserves it for the caller, which must use it or [`release`](Self::release)
    /// it. Cancel safe.
    pub(crate) async fn reserve(&self) -> Result<(), Closed> {
        self.wait_until(State::reserve).await
    }

    /// Like [`reserve`](Self::reserve), without waiting. Returns false if there is no room.
    pub(crate) fn try_reserve(&self) -> bool {
        let mut state = self.state();
        !state.closed && state.reserve()
    }

    pub(crate) fn release(&self) {
        self.state().reserved -= 1;
        self.room.notify_waiters();
    }

    async fn wait_until(&self, mut met: impl FnMut(&mut State) -> bool) -> Result<(), Closed> {
        loop {
            let mut changed = std::pin::pin!(self.room.notified());
            changed.as_mut().enable();
            {
                let mut state = self.state();
                if state.closed {
                    return Err(Closed);
                }
                if met(&mut state) {
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    /// Puts a mark behind all queued records. A mark takes no room. A closed queue refuses it.
    pub(crate) fn put_mark(&self, mark: Mark) -> Result<(), Closed> {
        let mut state = self.state();
        if state.closed {
            return Err(Closed);
        }
        state.put_mark(mark);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        Ok(())
    }

    /// Takes the next mark, or the next batch, which ends before a mark. `None` if the queue is closed and empty.
    pub(crate) fn poll_take_item(
        &self,
        cx: &mut Context<'_>,
        max_count: usize,
    ) -> Poll<Option<Item>> {
        self.poll_with(cx, |state| state.take_item(max_count))
    }

    pub(crate) fn try_take_item(&self, max_count: usize) -> Option<Item> {
        let taken = self.state().take_item(max_count);
        self.room.notify_waiters();
        taken
    }

    /// Takes what `take` returns, or waits for more. `None` if the queue is closed and empty.
    #[inline]
    fn poll_with<T>(
        &self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut State) -> Option<T>,
    ) -> Poll<Option<T>> {
        let mut state = self.state();
        let taken = take(&mut state);
        if taken.is_none() && !state.closed {
            state.wait(cx);
            return Poll::Pending;
        }
        drop(state);
        self.room.notify_waiters();
        Poll::Ready(taken)
    }

    /// Takes a mark that is before the first record.
    pub(crate) fn take_due_mark(&self) -> Option<Mark> {
        self.state().take_due_mark()
    }

    /// Waits until a mark is before the first record. Cancel safe.
    pub(crate) async fn mark_due(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.is_mark_due() {
                return Poll::Ready(());
            }
            state.wait(cx);
            Poll::Pending
        })
        .await;
    }

    /// Takes the next batch, from one source and of at most `max_count` records, and discards the marks before it.
    /// `None` if the queue is closed and empty.
    pub(crate) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        max_count: usize,
    ) -> Poll<Option<(Source, Frames)>> {
        self.poll_with(cx, |state| state.take(max_count))
    }

    pub(crate) fn try_take(&self, max_count: usize) -> Option<(Source, Frames)> {
        let taken = self.state().take(max_count);
        self.room.notify_waiters();
        taken
    }

    /// Waits until the queue holds records or marks (true), or is closed and empty (false). Cancel safe.
    pub(crate) async fn filled(&self) -> bool {
        poll_fn(|cx| {
            let mut state = self.state();
            let is_empty = state.count == 0 && state.marks.is_empty();
            if is_empty && !state.closed {
                state.wait(cx);
                return Poll::Pending;
            }
            Poll::Ready(!is_empty)
        })
        .await
    }

    /// Waits until the queue holds a full merged batch, or half of its capacity, or is closed. Cancel safe.
    pub(crate) async fn worth_taking(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            let enough = state.bytes >= JOINED_MAX.min(state.max_bytes / 2)
                || state.count + state.reserved > state.max_count / 2;
            if !enough && !state.closed {
                state.wait(cx);
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Waits for records and takes all of them; `None` if the queue is closed and empty. Cancel safe.
    pub(crate) async fn take_all(&self) -> Option<Chunks> {
        if !self.filled().await {
            return None;
        }
        Some(self.take_now(|_| {}))
    }

    /// Takes all records, and passes each batch to `keep`.
    pub(crate) fn take_now(&self, mut keep: impl FnMut(&Frames)) -> Chunks {
        let mut all = Chunks::default();
        let mut state = self.state();
        while let Some((_, frames)) = state.take(usize::MAX) {
            keep(&frames);
            all.push(frames);
        }
        drop(state);
        self.room.notify_waiters();
        all
    }

    /// Accepts no more records. Queued ones can still be taken.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let reader = state.reader.take();
        drop(state);
        wake(reader);
        self.room.notify_waiters();
    }

    /// Closes and empties the queue. Returns the number of discarded records.
    pub(crate) fn abandon(&self) -> usize {
        self.close();
        let mut state = self.state();
        let left = std::mem::take(&mut state.count);
        state.batches.clear();
        state.joining = FramesBuilder::new();
        state.bytes = 0;
        state.taken = state.put;
        state.marks.clear();
        drop(state);
        self.room.notify_waiters();
        left
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Returns the number of records ever queued, and their bytes without headers.
    pub(crate) fn put_so_far(&self) -> (u64, u64) {
        let state = self.state();
        (state.put, state.put_len)
    }

    /// Waits until `count` records in total have been taken, by any task. Cancel safe.
    pub(crate) async fn taken(&self, count: u64) {
        loop {
            let mut changed = std::pin::pin!(self.room.notified());
            changed.as_mut().enable();
            if self.state().taken >= count {
                return;
            }
            changed.await;
        }
    }

    /// Returns the number of queued records, and their bytes with headers.
    pub(crate) fn held(&self) -> (usize, usize) {
        let state = self.state();
        (state.count, state.bytes)
    }
}

fn wake(reader: Option<Waker>) {
    reader.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests;
