//! What a stage has done so far: counted by the stage, read by whoever wants to know.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Running totals of one stage. They live on when the stage is swapped or replaced under the same name.
#[derive(Debug, Default)]
pub struct Counters {
    datums_in: AtomicU64,
    datums_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    too_large: AtomicU64,
    invalid: AtomicU64,
    undelivered: AtomicU64,
    unbound: AtomicU64,
    restarts: AtomicU64,
}

/// [`Counters`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Datums taken in: read by a source, received by an operator or sink.
    pub datums_in: u64,
    /// Datums handed on: to a stream, or to the outside.
    pub datums_out: u64,
    /// Payload bytes taken in.
    pub bytes_in: u64,
    /// Payload bytes handed on.
    pub bytes_out: u64,
    /// Datums that the operator refused, one by one, with a reason.
    pub rejected: u64,
    /// Datums of batches during which the operator failed.
    pub failed: u64,
    /// Datums over the size limit, skipped by a source.
    pub too_large: u64,
    /// What is not of its format or of its stream's schema: input that a source skipped, datums that a sink could not
    /// print, or an operator could neither be given nor give.
    pub invalid: u64,
    /// Datums that a stage still held when it had to stop.
    pub undelivered: u64,
    /// Datums that an operator sent to a port that leads nowhere.
    pub unbound: u64,
    /// Times the operator's instance was built anew.
    pub restarts: u64,
}

impl Counters {
    pub(super) fn took(&self, datums: usize, bytes: usize) {
        self.datums_in.fetch_add(datums as u64, Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn gave(&self, datums: usize, bytes: usize) {
        self.datums_out.fetch_add(datums as u64, Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn rejected(&self, datums: usize) {
        self.rejected.fetch_add(datums as u64, Relaxed);
    }

    pub(super) fn invalid(&self, datums: usize) {
        self.invalid.fetch_add(datums as u64, Relaxed);
    }

    pub(super) fn failed(&self, datums: usize) {
        self.failed.fetch_add(datums as u64, Relaxed);
    }

    pub(super) fn skipped(&self, too_large: u64, invalid: u64) {
        self.too_large.fetch_add(too_large, Relaxed);
        self.invalid.fetch_add(invalid, Relaxed);
    }

    pub(crate) fn undelivered(&self, datums: usize) {
        self.undelivered.fetch_add(datums as u64, Relaxed);
    }

    pub(super) fn unbound(&self, datums: usize) {
        self.unbound.fetch_add(datums as u64, Relaxed);
    }

    pub(super) fn restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    /// The totals now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            datums_in: self.datums_in.load(Relaxed),
            datums_out: self.datums_out.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            failed: self.failed.load(Relaxed),
            too_large: self.too_large.load(Relaxed),
            invalid: self.invalid.load(Relaxed),
            undelivered: self.undelivered.load(Relaxed),
            unbound: self.unbound.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
        }
    }
}

impl Snapshot {
    /// What did not get through, by reason; the reasons that never happened left out.
    pub fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("rejected", self.rejected),
            ("failed", self.failed),
            ("too_large", self.too_large),
            ("invalid", self.invalid),
            ("undelivered", self.undelivered),
            ("unbound", self.unbound),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
    }
}

/// The reasons and their counts, like `2 rejected, 1 too_large`; empty when there are none.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (reason, count)) in self.dropped().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_names_what_was_dropped_and_nothing_else() {
        let counters = Counters::default();
        assert_eq!(counters.snapshot().to_string(), "");
        counters.took(5, 50);
        counters.rejected(2);
        counters.skipped(1, 0);
        assert_eq!(counters.snapshot().to_string(), "2 rejected, 1 too_large");
        assert_eq!(counters.snapshot().datums_in, 5);
    }
}
