//! [`Retained`]: the sent and unconfirmed records of one subscription, kept for sending them again. No I/O.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    Frames,
    channel::{
        protocol::Kept,
        queue::{Chunks, Queue},
    },
};

/// The records sent over successive connections of one subscription.
///
/// A position counts the records of the subscription. It starts at the producer's own record count at the time of
/// subscribing, so that a later subscription never starts before the end of an earlier one.
///
/// Holds at most `max_bytes` plus one full queue.
#[derive(Debug)]
pub(super) struct Retained {
    state: Mutex<State>,
    max_bytes: usize,
    room: Notify,
}

#[derive(Debug)]
struct State {
    batches: VecDeque<Frames>,
    bytes: usize,
    /// The position of the first record in `batches`.
    start: u64,
    /// Every record before it is taken. It lies within the first batch, or at its end.
    confirmed: u64,
    /// The position of the record that the connection sends next.
    cursor: u64,
    /// The position after the last record in `batches`.
    end: u64,
    /// The connection that sends and confirms; `None` while the subscriber is disconnected.
    connection: Option<u64>,
}

/// The starting point of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begin {
    /// The position of its first record.
    pub(super) position: u64,
    /// The number of records that are sent again.
    pub(super) again: u64,
}

/// The next action of a connection.
#[derive(Debug)]
pub(super) enum Next {
    /// Send these records. The flag is true if they were never sent before.
    Records(Chunks, bool),
    /// Wait until records are confirmed.
    Full,
    /// Wait until the queue contains records.
    Empty,
    /// Stop: another connection has replaced this one.
    Replaced,
}

/// A consumer confirmed records that were not sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotSent;

impl Retained {
    pub(super) fn new(position: u64, max_bytes: usize) -> Self {
        let state = State {
            batches: VecDeque::new(),
            bytes: 0,
            start: position,
            confirmed: position,
            cursor: position,
            end: position,
            connection: None,
        };
        Self {
            state: Mutex::new(state),
            max_bytes: max_bytes.max(1),
            room: Notify::new(),
        }
    }

