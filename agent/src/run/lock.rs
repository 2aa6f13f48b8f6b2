//! One process at a time in a folder.
//!
//! The system's lock keeps other processes out, and is released when the process ends, however it ends. Some drives have
//! no locks (NFS without its lock daemon, some of FUSE). There a file names the process that uses the folder; a file that a
//! dead process left is replaced.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A folder that only this process uses, until the value is dropped or the process ends in any way: the system releases
/// the lock even after `kill -9`. The locked file stays; it is empty and means nothing by itself.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
    /// The file in place of a lock, where the drive has none.
    owner: Option<OwnerFile>,
}

impl FolderLock {
    /// The file that is locked.
    pub const FILE: &str = "run.lock";
    /// The file that names the process that uses the folder, where there are no locks.
    pub const OWNER_FILE: &str = "run.owner";

    /// Creates the folder, unless it exists, and locks it.
    ///
    /// # Errors
    /// [`LockError::Busy`] while another process, or another part of this process, uses it; [`LockError::Owned`] where
    /// there are no locks and it is unknown whether another machine uses it; [`LockError::Io`] where the folder or the
    /// file cannot be created.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        Self::take_with(directory, File::try_lock)
    }

    fn take_with(
        directory: &Path,
        try_lock: impl FnOnce(&File) -> Result<(), TryLockError>,
    ) -> Result<Self, LockError> {
        let path = directory.join(Self::FILE);
        fs::create_dir_all(directory).map_err(|reason| LockError::Io {
            path: directory.to_owned(),
            reason,
        })?;
        let io = |reason| LockError::Io {
            path: path.clone(),
            reason,
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io)?;
        let owner = match try_lock(&file) {
            Ok(()) => None,
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Busy {
                    directory: directory.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) if is_without_locks(&error) => {
                Some(OwnerFile::take(directory)?)
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        };
        Ok(Self { _file: file, owner })
    }

    /// Returns a warning for the user if the drive has no locks.
    pub fn warning(&self) -> Option<String> {
        self.owner.as_ref().map(|owner| {
            format!(
                "the drive has no locks: {} keeps other processes out, which is less safe",
                owner.path.display()
            )
        })
    }
}

/// Returns whether a lock failed because the drive has none.
fn is_without_locks(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::ENOLCK) {
        return true;
    }
    error.kind() == ErrorKind::Unsupported
}

/// A file that only one process can create. It is removed with the value, but not if the process is killed.
#[derive(Debug)]
struct OwnerFile {
    path: PathBuf,
}

impl OwnerFile {
    fn take(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(FolderLock::OWNER_FILE);
        let io = |reason| LockError::Io {
            path: path.clone(),
            reason,
        };
        let us = Owner::this_process();
        for _ in 0..2 {
            match File::create_new(&path) {
                Ok(mut file) => {
                    let text = format!("{} {}\n", us.process, us.host);
                    file.write_all(text.as_bytes()).map_err(io)?;
                    return Ok(Self { path });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io(error)),
            }
            let owner = fs::read_to_string(&path)
                .ok()
                .and_then(|text| Owner::read(&text));
            match owner {
                Some(owner) if owner.host == us.host && owner.is_running() => {
                    return Err(LockError::Busy {
                        directory: directory.to_owned(),
                    });
                }
                // A process of this machine that has ended.
                Some(owner) if owner.host == us.host => {
                    let _ = fs::remove_file(&path);
                }
                _ => break,
            }
        }
        Err(LockError::Owned { path })
    }
}

impl Drop for OwnerFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A process of a machine.
struct Owner {
    process: u32,
    host: String,
}

impl Owner {
    fn this_process() -> Self {
        Self {
            process: std::process::id(),
            host: host_name(),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (process, host) = text.trim_end().split_once(' ')?;
        Some(Self {
            process: process.parse().ok()?,
            host: host.to_owned(),
        })
    }

    /// Returns whether a process of this machine has that number; true where the system cannot tell.
    fn is_running(&self) -> bool {
        #[cfg(unix)]
        {
            let is_gone = |pid| {
                // SAFETY: signal 0 is not sent to the process; the call only reports errors.
                let answer = unsafe { libc::kill(pid, 0) };
                answer != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
            };
            // 0 and negative numbers are groups of processes.
            let pid = i32::try_from(self.process).ok().filter(|&pid| pid > 0);
            pid.is_some_and(|pid| !is_gone(pid))
        }
        #[cfg(not(unix))]
        true
    }
}

#[cfg(unix)]
fn host_name() -> String {
    let mut name = [0_u8; 256];
    // SAFETY: at most as many bytes are written as there are; the last one stays 0.
    let _ = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let name = std::ffi::CStr::from_bytes_until_nul(&name).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// Reasons why a folder could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process uses it.
    #[error(
        "another process is at work in {}: wait until it has ended, or stop it first",
        directory.display()
    )]
    Busy {
        /// The folder.
        directory: PathBuf,
    },
    /// The drive has no locks, and a process of another machine may use it.
    #[error(
        "{} says that another machine is at work here, and the drive has no locks: make sure that it has ended, and \
         delete that file",
        path.display()
    )]
    Owned {
        /// The file that names the process.
        path: PathBuf,
    },
    /// The file system.
    #[error("cannot write {}: {reason}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_used_by_one_process_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("run");
        let first = FolderLock::take(&folder).unwrap();
        assert_eq!(first.warning(), None);
        let error = FolderLock::take(&folder).unwrap_err().to_string();
        assert!(
            error.starts_with("another process is at work in "),
            "{error}"
        );
        drop(first);
        FolderLock::take(&folder).unwrap();
    }

    /// The errors of `flock` on NFS without a lock daemon, and on drives that do not know the call.
    #[cfg(unix)]
    #[test]
    fn without_locks_a_file_keeps_others_out() {
        for errno in [libc::ENOLCK, libc::EOPNOTSUPP, libc::ENOSYS] {
            let root = tempfile::tempdir().unwrap();
            let folder = root.path().join("run");
            let take = || {
                let refused = io::Error::from_raw_os_error(errno);
                FolderLock::take_with(&folder, |_| Err(TryLockError::Error(refused)))
            };
            let first = take().unwrap();
            let warning = first.warning().unwrap();
            assert!(warning.contains("has no locks"), "{warning}");
            assert!(matches!(take(), Err(LockError::Busy { .. })));
            drop(first);
            drop(take().unwrap());

            let owner = folder.join(FolderLock::OWNER_FILE);
            assert!(!owner.exists());
            // A process that has ended.
            let mut child = std::process::Command::new("true").spawn().unwrap();
            child.wait().unwrap();
            let host = Owner::this_process().host;
            fs::write(&owner, format!("{} {host}\n", child.id())).unwrap();
            drop(take().unwrap());

            fs::write(&owner, "1 another-machine.invalid\n").unwrap();
            let error = take().unwrap_err().to_string();
            assert!(
                error.contains("run.owner") && error.contains("delete"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_folder_that_cannot_be_created_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = FolderLock::take(&file.join("run")).unwrap_err();
        assert!(matches!(error, LockError::Io { .. }), "{error}");
    }
}
