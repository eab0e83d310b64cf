//! The counters of a channel.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A counter that only grows.
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

/// The counters of a channel. Clones refer to the same, current values.
#[derive(Debug, Clone)]
pub struct Stats(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    datums: Counter,
    bytes: Counter,
    dropped: Counter,
    filtered: Counter,
    /// The time since which it is connected, if it is.
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

    pub(crate) fn moved(&self, records: usize, bytes: usize) {
        self.0.datums.add(records);
        self.0.bytes.add(bytes);
    }

    pub(crate) fn dropped_more(&self, records: usize) {
        self.0.dropped.add(records);
    }

    pub(crate) fn filtered_more(&self, records: usize) {
        self.0.filtered.add(records);
    }

    pub(super) fn set_connected(&self, connected: bool) {
        let mut since = self.0.since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = connected.then(Instant::now);
    }

    /// Returns the number of records sent or received.
    pub fn datums(&self) -> usize {
        self.0.datums.get() as usize
    }

    /// Returns the bytes of these records, without their 4-byte headers.
    pub fn bytes(&self) -> usize {
        self.0.bytes.get() as usize
    }

    /// Returns the number of records meant for the channel that were not delivered.
    pub fn dropped(&self) -> usize {
        self.0.dropped.get() as usize
    }

    /// Returns the number of records that the subscriber's criteria did not select.
    pub fn filtered(&self) -> usize {
        self.0.filtered.get() as usize
    }

    /// Returns the time since it was connected, or `None` if it is not.
    pub fn uptime(&self) -> Option<Duration> {
        let since = *self.0.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map(|since| since.elapsed())
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, bytes, dropped) = (self.datums(), self.bytes(), self.dropped());
        write!(f, "{records} records, {bytes} bytes, {dropped} dropped, ")?;
        match self.uptime() {
            Some(uptime) => write!(f, "connected for {} s", uptime.as_secs()),
            None => f.write_str("not connected"),
        }
    }
}
