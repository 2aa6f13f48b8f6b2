//! The allocator used in tests, which counts the memory of each thread.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static TAKEN: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// Returns the bytes that this thread has allocated, less those it has freed. Small blocks count as
/// rounded up by the allocator.
pub(crate) fn taken() -> isize {
    TAKEN.get()
}

/// Runs `work` and returns its result and the most bytes this thread held meanwhile, beyond those
/// it held before.
pub(crate) fn most<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = taken();
    MOST.set(before);
    let done = work();
    (done, (MOST.get() - before) as usize)
}

struct Counting;

fn count(place: *mut u8, sign: isize) {
    // SAFETY: the pointer is one of this allocator's, or null, for which it returns 0.
    let bytes = unsafe { libmimalloc_sys::mi_usable_size(place.cast()) };
    // While a thread ends, its counters are gone and there is nothing to update.
    let _ = TAKEN.try_with(|taken| {
        let now = taken.get() + sign * bytes as isize;
        taken.set(now);
        MOST.set(MOST.get().max(now));
    });
}

// SAFETY: all allocation is done by `MiMalloc`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let place = unsafe { MiMalloc.alloc(layout) };
        count(place, 1);
        place
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let place = unsafe { MiMalloc.alloc_zeroed(layout) };
        count(place, 1);
        place
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(place, -1);
        // SAFETY: as the caller promises.
        let moved = unsafe { MiMalloc.realloc(place, layout, new_size) };
        count(if moved.is_null() { place } else { moved }, 1);
        moved
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(place, -1);
        // SAFETY: as the caller promises.
        unsafe { MiMalloc.dealloc(place, layout) }
    }
}
