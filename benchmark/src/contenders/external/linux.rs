//! Linux: process state, and the restrictions on programs.

use std::collections::HashSet;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{
    Signal, WaitOptions, getpid, set_child_subreaper, set_parent_process_death_signal, waitpid,
};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// Capabilities that let root read other processes' memory, or change the kernel to do so.
const WITHHELD: [CapabilitySet; 7] = [
    CapabilitySet::SYS_PTRACE,
    CapabilitySet::SYS_ADMIN,
    CapabilitySet::SYS_MODULE,
    CapabilitySet::SYS_RAWIO,
    CapabilitySet::BPF,
    CapabilitySet::PERFMON,
    CapabilitySet::CHECKPOINT_RESTORE,
];

/// Confines a command as [`super::processes::confine`] describes.
pub fn confine(command: &mut Command) {
    let prepare = || {
        set_child_subreaper(Some(getpid()))?;
        set_parent_process_death_signal(Some(Signal::KILL))?;
        withhold();
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec and only makes system calls: it allocates
    // nothing and takes no locks.
    unsafe { command.pre_exec(prepare) };
}

/// Withholds [`WITHHELD`]. Ignores errors: without root, a process has no such capabilities to
/// drop.
fn withhold() {
    for capability in WITHHELD {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    if let Ok(mut sets) = capabilities(None) {
        sets.inheritable = CapabilitySet::empty();
        let _ = set_capabilities(None, sets);
    }
}

/// Returns the ids of this process's children, including zombies.
pub fn children() -> HashSet<u32> {
    let own = std::process::id();
    let is_child = |pid: &u32| stat(*pid).is_some_and(|(_, parent)| parent == own);
    processes().filter(is_child).collect()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Returns the state and the parent of a process.
pub fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may contain any bytes. The other fields follow it.
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let mut fields = std::str::from_utf8(&text[end + 1..])
        .ok()?
        .split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

/// Reaps a child if it has ended, and returns whether it has.
pub fn reap(child: u32) -> bool {
    let Some(child) = super::signals::pid(child) else {
        return true;
    };
    !matches!(waitpid(Some(child), WaitOptions::NOHANG), Ok(None))
}
