//! Counters of one channel.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
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
    /// Since when it is connected, while it is.
    since: Mutex<Option<Instant>>,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            datums: Counter::default(),
            bytes: Counter::default(),
            dropped: Counter::default(),
            filtered: Counter::default(),
            since: Mutex::default(),
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

    pub(super) fn set_connected(&self, connected: bool) {
        let mut since = self.0.since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = connected.then(Instant::now);
    }

    /// Datums sent or received.
    pub fn datums(&self) -> usize {
        self.0.datums.get() as usize
    }

    /// Bytes of these datums, without their 4-byte headers.
    pub fn bytes(&self) -> usize {
        self.0.bytes.get() as usize
    }

    /// Datums that were meant for the channel and did not make it.
    pub fn dropped(&self) -> usize {
        self.0.dropped.get() as usize
    }

    /// Datums that the subscriber's criteria do not want.
    pub fn filtered(&self) -> usize {
        self.0.filtered.get() as usize
    }

    /// For how long it has been connected; `None` while it is not.
    pub fn uptime(&self) -> Option<Duration> {
        let since = *self.0.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map(|since| since.elapsed())
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (datums, bytes, dropped) = (self.datums(), self.bytes(), self.dropped());
        write!(f, "{datums} datums, {bytes} bytes, {dropped} dropped, ")?;
        match self.uptime() {
            Some(uptime) => write!(f, "connected for {} s", uptime.as_secs()),
            None => f.write_str("not connected"),
        }
    }
}
