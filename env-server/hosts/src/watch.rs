//! The watch over processes: late ones, large ones, and idle ones.
//!
//! One thread for all processes of a host. Calls block on pipes; when one is late, the watch kills
//! its process, which ends the wait.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::process::{HostProcess, lock};
use crate::processes::{Limits, Processes};

/// Time between two looks at the time of calls.
const LOOK: Duration = Duration::from_millis(50);
/// Looks between two looks at memory and idle processes.
const LOOKS_PER_ROUND: u32 = 4;

/// Starts the watch; it ends with the host.
pub(crate) fn start(host: Weak<Processes>) -> std::io::Result<()> {
    let watch = move || {
        let mut looks = 0u32;
        while let Some(host) = host.upgrade() {
            looks = looks.wrapping_add(1);
            for process in lock(&host.watched).iter().filter_map(Weak::upgrade) {
                look(
                    &process,
                    &host.limits,
                    looks.is_multiple_of(LOOKS_PER_ROUND),
                );
            }
            if looks.is_multiple_of(LOOKS_PER_ROUND) {
                end_idle(&host);
            }
            drop(host);
            std::thread::sleep(LOOK);
        }
    };
    let thread = std::thread::Builder::new().name("host-watch".to_owned());
    thread.spawn(watch).map(drop)
}

fn look(process: &HostProcess, limits: &Limits, is_round: bool) {
    if process.is_late() {
        process.condemn("there was no answer in time, and the process was killed".to_owned());
        return;
    }
    if is_round
        && let Some(held) = resident_bytes(process.id())
        && held > limits.memory_bytes
    {
        let limit = limits.memory_bytes;
        process.condemn(format!(
            "the process held {held} bytes of memory, more than the limit of {limit}, and was killed"
        ));
    }
}

/// Ends processes that have had no vector for a while, and closes vectors that have ended.
fn end_idle(host: &Arc<Processes>) {
    lock(&host.watched).retain(|process| process.strong_count() > 0);
    for slot in &host.slots {
        // Whoever holds it may wait for a process to start, which this thread must end if it is late.
        let Ok(mut slot) = slot.try_lock() else {
            continue;
        };
        let Some(process) = slot.process.clone() else {
            continue;
        };
        // Vectors hold the process; beyond this clone and the slot's own, nothing does.
        let is_idle = Arc::strong_count(&process) <= 2;
        match (is_idle, slot.idle_since) {
            (false, _) => slot.idle_since = None,
            (true, None) => slot.idle_since = Some(Instant::now()),
            (true, Some(since)) if since.elapsed() > host.limits.idle => {
                slot.process = None;
                slot.idle_since = None;
                // Dropping it kills it, which need not be under the lock.
                drop(slot);
                continue;
            }
            (true, Some(_)) => {}
        }
        drop(slot);
        process.tidy(host.limits.step);
    }
}

/// Returns the resident memory of a process, in bytes, where the system tells it.
fn resident_bytes(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_takes_memory() {
        let bytes = resident_bytes(std::process::id()).unwrap();
        assert!((1 << 20..1 << 40).contains(&bytes), "{bytes}");
    }
}
