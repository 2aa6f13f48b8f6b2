//! One process at a time in a folder.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// A folder that this process has for itself until the value is dropped, or the process ends in whatever way: the
/// system gives the lock back even after `kill -9`. The file that is locked stays; it is empty and means nothing by
/// itself.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// The file that is locked.
    pub const FILE: &str = "run.lock";

    /// Makes the folder, unless it is there, and takes it. On a file system without locks nothing is kept out.
    ///
    /// # Errors
    /// [`LockError::Busy`] while another process, or another part of this one, has it; [`LockError::Io`] where the
    /// folder or the file cannot be made.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
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
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Busy {
                    directory: directory.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        Ok(Self { _file: file })
    }
}

/// Why a folder could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else is at work in it.
    #[error(
        "another process is at work in {}: wait until it has ended, or stop it first",
        directory.display()
    )]
    Busy {
        /// The folder.
        directory: PathBuf,
    },
    /// The file system.
    #[error("cannot write {}: {reason}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_had_by_one_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("run");
        let first = FolderLock::take(&folder).unwrap();
        let error = FolderLock::take(&folder).unwrap_err().to_string();
        assert!(
            error.starts_with("another process is at work in "),
            "{error}"
        );
        drop(first);
        FolderLock::take(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = FolderLock::take(&file.join("run")).unwrap_err();
        assert!(matches!(error, LockError::Io { .. }), "{error}");
    }
}
