//! The limits of an operator, and the limiter that enforces them on a store.

use std::time::Duration;

use mosaik_streams::frames::DEFAULT_MAX_FRAME_LEN;
use wasmtime::ResourceLimiter;

use super::budget::Budget;

/// Bounds of [`Engine::load`](super::Engine::load).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadLimits {
    /// Maximum size of the binary (module or component) in bytes. Default 10 MiB, which is enough
    /// for everything except a component with a language runtime. Worst case: compilation takes
    /// several seconds and several hundred MiB per 10 MiB.
    pub binary_bytes_max: usize,
    /// Maximum memory of the guest during `describe`, in bytes. Default 64 MiB.
    pub memory_bytes_max: usize,
    /// Maximum CPU time of instantiation and of `describe`. Default 2 s, because a language runtime
    /// may start up there.
    pub describe_time_max: Duration,
}

impl Default for LoadLimits {
    fn default() -> Self {
        Self {
            binary_bytes_max: 10 * 1024 * 1024,
            memory_bytes_max: 64 * 1024 * 1024,
            describe_time_max: Duration::from_secs(2),
        }
    }
}

/// Bounds of one running instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum total size of all linear memories, in bytes. Default 64 MiB. Growth beyond it is
    /// [`OutOfMemory`]. A larger batch is not passed to the guest.
    ///
    /// [`OutOfMemory`]: super::CallError::OutOfMemory
    pub memory_bytes_max: usize,
    /// Maximum CPU time of one call, plus 1/1000 of it for each record of its batch. Default 1 s;
    /// exceeded by at most 15 ms.
    pub call_time_max: Duration,
    /// Maximum time that one call may wait for the host (a file, a timer, a response), plus 1/1000
    /// of it for each record of its batch. Default 1 min. Only an operator with grants can wait.
    pub call_wait_max: Duration,
    /// Maximum CPU time of each of instantiation, `open`, `tick`, `finish`, `snapshot` and
    /// `restore`. `None`, the default, means 10 times [`call_time_max`](Self::call_time_max), at
    /// least 1 s.
    pub open_time_max: Option<Duration>,
    /// Maximum size of one answer in the host, in bytes: frames, reasons, and about 32 bytes for
    /// each of them. Default 64 MiB. Also limits the size of a log line before it is cut.
    pub output_bytes_max: usize,
    /// Maximum size of one record of an answer, in bytes without its header. Default 16 MiB.
    pub datum_bytes_max: usize,
    /// Maximum size of one snapshot, in bytes: all keys and values, and about 64 bytes for each
    /// entry. Default 64 MiB.
    pub state_bytes_max: usize,
    /// Maximum size of the reason of a rejection or refusal, in bytes; the rest is cut off. Default
    /// 1 KiB.
    pub reason_bytes_max: usize,
    /// Maximum number of log lines of one call. Further lines are counted and reported in one more
    /// line. Default 1,000.
    pub log_lines_max: u32,
    /// Maximum size of a log line, in bytes; the rest is cut off. Default 8 KiB.
    pub log_line_bytes_max: usize,
    /// Maximum number of counter names in the life of the instance. Others are ignored, which is
    /// logged once. Default 64.
    pub counters_max: usize,
    /// Maximum size of a counter's name, in bytes. A counter with a longer name is ignored, which
    /// is logged once. Default 64.
    pub counter_name_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 64 * 1024 * 1024,
            call_time_max: Duration::from_secs(1),
            call_wait_max: Duration::from_mins(1),
            open_time_max: None,
            output_bytes_max: 64 * 1024 * 1024,
            datum_bytes_max: DEFAULT_MAX_FRAME_LEN,
            state_bytes_max: 64 * 1024 * 1024,
            reason_bytes_max: 1024,
            log_lines_max: 1000,
            log_line_bytes_max: 8 * 1024,
            counters_max: 64,
            counter_name_bytes_max: 64,
        }
    }
}

impl Limits {
    /// Returns the budget of a call with `records` records.
    pub(super) fn call_budget(&self, records: usize) -> Budget {
        let base = Budget {
            cpu: self.call_time_max,
            wait: self.call_wait_max,
        };
        base.for_records(records)
    }

    /// Returns the budget of the calls that handle a whole state: instantiation, `open`, `tick`,
    /// `finish`, `snapshot` and `restore`.
    pub(super) fn open_budget(&self) -> Budget {
        const LEAST: Duration = Duration::from_secs(1);
        let cpu = self
            .open_time_max
            .unwrap_or_else(|| self.call_time_max.saturating_mul(10).max(LEAST));
        Budget {
            cpu,
            wait: self.call_wait_max,
        }
    }

