//! What an operator may use, and the limiter that holds a store to it.

use std::time::Duration;

use mosaik_streams::frames::DEFAULT_MAX_FRAME_LEN;
use wasmtime::ResourceLimiter;

use super::budget::Budget;

/// Bounds of [`Engine::load`](super::Engine::load).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadLimits {
    /// Bytes of the binary, module or component. Default 10 MiB, which holds everything but a component that carries a
    /// language runtime. Worst case: compiling takes some seconds and some hundred MiB for each 10 MiB.
    pub binary_bytes_max: usize,
    /// Bytes of memory the guest may have while it is asked to describe itself. Default 64 MiB.
    pub memory_bytes_max: usize,
    /// CPU time of instantiation and `describe`. Default 2 s, since a language runtime may start up there.
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
    /// Bytes of all linear memories together. Default 64 MiB. A growth beyond is [`OutOfMemory`]. A larger batch is
    /// not even handed in.
    ///
    /// [`OutOfMemory`]: super::CallError::OutOfMemory
    pub memory_bytes_max: usize,
    /// CPU time of one call, and a thousandth of it more for each record of its batch. Default 1 s; exceeded by up to
    /// 15 ms.
    pub call_time_max: Duration,
    /// Time that one call may wait for the host (a file, a timer, a response), and a thousandth of it more for each
    /// record of its batch. Default 1 min. Only an operator with grants can wait.
    pub call_wait_max: Duration,
    /// CPU time of each of instantiation, `open`, `tick`, `finish`, `snapshot` and `restore`. `None`, the default, is ten
    /// times [`call_time_max`](Self::call_time_max), at least 1 s.
    pub open_time_max: Option<Duration>,
    /// Bytes one answer may bring into the host: frames, reasons, and some 32 bytes for each of them. Default 64 MiB.
    /// Also bounds one log line before it is cut.
    pub output_bytes_max: usize,
    /// Bytes of one datum of an answer, header excluded. Default 16 MiB.
    pub datum_bytes_max: usize,
    /// Bytes of all keys and values of one snapshot, and some 64 bytes for each entry. Default 64 MiB.
    pub state_bytes_max: usize,
    /// Bytes of a rejection's reason or of a refusal; the rest is cut off. Default 1 KiB.
    pub reason_bytes_max: usize,
    /// Log lines of one call; the rest is counted and told in one more line. Default 1,000.
    pub log_lines_max: u32,
    /// Bytes of a log line; the rest is cut off. Default 8 KiB.
    pub log_line_bytes_max: usize,
    /// Names of counters during the instance's life; others are ignored, which is logged once. Default 64.
    pub counters_max: usize,
    /// Bytes of a counter's name; a longer one is ignored, likewise. Default 64.
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
    /// The budget of a call about so many `records`.
    pub(super) fn call_budget(&self, records: usize) -> Budget {
        let base = Budget {
            cpu: self.call_time_max,
            wait: self.call_wait_max,
        };
        base.for_records(records)
    }

    /// The budget of the calls that handle a whole state: instantiation, `open`, `tick`, `finish`, `snapshot`, `restore`.
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

    /// CPU time of one call that handles a whole state.
    pub(crate) fn state_time_max(&self) -> Duration {
        self.open_budget().cpu
    }
}

/// Elements of all tables of a store: 2 MiB. Large guests have some ten thousand functions.
const TABLE_ELEMENTS_MAX: usize = 256 * 1024;
/// Core instances of a store. An ordinary component has three, one linked from shared libraries some dozens.
const INSTANCES_MAX: usize = 64;
/// Linear memories of a store.
const MEMORIES_MAX: usize = 16;
/// Tables of a store.
const TABLES_MAX: usize = 64;

/// A memory wanted to grow past its limit.
#[derive(Debug, thiserror::Error)]
#[error("more memory wanted than the {limit} bytes allowed")]
pub(super) struct MemoryExceeded {
    pub(super) limit: usize,
}

/// A table wanted to grow past its limit.
#[derive(Debug, thiserror::Error)]
#[error("more table elements wanted than the {limit} allowed")]
pub(super) struct TableExceeded {
    limit: usize,
}

/// Holds a store to its limits: like wasmtime's `StoreLimits` with `trap_on_grow_failure`, but it bounds the sum of all
/// memories and of all tables, and says by the error's type which limit it was.
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

    /// Another bound from now on. What is in use stays, even if it is more.
    pub(super) const fn set_max(&mut self, memory_bytes_max: usize) {
        self.memory_bytes_max = memory_bytes_max;
    }

    /// Bytes of all memories now.
    pub(super) const fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }
}

/// `total`, grown by `desired - current`, unless that is more than `max`, or `desired` more than what was declared.
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
