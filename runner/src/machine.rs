//! The system limits of this process: threads, memory and open files. Checks them before they are
//! needed, and names the limit when they run out.

use std::{error::Error, fmt, fs::File, io, sync::mpsc, thread};

use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};

/// Minimum number of open files that a start needs: 32. Each connection and each file of the
/// manifest needs another one.
const FILES_MIN: usize = 32;
/// Number of threads to keep free beside those known to be needed: 8, for files and other blocking
/// calls.
const THREADS_MIN: usize = 8;
/// Minimum address space that a start needs beyond that of the process, in bytes: 1 GiB, for stacks
/// and allocators.
const ADDRESSES_MIN: u64 = 1 << 30;
/// Address space that an operator instance reserves, in bytes: 4 GiB for its memory and 64 MiB of
/// guard pages.
const INSTANCE_ADDRESSES: u64 = (4 << 30) + (64 << 20);

/// Additional address space per instance, in bytes: 128 MiB, for the stack and the allocator of its
/// thread.
const INSTANCE_MARGIN: u64 = 128 << 20;

/// The resource that is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// Threads of this user.
    Threads,
    /// Memory of this machine.
    Memory,
    /// Address space for the memories of operators.
    Instances,
    /// Open files of this process.
    Files,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threads => write!(
                f,
                "the system refuses more threads for this user; {}",
                limit(Resource::Nproc, "threads, `ulimit -u`")
                    .unwrap_or_else(|| "see `pids.max` of the control group".to_owned())
            ),
            Self::Memory => OutOfMemory.fmt(f),
            Self::Instances => write!(
                f,
                "{}; each instance of an operator reserves {} KiB of them, and uses no more memory than its `limits` allow",
                Self::Memory,
                (INSTANCE_ADDRESSES + INSTANCE_MARGIN) / 1024,
            ),
            Self::Files => write!(
                f,
                "the system refuses more open files for this process; {}",
                limit(Resource::Nofile, "open files, `ulimit -n`")
                    .unwrap_or_else(|| "see `fs.file-max`".to_owned())
            ),
        }
    }
}

/// [`Shortage::Memory`], formatted without allocating.
pub(crate) struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system refuses more memory for this process; ")?;
        match getrlimit(Resource::As).current {
            Some(limit) => write!(
                f,
                "the limit is {} KiB of addresses, `ulimit -v`",
                limit / 1024
            ),
            None => f.write_str("see `memory.max` of the control group"),
        }
    }
}

/// Returns the limit of this process, if it has one: ``the limit is 20 open files, `ulimit -n` ``.
fn limit(resource: Resource, name: &str) -> Option<String> {
    let current = getrlimit(resource).current?;
    Some(format!("the limit is {current} {name}"))
}

impl Shortage {
    /// Returns the shortage that caused an error, if there is one.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            let errno = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::raw_os_error)
                .map(Errno::from_raw_os_error)
                .or_else(|| error.downcast_ref::<Errno>().copied());
            match errno {
                Some(Errno::MFILE | Errno::NFILE) => return Some(Self::Files),
                Some(Errno::NOMEM) => return Some(Self::Memory),
                _ => next = error.source(),
            }
        }
        None
    }

    /// Returns the shortage because of which no thread could be started.
    pub(crate) fn of_threads() -> Self {
        // Address space for the stack may be short.
        if lacks_addresses(INSTANCE_MARGIN) {
            Self::Memory
        } else {
            Self::Threads
        }
    }

    /// Returns the shortage that caused the panic of a dependency.
    pub(crate) fn of_panic(message: &str) -> Option<Self> {
        const OF_THREADS: [&str; 3] = [
            "OS can't spawn worker thread",
            "failed to spawn thread",
            "ThreadPoolBuildError",
        ];
        if OF_THREADS.iter().any(|part| message.contains(part)) {
            return Some(Self::of_threads());
        }
        message.contains("os error 24").then_some(Self::Files)
    }
}

/// Returns true if less than `bytes` of address space is left; false if there is no limit.
fn lacks_addresses(bytes: u64) -> bool {
    let Some(limit) = getrlimit(Resource::As).current else {
        return false;
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let used_kib: u64 = size
        .and_then(|size| size.split_whitespace().next()?.parse().ok())
        .unwrap_or_default();
    limit.saturating_sub(used_kib * 1024) < bytes
}

/// Checks that the limit on address space allows `count` more operator instances.
///
/// # Errors
/// The limit is too low.
pub(crate) fn check_instances(count: usize) -> Result<(), Shortage> {
    let each = INSTANCE_ADDRESSES + INSTANCE_MARGIN;
    if count > 0 && lacks_addresses(ADDRESSES_MIN.saturating_add(each.saturating_mul(count as u64)))
    {
        return Err(Shortage::Instances);
    }
    Ok(())
}

/// Checks that a node or a check can start: allocates its minimum resources and frees them.
///
/// # Errors
/// A resource is short.
pub(crate) fn check_start() -> Result<(), Shortage> {
    if lacks_addresses(ADDRESSES_MIN) {
        return Err(Shortage::Memory);
    }
    let files: io::Result<Vec<File>> = (0..FILES_MIN).map(|_| File::open("/dev/null")).collect();
    if let Err(error) = files
        && Shortage::of(&error) == Some(Shortage::Files)
    {
        return Err(Shortage::Files);
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    check_threads(2 * cores)
}

/// Checks that `count` threads and a reserve can be started: starts and ends them.
///
/// # Errors
/// A thread cannot be started.
pub(crate) fn check_threads(count: usize) -> Result<(), Shortage> {
    let mut threads = Vec::new();
    let mut started = Ok(());
    for _ in 0..count.saturating_add(THREADS_MIN) {
        let (release, held) = mpsc::channel::<()>();
        let Ok(thread) = thread::Builder::new().spawn(move || held.recv().is_err()) else {
            started = Err(Shortage::of_threads());
            break;
        };
        threads.push((release, thread));
    }
    for (release, thread) in threads {
        drop(release);
        // The thread does not panic.
        let _ = thread.join();
    }
    started
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_shortage_is_found_in_the_chain_of_causes() {
        let of = |errno: Errno| Shortage::of(&Outer(errno.into()));
        assert_eq!(of(Errno::MFILE), Some(Shortage::Files));
        assert_eq!(of(Errno::NOMEM), Some(Shortage::Memory));
        assert_eq!(of(Errno::NOENT), None);
    }

    #[test]
    fn a_panic_about_threads_is_a_shortage() {
        let panic = "OS can't spawn worker thread: Resource temporarily unavailable (os error 11)";
        assert_eq!(Shortage::of_panic(panic), Some(Shortage::Threads));
        assert_eq!(Shortage::of_panic("index out of bounds"), None);
    }

    #[test]
    fn a_machine_that_runs_tests_can_start_a_node() {
        assert_eq!(check_start(), Ok(()));
        assert_eq!(check_instances(1), Ok(()));
    }
}
