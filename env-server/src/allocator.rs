//! Memory use of the process: the allocator, huge pages, and returning memory to the system.
//! docs/performance.md explains each part.

use std::cell::Cell;

use coarsetime::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Shortest time between two attempts of a thread to return memory.
const INTERVAL: Duration = Duration::from_millis(500);

/// Disables huge pages. When the allocator returns part of one, the kernel fills it up again within
/// seconds, and a server whose clients have left keeps twice the memory it needs.
#[cfg(target_os = "linux")]
pub fn leave_huge_pages() {
    // A kernel without them refuses, which does no harm.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(not(target_os = "linux"))]
pub fn leave_huge_pages() {}

/// Returns memory to the system that this thread allocated and others have freed, such as
/// environments with expired leases. By itself the allocator does so only when the thread
/// allocates, which an idle thread does not. To be called before a thread sleeps.
pub fn give_back() {
    thread_local!(static NEXT: Cell<Option<Instant>> = const { Cell::new(None) });
    let now = Instant::now();
    if NEXT.get().is_some_and(|next| now < next) {
        return;
    }
    NEXT.set(Some(now + INTERVAL));
    // SAFETY: the call takes no pointers, and mimalloc allows it on any thread at any time.
    unsafe { libmimalloc_sys::mi_collect(false) };
}
