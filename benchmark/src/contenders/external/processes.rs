//! Processes of external programs: ends a program together with every process that it has started.
//! Covers process groups and, on Linux, processes that have left them.
//!
//! Each program is a subreaper (`PR_SET_CHILD_SUBREAPER`): a descendant whose parent ends becomes
//! the program's own child. The benchmark is a subreaper as well, so the processes that a program
//! leaves behind become children of the benchmark. A child that the benchmark has not started
//! itself is therefore always an orphan of a program that has ended.

use std::collections::HashSet;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use super::linux;
use super::signals::{Signal, end, end_group};

/// Time for orphans to end by themselves: helper processes of many libraries do so soon after the
/// program.
const LINGER: Duration = Duration::from_millis(500);

/// Time between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);

/// Time to keep killing processes that start others, before giving up.
const PURSUIT: Duration = Duration::from_secs(10);

/// Interval for polling processes.
pub const PAUSE: Duration = Duration::from_millis(20);

/// Interval between rounds of SIGKILL.
const SHORT_PAUSE: Duration = Duration::from_millis(1);

/// The running programs, so that all of them can be ended at once.
#[derive(Clone, Debug, Default)]
pub struct Groups(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    /// Process ids of the programs; each is also the id of the program's group.
    programs: HashSet<u32>,
    /// Children of this process before it became a subreaper; `None` if it is not one.
    earlier: Option<HashSet<u32>>,
}

/// A lock held while a program starts, so that it is registered before anything looks for orphans.
pub struct Starting<'a>(MutexGuard<'a, Running>);

impl Groups {
    /// Makes this process a subreaper. Afterwards, a child that it starts without registering it
    /// here counts as an orphan and is ended with the next program.
    pub fn adopting() -> Self {
        let groups = Self::default();
        #[cfg(target_os = "linux")]
        if rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_ok() {
            groups.lock().earlier = Some(linux::children());
        }
        groups
    }

    /// Locks the running programs while another one starts.
    pub fn starting(&self) -> Starting<'_> {
        Starting(self.lock())
    }

    /// Removes a program that has ended.
    pub fn forget(&self, program: u32) {
        self.lock().programs.remove(&program);
    }

    /// Ends the orphans of programs that have ended. With `linger`, gives them time to end by
    /// themselves first.
    ///
    /// # Errors
    /// With the ids of orphans that are still alive.
    pub fn end_orphans(&self, linger: bool) -> Result<(), Vec<u32>> {
        let linger = if linger { LINGER } else { Duration::ZERO };
        let mut asked = HashSet::new();
        let began = Instant::now();
        loop {
            let orphans = self.lock().orphans();
            let elapsed = began.elapsed();
            if orphans.is_empty() {
                return Ok(());
            } else if elapsed < linger {
                std::thread::sleep(PAUSE);
            } else if elapsed < linger + GRACE {
                for &orphan in orphans.iter().filter(|&&orphan| asked.insert(orphan)) {
                    end(orphan, Signal::Terminate);
                }
                std::thread::sleep(PAUSE);
            } else if elapsed < linger + GRACE + PURSUIT {
                for &orphan in &orphans {
                    end(orphan, Signal::Kill);
                }
                std::thread::sleep(SHORT_PAUSE);
            } else {
                return Err(orphans);
            }
        }
    }

    /// Kills all programs and their descendants at once.
    pub fn kill_all(&self) {
        let running = self.lock();
        for &program in &running.programs {
            end_group(program, Signal::Kill);
        }
        // Their orphans become children of this process as they end.
        let began = Instant::now();
        while began.elapsed() < GRACE {
            let orphans = running.orphans();
            for &orphan in &orphans {
                end(orphan, Signal::Kill);
            }
            if orphans.is_empty() && !running.programs.iter().any(|&program| is_alive(program)) {
                return;
            }
            std::thread::sleep(SHORT_PAUSE);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Starting<'_> {
    /// Registers the program that has started.
    pub fn started(mut self, program: u32) {
        self.0.programs.insert(program);
    }
}

impl Running {
    /// Returns the children that this process has not started. Reaps zombies.
    #[cfg(target_os = "linux")]
    fn orphans(&self) -> Vec<u32> {
        let Some(earlier) = &self.earlier else {
            return Vec::new();
        };
        let mut orphans = linux::children();
        orphans.retain(|child| !earlier.contains(child) && !self.programs.contains(child));
        orphans
            .into_iter()
            .filter(|&child| !linux::reap(child))
            .collect()
    }

    #[cfg(not(target_os = "linux"))]
    fn orphans(&self) -> Vec<u32> {
        let _ = &self.earlier;
        Vec::new()
    }
}

/// Confines a command. It runs in its own process group, as a subreaper, and ends with this process
/// at the latest. It lacks the capabilities that would give it access to other processes' memory.
pub fn confine(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(target_os = "linux")]
    linux::confine(command);
    #[cfg(not(unix))]
    let _ = command;
}

/// Hides this process's memory, which holds tokens and seeds, from other processes of the same
/// user: debuggers cannot attach, `/proc/PID/mem` and `environ` cannot be read, and no core is
/// dumped.
pub fn hide_memory() {
    // On failure the run continues unprotected. docs/bring-your-own-agent.md lists the systems
    // where this works.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Returns whether a child of this process still runs; a zombie does not.
fn is_alive(program: u32) -> bool {
    #[cfg(target_os = "linux")]
    return linux::stat(program).is_some_and(|(state, _)| state != 'Z');
    #[cfg(not(target_os = "linux"))]
    {
        let _ = program;
        false
    }
}