    /// Returns the CPU time limit of one call that handles a whole state.
    pub(crate) fn state_time_max(&self) -> Duration {
        self.open_budget().cpu
    }
}

/// Maximum number of elements in all tables of a store: 262,144, which take 2 MiB. Large guests
/// have tens of thousands of functions.
const TABLE_ELEMENTS_MAX: usize = 256 * 1024;
/// Maximum number of core instances of a store: 64. An ordinary component has three, one that is
/// linked from shared libraries has several dozen.
const INSTANCES_MAX: usize = 64;
/// Maximum number of linear memories of a store: 16.
const MEMORIES_MAX: usize = 16;
/// Maximum number of tables of a store: 64.
const TABLES_MAX: usize = 64;

/// A memory growth exceeded the limit.
#[derive(Debug, thiserror::Error)]
#[error("more memory requested than the {limit} bytes allowed")]
pub(super) struct MemoryExceeded {
    pub(super) limit: usize,
}

/// A table growth exceeded the limit.
#[derive(Debug, thiserror::Error)]
#[error("more table elements requested than the {limit} allowed")]
pub(super) struct TableExceeded {
    limit: usize,
}

/// Enforces the limits of a store: like wasmtime's `StoreLimits` with `trap_on_grow_failure`, but
/// it bounds the total of all memories and of all tables, and the type of the error identifies the
/// limit.
#[derive(Debug)]
pub(super) struct Limiter {
    memory_bytes: usize,
    memory_bytes_max: usize,
    table_elements: usize,
}

impl Limiter {
    pub(super) const fn new(memory_bytes_max: usize) -> Self {
        Self {
            memory_bytes: 0,
            memory_bytes_max,
            table_elements: 0,
        }
    }

    /// Sets another bound. Memory in use stays, even if it exceeds the bound.
    pub(super) const fn set_max(&mut self, memory_bytes_max: usize) {
        self.memory_bytes_max = memory_bytes_max;
    }

    /// Returns the current size of all memories in bytes.
    pub(super) const fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }
}

/// Returns `total` grown by `desired - current`, or `None` if that exceeds `max` or `desired`
/// exceeds the declared maximum.
fn grown(
    total: usize,
    current: usize,
    desired: usize,
    declared: Option<usize>,
    max: usize,
) -> Option<usize> {
    let grown = total.checked_add(desired.saturating_sub(current))?;
    (grown <= max && declared.is_none_or(|declared| desired <= declared)).then_some(grown)
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.memory_bytes = grown(
            self.memory_bytes,
            current,
            desired,
            maximum,
            self.memory_bytes_max,
        )
        .ok_or_else(|| {
            wasmtime::Error::new(MemoryExceeded {
                limit: self.memory_bytes_max,
            })
        })?;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error.context(MemoryExceeded {
            limit: self.memory_bytes_max,
        }))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.table_elements = grown(
            self.table_elements,
            current,
            desired,
            maximum,
            TABLE_ELEMENTS_MAX,
        )
        .ok_or_else(|| {
            wasmtime::Error::new(TableExceeded {
                limit: TABLE_ELEMENTS_MAX,
            })
        })?;
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error.context(TableExceeded {
            limit: TABLE_ELEMENTS_MAX,
        }))
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_all_memories_is_bounded() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        let refused = limiter.memory_growing(0, 60, None).unwrap_err();
        assert_eq!(refused.downcast_ref::<MemoryExceeded>().unwrap().limit, 100);
        assert!(limiter.memory_growing(60, 100, None).unwrap());
        assert!(limiter.memory_growing(100, 101, None).is_err());
    }

    #[test]
    fn a_declared_maximum_is_a_limit_too() {
        assert!(Limiter::new(100).memory_growing(0, 60, Some(50)).is_err());
        assert!(Limiter::new(100).table_growing(0, 60, Some(50)).is_err());
        assert!(
            Limiter::new(100)
                .table_growing(0, TABLE_ELEMENTS_MAX + 1, None)
                .is_err()
        );
    }

    #[test]
    fn opening_has_ten_times_a_call_and_at_least_a_second() {
        let of = |call_time_max| {
            Limits {
                call_time_max,
                ..Limits::default()
            }
            .open_budget()
            .cpu
        };
        assert_eq!(of(Duration::from_millis(10)), Duration::from_secs(1));
        assert_eq!(of(Duration::from_secs(1)), Duration::from_secs(10));
    }
}