    /// Returns the announcement for a connection whose first `records` were retained.
    pub(super) const fn kept(&self, records: u64) -> Kept {
        Kept {
            records,
            max_bytes: self.max_bytes as u64,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes this the sending connection. It starts at `received`, or at the confirmed position if that is unknown.
    pub(super) fn attach(&self, connection: u64, received: Option<u64>) -> Begin {
        let mut state = self.state();
        state.connection = Some(connection);
        state.cursor = received
            .unwrap_or(state.confirmed)
            .clamp(state.confirmed, state.end);
        Begin {
            position: state.cursor,
            again: state.end - state.cursor,
        }
    }

    /// Notes that a connection is over. Returns false if another one has replaced it.
    pub(super) fn detach(&self, connection: u64) -> bool {
        let mut state = self.state();
        let is_current = state.connection == Some(connection);
        if is_current {
            state.connection = None;
        }
        is_current
    }

    /// Returns the records to send next: first the ones to send again, then everything in the queue, which is retained
    /// from then on.
    pub(super) fn next(&self, connection: u64, queue: &Queue) -> Next {
        let mut state = self.state();
        if state.connection != Some(connection) {
            return Next::Replaced;
        }
        if state.cursor < state.end {
            return Next::Records(state.rest(), false);
        }
        if state.bytes >= self.max_bytes {
            return Next::Full;
        }
        let chunks = queue.take_now(|frames| state.keep(frames));
        state.cursor = state.end;
        if chunks.count == 0 {
            Next::Empty
        } else {
            Next::Records(chunks, true)
        }
    }

    /// Marks every record before `position` as taken. Confirmations of an earlier connection are ignored.
    pub(super) fn confirm(&self, connection: u64, position: u64) -> Result<(), NotSent> {
        let mut state = self.state();
        if state.connection != Some(connection) {
            return Ok(());
        }
        if position > state.cursor {
            return Err(NotSent);
        }
        let was_full = state.bytes >= self.max_bytes;
        state.confirm(position);
        let is_full = state.bytes >= self.max_bytes;
        drop(state);
        if was_full && !is_full {
            self.room.notify_waiters();
        }
        Ok(())
    }

    /// Waits until more may be sent. Cancel safe.
    pub(super) async fn has_room(&self) {
        loop {
            let mut changed = std::pin::pin!(self.room.notified());
            changed.as_mut().enable();
            if self.state().bytes < self.max_bytes {
                return;
            }
            changed.await;
        }
    }

    /// The number of sent and unconfirmed records.
    #[cfg(test)]
    pub(super) fn unconfirmed(&self) -> u64 {
        let state = self.state();
        state.end - state.confirmed
    }

    /// Drops all retained records. Returns the number of sent and unconfirmed ones.
    pub(super) fn give_up(&self) -> u64 {
        let mut state = self.state();
        let left = state.end - state.confirmed;
        state.connection = None;
        state.confirm(u64::MAX);
        left
    }
}

impl State {
    fn keep(&mut self, frames: &Frames) {
        self.end += frames.count() as u64;
        self.bytes += frames.wire_len();
        self.batches.push_back(frames.clone());
    }

    fn confirm(&mut self, position: u64) {
        self.confirmed = position.clamp(self.confirmed, self.end);
        self.cursor = self.cursor.max(self.confirmed);
        while let Some(first) = self.batches.front()
            && self.start + first.count() as u64 <= self.confirmed
        {
            self.start += first.count() as u64;
            self.bytes -= first.wire_len();
            self.batches.pop_front();
        }
    }

    /// Returns every record from the cursor on.
    fn rest(&mut self) -> Chunks {
        let mut skipped = usize::try_from(self.cursor - self.start).unwrap_or(usize::MAX);
        let mut chunks = Chunks::default();
        for batch in &self.batches {
            if skipped >= batch.count() {
                skipped -= batch.count();
                continue;
            }
            let mut batch = batch.clone();
            if skipped > 0 {
                batch.split_front(skipped, usize::MAX);
                skipped = 0;
            }
            chunks.push(batch);
        }
        self.cursor = self.end;
        chunks
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbered(range: std::ops::Range<u64>) -> Frames {
        range.map(u64::to_be_bytes).collect()
    }

    fn numbers(chunks: Chunks) -> Vec<u64> {
        let frames = chunks.batches.into_iter().flat_map(|chunk| {
            let frames = Frames::from_wire(chunk, 8).unwrap();
            frames.datums().collect::<Vec<_>>()
        });
        frames
            .map(|datum| u64::from_be_bytes(datum[..].try_into().unwrap()))
            .collect()
    }

    fn records(next: Next) -> Option<(Vec<u64>, bool)> {
        match next {
            Next::Records(chunks, is_new) => Some((numbers(chunks), is_new)),
            _ => None,
        }
    }

    #[test]
    fn what_is_not_confirmed_is_sent_again_from_where_the_consumer_says() {
        let (queue, retained) = (Queue::new(1000, 1 << 20), Retained::new(100, 1 << 20));
        assert_eq!(
            retained.attach(1, None),
            Begin {
                position: 100,
                again: 0
            }
        );
        assert!(matches!(retained.next(1, &queue), Next::Empty));
        queue.put(0, &mut numbered(100..600)).unwrap();
        assert_eq!(
            records(retained.next(1, &queue)).unwrap(),
            ((100..600).collect(), true)
        );
        assert_eq!(retained.confirm(1, 601), Err(NotSent));
        assert_eq!(retained.confirm(1, 130), Ok(()));
        // The same consumer has received more than it has confirmed.
        assert!(retained.detach(1));
        assert_eq!(
            retained.attach(2, Some(150)),
            Begin {
                position: 150,
                again: 450
            }
        );
        queue.put(0, &mut numbered(600..700)).unwrap();
        assert_eq!(
            records(retained.next(2, &queue)).unwrap(),
            ((150..600).collect(), false)
        );
        assert_eq!(
            records(retained.next(2, &queue)).unwrap(),
            ((600..700).collect(), true)
        );
        // Its successor has received nothing.
        assert_eq!(
            retained.attach(3, None),
            Begin {
                position: 130,
                again: 570
            }
        );
        assert!(matches!(retained.next(2, &queue), Next::Replaced));
        assert_eq!(
            (retained.confirm(2, 700), retained.detach(2)),
            (Ok(()), false)
        );
        assert_eq!(retained.unconfirmed(), 570);
        assert_eq!(
            records(retained.next(3, &queue)).unwrap(),
            ((130..700).collect(), false)
        );
        // It cannot confirm records that were not sent on this connection.
        assert_eq!(retained.attach(4, None).position, 130);
        assert_eq!(retained.confirm(4, 131), Err(NotSent));
        assert_eq!((retained.give_up(), retained.unconfirmed()), (570, 0));
        assert_eq!(retained.state().bytes, 0);
    }

    #[test]
    fn nothing_is_sent_beyond_the_bound_before_some_is_confirmed() {
        use futures::FutureExt as _;

        let (queue, retained) = (Queue::new(1000, 1 << 20), Retained::new(0, 12 * 10));
        retained.attach(1, None);
        queue.put(0, &mut numbered(0..10)).unwrap();
        assert!(records(retained.next(1, &queue)).is_some());
        queue.put(0, &mut numbered(10..11)).unwrap();
        assert!(matches!(retained.next(1, &queue), Next::Full));
        assert!(retained.has_room().now_or_never().is_none());
        retained.confirm(1, 10).unwrap();
        assert!(retained.has_room().now_or_never().is_some());
        assert_eq!(records(retained.next(1, &queue)).unwrap(), (vec![10], true));
    }

    proptest! {
        /// Across all connection changes, the received records equal the queued ones, in order.
        #[test]
        fn nothing_is_lost_and_nothing_comes_twice(
            steps in prop::collection::vec((0u8..4, 0u64..300), 1..80), max_bytes in 1usize..5000,
        ) {
            let (queue, retained) = (Queue::new(100_000, 1 << 24), Retained::new(7, max_bytes));
            let (mut put, mut received, mut connection) = (7, 7, 1);
            retained.attach(connection, None);
            for (what, amount) in steps {
                match what {
                    0 => {
                        queue.put(0, &mut numbered(put..put + amount)).unwrap();
                        put += amount;
                    }
                    1 => if let Some((seen, _)) = records(retained.next(connection, &queue)) {
                        // Part of it is received, and the connection then fails unless the part is everything.
                        let arrived = seen.len().min(usize::try_from(amount).unwrap() * 3);
                        prop_assert!(seen[..arrived].iter().copied().eq(received..received + arrived as u64));
                        received += arrived as u64;
                        if arrived < seen.len() {
                            connection += 1;
                            prop_assert_eq!(retained.attach(connection, Some(received)).position, received);
                        }
                    },
                    2 => {
                        let confirmed = received.saturating_sub(amount).max(7);
                        prop_assert_eq!(retained.confirm(connection, confirmed), Ok(()));
                    }
                    _ => {
                        prop_assert!(retained.detach(connection));
                        connection += 1;
                        prop_assert_eq!(retained.attach(connection, Some(received)).position, received);
                    }
                }
            }
            retained.confirm(connection, received).unwrap();
            while let Some((seen, _)) = records(retained.next(connection, &queue)) {
                prop_assert!(seen.iter().copied().eq(received..received + seen.len() as u64));
                received += seen.len() as u64;
                retained.confirm(connection, received).unwrap();
            }
            prop_assert_eq!((received, retained.unconfirmed()), (put, 0));
            prop_assert_eq!(retained.state().bytes, 0);
        }
    }
}
