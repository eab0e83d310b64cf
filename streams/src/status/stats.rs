//! Counters of one channel.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: usize) {
        self.0.fetch_add(amount as u64, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What has gone over one channel so far. Clones show the same, live.
#[derive(Debug, Clone)]
pub struct Stats(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    datums: Counter,
    bytes: Counter,
    dropped: Counter,
    filtered: Counter,
    since: Instant,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            datums: Counter::default(),
            bytes: Counter::default(),
            dropped: Counter::default(),
            filtered: Counter::default(),
            since: Instant::now(),
        }))
    }

    pub(crate) fn moved(&self, datums: usize, bytes: usize) {
        self.0.datums.add(datums);
        self.0.bytes.add(bytes);
    }

    pub(crate) fn dropped_more(&self, datums: usize) {
        self.0.dropped.add(datums);
    }

    pub(crate) fn filtered_more(&self, datums: usize) {
        self.0.filtered.add(datums);
    }

    /// Datums sent or received.
    pub fn datums(&self) -> u64 {
        self.0.datums.get()
    }

    /// Bytes of these datums, without their 4-byte headers.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.get()
    }

    /// Datums that were meant for the channel and did not make it.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.get()
    }

    /// Datums that the subscriber's criteria do not want.
    pub fn filtered(&self) -> u64 {
        self.0.filtered.get()
    }

    /// Time since the channel was made.
    pub fn uptime(&self) -> Duration {
        self.0.since.elapsed()
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (datums, bytes, dropped) = (self.datums(), self.bytes(), self.dropped());
        write!(
            f,
            "{datums} datums, {bytes} bytes, {dropped} dropped in {} s",
            self.uptime().as_secs()
        )
    }
}
