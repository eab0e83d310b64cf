//! Measures the memory of a node independently of other code in the process: an allocator that counts the allocations
//! of the node's own threads, for a test binary's `#[global_allocator]`.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::runtime::{Builder, Runtime};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}

pub(crate) struct Counting;

fn count(more: usize, less: usize) {
    if !COUNTS.get() {
        return;
    }
    let change = more.wrapping_sub(less);
    let now = LIVE
        .fetch_add(change, Ordering::Relaxed)
        .wrapping_add(change);
    // Memory allocated by other threads and freed by these may make it negative.
    if now < usize::MAX / 2 {
        PEAK.fetch_max(now, Ordering::Relaxed);
    }
}

/// A runtime with threads whose memory is counted.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(|| COUNTS.set(true))
        .enable_all()
        .build()
        .expect("threads start")
}

/// Returns the bytes in use.
pub(crate) fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Returns the maximum number of bytes in use since the last call.
pub(crate) fn take_peak() -> usize {
    PEAK.swap(live(), Ordering::Relaxed)
}

// SAFETY: delegates to the system allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: guaranteed by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: guaranteed by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: guaranteed by the caller.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size, layout.size());
        // SAFETY: guaranteed by the caller.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}
