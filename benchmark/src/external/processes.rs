//! Everything that programs from outside have started, to be ended with them: their process groups and, on Linux, also
//! what has left those.
//!
//! A program adopts what it has started, however deep (`PR_SET_CHILD_SUBREAPER`): a process whose parent ends becomes the
//! program's own child. This process adopts in the same way, so what the program leaves behind when it ends becomes a child
//! of the benchmark. A child that the benchmark has not started itself is therefore always left by a program that has
//! ended, and is ended as well.

use std::collections::HashSet;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long what a program leaves may take to end by itself: helpers of many libraries do, once it is gone.
const LINGER: Duration = Duration::from_millis(500);

/// Between asking to end and ending.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long processes are ended that keep starting others, until that is given up.
const PURSUIT: Duration = Duration::from_secs(10);

/// Between looks at processes.
pub const PAUSE: Duration = Duration::from_millis(20);

/// Between rounds of ending them.
const SHORT_PAUSE: Duration = Duration::from_millis(1);

/// Process groups of programs under way, for whoever must end them all at once.
#[derive(Clone, Debug, Default)]
pub struct Groups(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    /// Process ids of the programs, each the id of its group, too.
    programs: HashSet<u32>,
    /// Children that this process had before it adopted any; `None` where it adopts none.
    earlier: Option<HashSet<u32>>,
}

/// Programs that are started one at a time, and known from the moment they are there.
pub struct Starting<'a>(MutexGuard<'a, Running>);

impl Groups {
    /// Makes this process adopt what programs leave behind. From then on, every child that it starts in another way than
    /// through this is ended with the next program.
    pub fn adopting() -> Self {
        let groups = Self::default();
        #[cfg(target_os = "linux")]
        if rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_ok() {
            groups.lock().earlier = Some(linux::children());
        }
        groups
    }

    /// Held while a program is started.
    pub fn starting(&self) -> Starting<'_> {
        Starting(self.lock())
    }

    /// Forgets a program that has been ended.
    pub fn forget(&self, program: u32) {
        self.lock().programs.remove(&program);
    }

    /// Ends what programs that have ended left behind. `in_time`: it may end by itself first.
    ///
    /// # Errors
    /// The ids of processes that are still there.
    pub fn end_orphans(&self, in_time: bool) -> Result<(), Vec<u32>> {
        let linger = if in_time { LINGER } else { Duration::ZERO };
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

    /// Ends all programs and what they have started, now.
    pub fn kill_all(&self) {
        let running = self.lock();
        for &program in &running.programs {
            end_group(program, Signal::Kill);
        }
        // What they leave comes here as soon as they are gone.
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
    /// Takes note of a program that is there now.
    pub fn started(mut self, program: u32) {
        self.0.programs.insert(program);
    }
}

impl Running {
    /// Children that nobody here has started; those that have ended by now are forgotten by the system.
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

/// Has a command run in a group of its own, adopt what it starts, end with this process, and see less of others.
pub fn confine(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(target_os = "linux")]
    linux::confine(command);
    #[cfg(not(unix))]
    let _ = command;
}

/// Keeps this process's memory, in which tokens and seeds are, from other processes of the same user: debuggers and
/// `/proc/PID/{mem,environ,fd}` are closed to them, and no core is dumped.
pub fn hide_memory() {
    // A system that does not know of it refuses, and docs/bring-your-own-agent.md says so.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// What is sent to processes.
#[derive(Clone, Copy)]
pub enum Signal {
    /// Asks to end.
    Terminate,
    /// Ends.
    Kill,
}

#[cfg(unix)]
impl Signal {
    const fn number(self) -> rustix::process::Signal {
        match self {
            Self::Terminate => rustix::process::Signal::TERM,
            Self::Kill => rustix::process::Signal::KILL,
        }
    }
}

#[cfg(unix)]
fn pid(number: u32) -> Option<rustix::process::Pid> {
    i32::try_from(number)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
}

/// Sends a signal to a process group. That nobody is left in it is no matter.
pub fn end_group(group: u32, signal: Signal) {
    #[cfg(unix)]
    if let Some(group) = pid(group) {
        let _ = rustix::process::kill_process_group(group, signal.number());
    }
    // Elsewhere there are no process groups: only the program itself is ended, by its handle.
    #[cfg(not(unix))]
    let _ = (group, signal);
}

/// Sends a signal to a process.
fn end(process: u32, signal: Signal) {
    #[cfg(unix)]
    if let Some(process) = pid(process) {
        let _ = rustix::process::kill_process(process, signal.number());
    }
    #[cfg(not(unix))]
    let _ = (process, signal);
}

/// Whether a child of this process still runs: one that has ended waits to be asked how.
fn is_alive(program: u32) -> bool {
    #[cfg(target_os = "linux")]
    return linux::stat(program).is_some_and(|(state, _)| state != 'Z');
    #[cfg(not(target_os = "linux"))]
    {
        let _ = program;
        false
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashSet;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use rustix::process::{
        Signal, WaitOptions, getpid, set_child_subreaper, set_parent_process_death_signal, waitpid,
    };
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    /// What lets root look into other processes or change the system beneath them.
    const WITHHELD: [CapabilitySet; 7] = [
        CapabilitySet::SYS_PTRACE,
        CapabilitySet::SYS_ADMIN,
        CapabilitySet::SYS_MODULE,
        CapabilitySet::SYS_RAWIO,
        CapabilitySet::BPF,
        CapabilitySet::PERFMON,
        CapabilitySet::CHECKPOINT_RESTORE,
    ];

    pub(super) fn confine(command: &mut Command) {
        let prepare = || {
            set_child_subreaper(Some(getpid()))?;
            set_parent_process_death_signal(Some(Signal::KILL))?;
            withhold();
            Ok(())
        };
        // SAFETY: it runs between fork and exec, and makes system calls only: it allocates nothing and takes no locks.
        unsafe { command.pre_exec(prepare) };
    }

    /// Who is not root has none of these, may not give them up, and need not.
    fn withhold() {
        for capability in WITHHELD {
            let _ = rustix::thread::remove_capability_from_bounding_set(capability);
        }
        if let Ok(mut sets) = capabilities(None) {
            sets.inheritable = CapabilitySet::empty();
            let _ = set_capabilities(None, sets);
        }
    }

    /// The ids of this process's children, those that have ended and wait to be asked how among them.
    pub(super) fn children() -> HashSet<u32> {
        let own = std::process::id();
        let is_child = |pid: &u32| stat(*pid).is_some_and(|(_, parent)| parent == own);
        processes().filter(is_child).collect()
    }

    fn processes() -> impl Iterator<Item = u32> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    }

    /// A process's state and its parent.
    pub(super) fn stat(pid: u32) -> Option<(char, u32)> {
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        // Its name stands in parentheses, may have any bytes, and comes before all that is wanted.
        let end = text.iter().rposition(|&byte| byte == b')')?;
        let mut fields = std::str::from_utf8(&text[end + 1..])
            .ok()?
            .split_whitespace();
        let state = fields.next()?.chars().next()?;
        Some((state, fields.next()?.parse().ok()?))
    }

    /// Takes note of a child's end, if it has ended.
    pub(super) fn reap(child: u32) -> bool {
        let Some(child) = super::pid(child) else {
            return true;
        };
        !matches!(waitpid(Some(child), WaitOptions::NOHANG), Ok(None))
    }
}
