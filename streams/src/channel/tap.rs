//! [`Tap`]: observes the records of a producer or consumer without slowing it down.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    filter::{Filter, Lookup},
    queue::Queue,
    status::Counter,
};
use crate::{Criteria, Frames, criteria::NotSelectable};

/// The capacity of a tap in records: 4096. While it is full, further records are missed.
pub const TAP_RECORDS_MAX: usize = 4096;
/// The capacity of a tap in bytes, headers included: 4 MiB.
pub const TAP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A copy of the records that a producer hands out or a consumer takes. Records are missed if it is not read fast
/// enough. Dropping it ends the observation.
#[derive(Debug)]
pub struct Tap(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    filter: Filter,
    queue: Queue,
    missed: Counter,
}

impl Tap {
    /// Waits for records and returns a batch of 1 to `max_count` of them. Returns `None` when the observed producer or
    /// consumer has ended. Cancel safe.
    pub async fn recv_frames(&mut self, max_count: usize) -> Option<Frames> {
        let taken = poll_fn(|cx| self.0.queue.poll_take(cx, max_count.max(1))).await;
        taken.map(|(_, frames)| frames)
    }

    /// Returns the number of records missed while the tap was full.
    pub fn missed(&self) -> u64 {
        self.0.missed.get()
    }
}

/// The taps of a producer or consumer. Without any, an offer costs one atomic load.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    count: AtomicUsize,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    taps: Vec<Weak<Inner>>,
    closed: bool,
}

impl Taps {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a tap for records that match these criteria.
    pub(crate) fn add(&self, lookup: &Lookup, criteria: &Criteria) -> Result<Tap, NotSelectable> {
        let inner = Arc::new(Inner {
            filter: lookup.filter(criteria)?,
            queue: Queue::new(TAP_RECORDS_MAX, TAP_BYTES_MAX),
            missed: Counter::default(),
        });
        let mut list = self.lock();
        if list.closed {
            inner.queue.close();
        }
        list.taps.push(Arc::downgrade(&inner));
        self.count.store(list.taps.len(), Ordering::Relaxed);
        Ok(Tap(inner))
    }

    /// Returns true if there is no tap.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Copies a batch to the taps.
    pub(crate) fn offer(&self, batch: &Frames) {
        if self.is_empty() {
            return;
        }
        let mut list = self.lock();
        list.taps.retain(|tap| {
            let Some(tap) = tap.upgrade() else {
                return false;
            };
            let (mut wanted, _) = tap.filter.apply(batch);
            // It is closed only when the taps are.
            let _ = tap.queue.put(0, &mut wanted);
            tap.missed.add(wanted.count());
            true
        });
        self.count.store(list.taps.len(), Ordering::Relaxed);
    }

    /// Ends all taps.
    pub(crate) fn close(&self) {
        let mut list = self.lock();
        list.closed = true;
        for tap in &list.taps {
            if let Some(tap) = tap.upgrade() {
                tap.queue.close();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::Encoding;

    fn all_of(taps: &Taps) -> Tap {
        let lookup = Lookup::Encoding(Encoding::default());
        taps.add(&lookup, &Criteria::default()).unwrap()
    }

    #[test]
    fn what_nobody_fetches_is_missed_and_holds_nothing_up() {
        let taps = Taps::default();
        taps.offer(&Frames::single(b"before"));
        let mut tap = all_of(&taps);
        let batch: Frames = std::iter::repeat_n(b"datum", TAP_RECORDS_MAX + 10).collect();
        taps.offer(&batch);
        assert_eq!(tap.missed(), 10);
        let seen = tap.recv_frames(usize::MAX).now_or_never().flatten();
        assert_eq!(seen.map(|seen| seen.count()), Some(TAP_RECORDS_MAX));
        taps.offer(&Frames::single(b"after"));
        taps.close();
        let last = tap.recv_frames(usize::MAX).now_or_never().flatten();
        assert_eq!(last.map(|last| last.count()), Some(1));
        assert!(matches!(tap.recv_frames(1).now_or_never(), Some(None)));
        let mut late = all_of(&taps);
        assert!(matches!(late.recv_frames(1).now_or_never(), Some(None)));
    }

    #[test]
    fn a_closed_tap_is_removed() {
        let taps = Taps::default();
        let (one, two) = (all_of(&taps), all_of(&taps));
        drop(one);
        taps.offer(&Frames::single(b"datum"));
        assert_eq!(taps.count.load(Ordering::Relaxed), 1);
        drop(two);
        taps.offer(&Frames::single(b"datum"));
        assert_eq!(taps.count.load(Ordering::Relaxed), 0);
    }
}
