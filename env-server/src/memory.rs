//! What the process takes of the machine's memory, and gives back: docs/performance.md tells what each part is for.

use std::cell::Cell;

use coarsetime::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often a thread looks for memory to give back, at most.
const INTERVAL: Duration = Duration::from_millis(500);

/// Goes without huge pages. Where the allocator gives back a part of one, the kernel fills it up again within seconds,
/// and a server that clients have left keeps twice what it needs.
#[cfg(target_os = "linux")]
pub fn leave_huge_pages() {
    // A kernel without them refuses, and nothing is lost.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(not(target_os = "linux"))]
pub fn leave_huge_pages() {}

/// Gives back what this thread allocated and others have freed, such as environments whose leases ran out: the
/// allocator does so only when the thread allocates, and an idle one does not. To be called before a thread sleeps.
pub fn give_back() {
    thread_local!(static NEXT: Cell<Option<Instant>> = const { Cell::new(None) });
    let now = Instant::now();
    if NEXT.get().is_some_and(|next| now < next) {
        return;
    }
    NEXT.set(Some(now + INTERVAL));
    // SAFETY: it takes no pointers, and mimalloc allows it on any thread at any time.
    unsafe { libmimalloc_sys::mi_collect(false) };
}
