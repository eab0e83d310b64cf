//! [`Progress`]: the position up to which one consumer has taken the records of one producer. No I/O.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// The maximum number of taken bytes after which a confirmation is due.
const CONFIRM_BYTES_MAX: u64 = 1024 * 1024;
/// A confirmation is due after 1/`CONFIRM_PART` of the bytes that the producer retains, so that the producer does not
/// run out of space while it waits.
const CONFIRM_PART: u64 = 4;

/// Signals that a confirmation is due early.
#[derive(Debug)]
pub(in crate::consumer) struct Signal {
    due: Notify,
    /// The number of bytes after which a confirmation is due.
    due_bytes: AtomicU64,
    /// True if all received records are confirmed.
    is_idle: AtomicBool,
}

impl Default for Signal {
    fn default() -> Self {
        Self {
            due: Notify::new(),
            due_bytes: AtomicU64::new(CONFIRM_BYTES_MAX),
            is_idle: AtomicBool::new(false),
        }
    }
}

impl Signal {
    /// Sets the maximum number of unconfirmed bytes that the producer retains.
    pub(in crate::consumer) fn set_kept_bytes(&self, bytes: u64) {
        let due = (bytes / CONFIRM_PART).clamp(1, CONFIRM_BYTES_MAX);
        self.due_bytes.store(due, Ordering::Relaxed);
    }

    /// Notes that records were received. A confirmation is due if all earlier ones were confirmed.
    pub(in crate::consumer) fn received(&self) {
        if self.is_idle.swap(false, Ordering::AcqRel) {
            self.due.notify_one();
        }
    }

    /// Sets whether the next record makes a confirmation due.
    pub(in crate::consumer) fn set_idle(&self, is_idle: bool) {
        self.is_idle.store(is_idle, Ordering::Release);
    }

    /// Resolves when a confirmation is due. Cancel safe.
    pub(in crate::consumer) async fn due(&self) {
        self.due.notified().await;
    }
}

/// Counts the records that one consumer received from one remote producer, and those that the application has taken,
/// over all connections.
///
/// A record that was received and filtered out counts as taken when all records before it are.
#[derive(Debug, Default)]
pub(in crate::consumer) struct Progress {
    /// Records that the application has taken or will never be given.
    taken: AtomicU64,
    taken_bytes: AtomicU64,
    received: Mutex<Received>,
    signal: Arc<Signal>,
}

#[derive(Debug, Default)]
struct Received {
    /// Records handed to the queue, over all incarnations of the producer.
    queued: u64,
    /// The producer's position after the last received record.
    position: u64,
    /// `(taken, position)`: once `taken` records are taken, every record before `position` is.
    base: (u64, u64),
    /// The received records after `base`, in order.
    segments: VecDeque<Segment>,
}

/// A run of received records.
#[derive(Debug, Clone, Copy)]
struct Segment {
    /// Like [`Received::base`], at the end of the run.
    end: (u64, u64),
    /// True if every record of the run was queued.
    is_whole: bool,
}

