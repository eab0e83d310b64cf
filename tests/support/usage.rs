//! Measures the resource usage of this process and its threads: memory, CPU time, address space.
#![expect(
    dead_code,
    reason = "each test binary uses its own part of this module"
)]

use std::{fs, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Returns the resident memory in KiB.
pub(crate) fn resident_kib() -> u64 {
    status("VmRSS:")
}

/// Returns the peak resident memory since [`reset_peak`], in KiB.
pub(crate) fn peak_kib() -> u64 {
    status("VmHWM:")
}

/// Returns the reserved address space in KiB.
pub(crate) fn reserved_kib() -> u64 {
    status("VmSize:")
}

/// Resets the peak.
pub(crate) fn reset_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("a process may look at its own memory");
}

/// Returns the total CPU time of all threads.
pub(crate) fn process_cpu() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// Returns the total CPU time of this thread.
pub(crate) fn thread_cpu() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

fn clock(id: ClockId) -> Duration {
    Duration::try_from(clock_gettime(id)).expect("processor time is not negative")
}

fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .expect("a process has a size");
    line.trim().trim_end_matches(" kB").parse().expect("in KiB")
}
