//! The binary: everything is in the library, except for the handling of failed allocations.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

fn main() -> ExitCode {
    mosaik_runner::cli::main()
}

/// The system's allocator; when it runs out of memory, the process exits with an error that names
/// the limit.
struct OrExit;

#[global_allocator]
static ALLOCATOR: OrExit = OrExit;

// SAFETY: every call is forwarded unchanged to the system's allocator.
unsafe impl GlobalAlloc for OrExit {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract, which is the same.
        got(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        got(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        got(unsafe { System.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[inline]
fn got(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        out_of_memory();
    }
    memory
}

#[cold]
fn out_of_memory() -> ! {
    static ENDING: AtomicBool = AtomicBool::new(false);
    // Exiting may allocate as well.
    if ENDING.swap(true, Ordering::Relaxed) {
        std::process::abort();
    }
    mosaik_runner::cli::out_of_memory();
}
