//! [`Budget`]: the time that one call may take, and [`Meter`], which enforces it.
//!
//! Computation is measured as CPU time of the thread that runs the guest, so that a busy machine
//! takes no time from a call. Waiting for the host is measured as wall time, and only while the
//! guest really waits.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::ticker::{TICK, ticks};

/// Each record of a batch adds this part of a call's base time: 1/1000.
const RECORDS_PER_BASE: u32 = 1000;

/// The time that one call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    /// CPU time.
    pub(super) cpu: Duration,
    /// Time spent waiting for the host.
    pub(super) wait: Duration,
}

impl Budget {
    /// Returns the budget of a call with a batch of `records` records: the base, and 1/1000 of it
    /// for each record.
    pub(super) fn for_records(self, records: usize) -> Self {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let more =
            |base: Duration| base.saturating_add((base / RECORDS_PER_BASE).saturating_mul(records));
        Self {
            cpu: more(self.cpu),
            wait: more(self.wait),
        }
    }
}

/// A call has used up its CPU time.
#[derive(Debug, thiserror::Error)]
#[error("the guest used its CPU time")]
pub(super) struct CpuExceeded;

/// Measures the call in flight.
#[derive(Debug)]
pub(super) struct Meter {
    cpu: Duration,
    began: Instant,
    /// The thread's CPU time at the first check of the guest, so that a short call needs no system
    /// call.
    base: Option<Duration>,
}

impl Meter {
    /// Creates a meter without a call.
    pub(super) fn idle() -> Self {
        Self {
            cpu: Duration::ZERO,
            began: Instant::now(),
            base: None,
        }
    }

    /// Starts to measure a call that may use `cpu` of CPU time.
    pub(super) fn begin(&mut self, cpu: Duration) {
        *self = Self {
            cpu,
            ..Self::idle()
        };
    }

    /// Number of epochs until the first check of the guest.
    pub(super) const FIRST_LOOK: u64 = 1;

    /// Checks the guest and returns the number of epochs until the next check.
    ///
    /// # Errors
    /// [`CpuExceeded`] once the call has used up its CPU time. It may exceed that by up to two
    /// ticks.
    pub(super) fn look(&mut self) -> Result<u64, CpuExceeded> {
        let now = thread_cpu_time();
        let base = *self.base.get_or_insert(now);
        let left = self
            .cpu
            .checked_sub(now.saturating_sub(base))
            .filter(|left| !left.is_zero())
            .ok_or(CpuExceeded)?;
        // A thread uses no more CPU time than wall time.
        Ok(ticks(left))
    }

    /// Like [`look`](Self::look), for a host function that a guest may call repeatedly without a
    /// loop of its own. Makes no system call until the wall time since the start exceeds the CPU
    /// limit.
    pub(super) fn look_from_host(&mut self) -> Result<(), CpuExceeded> {
        if self.began.elapsed() <= self.cpu.saturating_add(TICK) {
            return Ok(());
        }
        self.look().map(drop)
    }
}

/// Returns the CPU time of the current thread.
pub(crate) fn thread_cpu_time() -> Duration {
    cpu_time(ClockId::ThreadCPUTime)
}

/// Returns the CPU time of the process.
pub(crate) fn process_cpu_time() -> Duration {
    cpu_time(ClockId::ProcessCPUTime)
}

fn cpu_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_adds_to_both_budgets() {
        let base = Budget {
            cpu: Duration::from_secs(1),
            wait: Duration::from_mins(1),
        };
        let of = base.for_records(4096);
        assert_eq!(of.cpu, Duration::from_millis(1000 + 4096));
        assert_eq!(of.wait, Duration::from_millis(60_000 + 60 * 4096));
        assert_eq!(base.for_records(0), base);
        let most = Budget {
            cpu: Duration::MAX,
            wait: Duration::MAX,
        };
        assert_eq!(most.for_records(usize::MAX), most);
    }

    #[test]
    fn sleeping_uses_no_cpu_time_and_computing_does() {
        let mut meter = Meter::idle();
        meter.begin(Duration::from_millis(30));
        assert!(meter.look().is_ok());
        std::thread::sleep(Duration::from_millis(100));
        assert!(meter.look().is_ok() && meter.look_from_host().is_ok());
        let base = thread_cpu_time();
        while thread_cpu_time() < base + Duration::from_millis(31) {
            std::hint::spin_loop();
        }
        assert!(meter.look().is_err() && meter.look_from_host().is_err());
        meter.begin(Duration::from_millis(30));
        assert!(meter.look().is_ok());
    }
}