impl Progress {
    /// `signal` is shared by all consumers of the producer.
    pub(in crate::consumer) fn new(signal: Arc<Signal>) -> Self {
        Self {
            signal,
            ..Self::default()
        }
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a connection at this position of the producer.
    pub(in crate::consumer) fn begin(&self, position: u64) {
        let mut received = self.received();
        if received.position != position || received.queued == 0 {
            received.base = (received.queued, position);
            received.position = position;
            received.segments.clear();
        }
    }

    /// Counts `count` received records, of which `queued` were queued.
    pub(in crate::consumer) fn add(&self, count: usize, queued: usize) {
        if count == 0 {
            return;
        }
        let mut received = self.received();
        received.queued += queued as u64;
        received.position += count as u64;
        let end = (received.queued, received.position);
        let is_whole = count == queued;
        match received.segments.back_mut() {
            Some(last) if last.is_whole && is_whole => last.end = end,
            _ => received.segments.push_back(Segment { end, is_whole }),
        }
    }

    /// Counts records that the application has taken.
    #[inline]
    pub(in crate::consumer) fn take(&self, count: u64, bytes: u64) {
        self.taken.fetch_add(count, Ordering::Release);
        let before = self.taken_bytes.fetch_add(bytes, Ordering::Relaxed);
        let due = self.signal.due_bytes.load(Ordering::Relaxed);
        if before / due != (before + bytes) / due {
            self.signal.due.notify_one();
        }
    }

    /// Counts the records that were queued last as taken, because the application will not be given them.
    pub(in crate::consumer) fn abandon(&self, count: usize) {
        self.taken.fetch_add(count as u64, Ordering::Release);
    }

    /// Returns the position before which every record is taken.
    pub(in crate::consumer) fn confirmed(&self) -> u64 {
        let taken = self.taken.load(Ordering::Acquire);
        let mut received = self.received();
        while let Some(first) = received
            .segments
            .front()
            .filter(|first| first.end.0 <= taken)
        {
            received.base = first.end;
            received.segments.pop_front();
        }
        let (queued, position) = received.base;
        match received.segments.front() {
            Some(first) if first.is_whole => position + taken.saturating_sub(queued),
            _ => position,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_confirmation_is_due_before_a_producer_keeps_all_that_it_may() {
        for (kept, due) in [(4000, 1000), (1 << 30, CONFIRM_BYTES_MAX), (0, 1)] {
            let signal = Arc::new(Signal::default());
            signal.set_kept_bytes(kept);
            let progress = Progress::new(signal.clone());
            progress.take(1, due - 1);
            assert!(signal.due().now_or_never().is_none(), "{kept}");
            progress.take(1, 1);
            assert!(signal.due().now_or_never().is_some(), "{kept}");
        }
    }

    #[test]
    fn what_is_not_wanted_is_confirmed_with_what_is_before_it() {
        let progress = Progress::default();
        progress.begin(100);
        assert_eq!(progress.confirmed(), 100);
        progress.add(10, 10);
        progress.add(5, 2);
        progress.add(4, 0);
        progress.add(3, 3);
        assert_eq!(progress.confirmed(), 100);
        progress.take(4, 0);
        assert_eq!(progress.confirmed(), 104);
        progress.take(6, 0);
        assert_eq!(progress.confirmed(), 110);
        progress.take(1, 0);
        assert_eq!(
            progress.confirmed(),
            110,
            "which of the five it was is not known"
        );
        progress.take(1, 0);
        assert_eq!(progress.confirmed(), 119);
        progress.take(3, 0);
        assert_eq!(progress.confirmed(), 122);
    }

    #[test]
    fn a_connection_that_goes_on_keeps_count_and_another_life_counts_from_its_beginning() {
        let progress = Progress::default();
        progress.begin(7);
        progress.add(10, 10);
        progress.take(4, 0);
        progress.begin(17);
        assert_eq!(progress.confirmed(), 11);
        progress.begin(0);
        progress.add(5, 5);
        progress.take(6, 0);
        assert_eq!(
            progress.confirmed(),
            0,
            "the first ones are of the life before"
        );
        progress.take(2, 0);
        assert_eq!(progress.confirmed(), 2);
        progress.abandon(3);
        assert_eq!(progress.confirmed(), 5);
    }

    proptest! {
        #[test]
        fn it_never_confirms_more_than_is_taken(
            steps in prop::collection::vec((0usize..20, 0usize..20, 0u64..30), 1..60),
        ) {
            let progress = Progress::default();
            progress.begin(0);
            // For each received record, the number of records queued up to it.
            let (mut queued_at, mut queued, mut taken) = (Vec::new(), 0, 0);
            for (count, wanted, take) in steps {
                let wanted = wanted.min(count);
                progress.add(count, wanted);
                for index in 0..count {
                    // The selected records come last, which is the worst case.
                    queued += u64::from(index >= count - wanted);
                    queued_at.push(queued);
                }
                let take = take.min(queued - taken);
                progress.take(take, 0);
                taken += take;
                let confirmed = usize::try_from(progress.confirmed()).unwrap();
                prop_assert!(confirmed == 0 || queued_at[confirmed - 1] <= taken);
            }
            progress.take(queued - taken, 0);
            prop_assert_eq!(progress.confirmed(), queued_at.len() as u64);
        }
    }
}
