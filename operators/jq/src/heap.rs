//! The heap of the built operator: small blocks are allocated from free lists by size, others by the standard
//! allocator.
//!
//! A filter allocates and frees dozens of small values per record, for which a general allocator takes a quarter of the
//! time. Small blocks are never returned to the standard allocator; the lists hold at most the peak number of blocks.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

/// Sizes are rounded up to multiples of this, which is also the alignment of all blocks: 16 bytes.
const STEP: usize = 16;
/// The maximum size of a small block: 512 bytes.
const SMALL_MAX: usize = 512;
/// The number of bytes allocated for an empty list: 4 KiB.
const CHUNK: usize = 4096;

#[cfg(target_family = "wasm")]
#[global_allocator]
static HEAP: Heap = Heap::new();

/// The first free block of each size.
struct Heap([Cell<*mut Free>; SMALL_MAX / STEP]);

/// A free block, which contains the pointer to the next one.
struct Free(*mut Self);

// SAFETY: WebAssembly without shared memory has one thread, so there is no concurrent access.
#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
unsafe impl Sync for Heap {}

/// Returns the index of the list for a block; `None` if it is not small.
const fn class(layout: Layout) -> Option<usize> {
    if layout.size() <= SMALL_MAX && layout.align() <= STEP && layout.size() > 0 {
        Some((layout.size() - 1) / STEP)
    } else {
        None
    }
}

impl Heap {
    const fn new() -> Self {
        Self([const { Cell::new(ptr::null_mut()) }; SMALL_MAX / STEP])
    }

    /// Splits a chunk into free blocks, and returns the first.
    #[cold]
    fn refill(&self, class: usize) -> *mut u8 {
        let size = (class + 1) * STEP;
        let Ok(layout) = Layout::from_size_align(CHUNK, STEP) else {
            return ptr::null_mut();
        };
        // SAFETY: the size of the layout is not zero.
        let chunk = unsafe { System.alloc(layout) };
        if chunk.is_null() {
            return chunk;
        }
        for index in 1..CHUNK / size {
            // SAFETY: the block is within the chunk, which is aligned for all blocks, and free.
            unsafe { self.push(class, chunk.add(index * size)) };
        }
        chunk
    }

    /// # Safety
    /// The block must be of this class and not in use.
    #[expect(
        clippy::cast_ptr_alignment,
        reason = "small blocks are aligned to 16 bytes"
    )]
    unsafe fn push(&self, class: usize, block: *mut u8) {
        let free = block.cast::<Free>();
        // SAFETY: the block is at least 16 bytes long and aligned to 16 bytes.
        unsafe { free.write(Free(self.0[class].get())) };
        self.0[class].set(free);
    }
}

// SAFETY: a block is not handed out again until it is freed, is at least as large as requested, and aligned to 16 bytes
// if it is small. Others come from the standard allocator.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class(layout) else {
            // SAFETY: guaranteed by the caller.
            return unsafe { System.alloc(layout) };
        };
        let first = self.0[class].get();
        if first.is_null() {
            return self.refill(class);
        }
        // SAFETY: blocks on a list were written by `push`.
        self.0[class].set(unsafe { (*first).0 });
        first.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class(layout) {
            // SAFETY: the block came from this list, and the caller no longer uses it.
            Some(class) => unsafe { self.push(class, block) },
            // SAFETY: guaranteed by the caller.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that the size is valid for a layout.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(layout), class(new)) {
            // SAFETY: guaranteed by the caller.
            (None, None) => unsafe { System.realloc(block, layout, size) },
            (Some(old), Some(new)) if old == new => block,
            _ => {
                // SAFETY: the size of the layout is not zero; both blocks are at least as long as the copied part, and
                // distinct.
                unsafe {
                    let moved = self.alloc(new);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(block, moved, size.min(layout.size()));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A block in use, filled with one byte value.
    struct Used {
        block: *mut u8,
        layout: Layout,
        byte: u8,
    }

    impl Used {
        fn is_whole(&self) -> bool {
            // SAFETY: the block is that long and was filled.
            let bytes = unsafe { std::slice::from_raw_parts(self.block, self.layout.size()) };
            bytes.iter().all(|byte| *byte == self.byte)
        }
    }

    proptest! {
        #[test]
        fn blocks_keep_what_is_in_them_and_are_aligned(
            steps in proptest::collection::vec((0..3_u8, 1..1500_usize, 0..6_u32, any::<prop::sample::Index>()), 1..300)
        ) {
            let heap = Heap::new();
            let mut used: Vec<Used> = Vec::new();
            for (number, (what, size, align, which)) in steps.into_iter().enumerate() {
                let layout = Layout::from_size_align(size, 1 << align).unwrap();
                let byte = number as u8;
                if what == 0 || used.is_empty() {
                    // SAFETY: the layout has a size.
                    let block = unsafe { heap.alloc(layout) };
                    // SAFETY: the block is that long.
                    unsafe { block.write_bytes(byte, size) };
                    used.push(Used { block, layout, byte });
                } else if what == 1 {
                    let gone = used.swap_remove(which.index(used.len()));
                    prop_assert!(gone.is_whole());
                    // SAFETY: the block is of this heap and layout, and not used again.
                    unsafe { heap.dealloc(gone.block, gone.layout) };
                } else {
                    let index = which.index(used.len());
                    let one = &mut used[index];
                    // SAFETY: the block is of this heap and layout.
                    one.block = unsafe { heap.realloc(one.block, one.layout, size) };
                    let kept = one.layout.size().min(size);
                    one.layout = Layout::from_size_align(size, one.layout.align()).unwrap();
                    // SAFETY: the block is that long.
                    let bytes = unsafe { std::slice::from_raw_parts_mut(one.block, size) };
                    prop_assert!(bytes[..kept].iter().all(|byte| *byte == one.byte));
                    bytes.fill(byte);
                    one.byte = byte;
                }
                for one in &used {
                    prop_assert!((one.block as usize).is_multiple_of(one.layout.align()));
                    prop_assert!(one.is_whole());
                }
            }
            for one in used {
                // SAFETY: the block is of this heap and layout, and not used again.
                unsafe { heap.dealloc(one.block, one.layout) };
            }
        }
    }
}
