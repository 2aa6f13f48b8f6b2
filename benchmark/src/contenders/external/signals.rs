//! Signals that end processes and process groups.

/// A signal that ends processes.
#[derive(Clone, Copy)]
pub enum Signal {
    /// SIGTERM: asks the process to end.
    Terminate,
    /// SIGKILL: ends the process.
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
pub fn pid(number: u32) -> Option<rustix::process::Pid> {
    i32::try_from(number)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
}

/// Sends a signal to a process group, which may be empty.
pub fn end_group(group: u32, signal: Signal) {
    #[cfg(unix)]
    if let Some(group) = pid(group) {
        let _ = rustix::process::kill_process_group(group, signal.number());
    }
    // Without process groups, only the program itself is ended, through its handle.
    #[cfg(not(unix))]
    let _ = (group, signal);
}

/// Sends a signal to a process.
pub fn end(process: u32, signal: Signal) {
    #[cfg(unix)]
    if let Some(process) = pid(process) {
        let _ = rustix::process::kill_process(process, signal.number());
    }
    #[cfg(not(unix))]
    let _ = (process, signal);
}
