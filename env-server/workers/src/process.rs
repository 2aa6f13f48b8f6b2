//! A child process that speaks frames: starts it, reads what it sends, and says how it ended.

use std::io;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::frame::{self, Frame};

/// Time for a process without a call to end by itself, after which it is killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks at a process that is about to end.
const POLL: Duration = Duration::from_millis(5);

/// A process, and the directory that is removed with it.
#[derive(Debug)]
pub struct Process {
    child: Mutex<Child>,
    scratch: Mutex<Option<TempDir>>,
}

impl Process {
    /// Starts a process in a group of its own, so that Ctrl-C reaches the caller alone. Returns it
    /// with its input and output.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(
        command: &mut Command,
        scratch: Option<TempDir>,
    ) -> io::Result<(Arc<Self>, ChildStdin, ChildStdout)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let mut child = command.spawn()?;
        let input = child.stdin.take().expect("the input is a pipe");
        let output = child.stdout.take().expect("the output is a pipe");
        let process = Self {
            child: Mutex::new(child),
            scratch: Mutex::new(scratch),
        };
        Ok((Arc::new(process), input, output))
    }

    /// Returns its process id, which is also that of its group.
    pub fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    /// Whether it has not ended.
    pub fn lives(&self) -> bool {
        is_running(&mut lock(&self.child))
    }

    /// Waits a while for the process to end; `None` if it does not.
    pub fn wait(&self) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Ok(Some(status)) = lock(&self.child).try_wait() {
                return Some(status);
            }
            if began.elapsed() > PATIENCE {
                return None;
            }
            std::thread::sleep(POLL);
        }
    }

    /// Lets the process, whose input has ended, end by itself; kills it if it does not.
    pub fn end(&self) {
        if self.wait().is_none() {
            self.kill();
        }
    }

    /// Kills the process and whatever else is in its group, and waits for its end.
    pub fn kill(&self) {
        let mut child = lock(&self.child);
        #[cfg(unix)]
        if let Some(group) = held_id(&child) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Returns the read end of its standard error, if that is a pipe, once.
    pub fn take_errors(&self) -> Option<ChildStderr> {
        lock(&self.child).stderr.take()
    }

    /// Removes its directory.
    pub fn remove_scratch(&self) {
        drop(lock(&self.scratch).take());
    }

    /// Says how the process ended, which has closed its output. `name` is what it is.
    pub fn ending(&self, name: &str) -> String {
        match self.wait() {
            Some(status) => format!("the {name} ended with {status}"),
            None => format!("the {name} closed its output"),
        }
    }
}

/// Whether it has not ended. Its number stays its own, and its group can still be ended.
#[cfg(unix)]
fn is_running(child: &mut Child) -> bool {
    matches!(peek(child), Ok(None))
}

#[cfg(not(unix))]
fn is_running(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

/// Returns its number, unless its end has been collected: the number may then be another process's.
#[cfg(unix)]
fn held_id(child: &Child) -> Option<rustix::process::Pid> {
    peek(child).ok()?;
    rustix::process::Pid::from_raw(child.id().cast_signed())
}

/// Looks whether it has ended without collecting its end.
///
/// # Errors
/// When its end has been collected.
#[cfg(unix)]
fn peek(child: &Child) -> rustix::io::Result<Option<rustix::process::WaitIdStatus>> {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let id = Pid::from_raw(child.id().cast_signed()).ok_or(rustix::io::Errno::CHILD)?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(id), options)
}

/// Reads frames on a thread of this name, and hands each on, until `take` refuses one. The last is
/// an error or the end.
pub(crate) fn read_frames(
    name: &str,
    mut output: ChildStdout,
    mut take: impl FnMut(io::Result<Option<Frame>>) -> bool + Send + 'static,
) -> io::Result<()> {
    let read = move || {
        loop {
            let frame = frame::read(&mut output);
            let is_last = !matches!(frame, Ok(Some(_)));
            if !take(frame) || is_last {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name(name.into());
    thread.spawn(read).map(drop)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
