//! Only one process at a time can use a folder.
//!
//! Two locks of the operating system are taken: one on the file `lock`, and one on the folder
//! itself, which still holds if the file is removed. Where the file system has no locks (a network
//! drive without a lock service returns ENOLCK), a file `owner` stands in for them by naming the
//! process that uses the folder. A process of this machine is looked up; one of another machine
//! counts as alive as long as it touches the file, which it does about once a second.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::system::{boot, private};
use super::types::JournalError;

/// Time without a touch after which a folder claimed by another machine is free.
const SILENCE: Duration = Duration::from_secs(60);

/// A lock on a folder, held until it is dropped.
pub(super) struct FolderLock {
    /// Files locked by the operating system.
    files: Vec<File>,
    claim: Option<Claim>,
}

impl FolderLock {
    /// Locks a folder.
    ///
    /// # Errors
    /// [`JournalError::Locked`] when another process has the folder, [`JournalError::Io`] when this
    /// cannot be determined.
    pub fn take(path: &Path) -> Result<FolderLock, JournalError> {
        let lock_path = path.join("lock");
        let lock = private()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|error| JournalError::io("open the lock", &lock_path, error))?;
        let mut files = Vec::new();
        let mut refused = None;
        match try_lock(&lock) {
            Ok(()) => files.push(lock),
            Err(TryLockError::WouldBlock) => return Err(JournalError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => refused = Some(error),
        }
        // Not every file system locks folders. Where it does not, the lock on the file is enough.
        #[cfg(unix)]
        if let Ok(folder) = File::open(path) {
            match try_lock(&folder) {
                Ok(()) => files.push(folder),
                Err(TryLockError::WouldBlock) => return Err(JournalError::Locked(path.to_owned())),
                Err(TryLockError::Error(_)) => {}
            }
        }
        let claim = match refused {
            Some(error) if files.is_empty() => {
                tracing::warn!(
                    %error,
                    path = %path.display(),
                    "this file system has no locks: the file `owner` keeps other servers out"
                );
                Some(Claim::take(path)?)
            }
            _ => None,
        };
        Ok(FolderLock { files, claim })
    }

    /// Shows that this process is alive, where there are no locks to show it.
    pub fn keep(&self) {
        if let Some(claim) = &self.claim {
            claim.touch();
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing the files releases the locks, unless another thread is just starting a process:
        // until that process runs its own program it holds copies of the open files.
        for file in &self.files {
            let _ = file.unlock();
        }
    }
}

/// Locks a file if it is free; retries when a signal interrupts it.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    loop {
        match file.try_lock() {
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// The file that names the process using the folder.
struct Claim {
    path: PathBuf,
    text: String,
}

impl Claim {
    fn take(folder: &Path) -> Result<Claim, JournalError> {
        let (path, text) = (folder.join("owner"), myself());
        // The second attempt follows if the previous owner has ended.
        for _ in 0..2 {
            let created = private().create_new(true).write(true).open(&path);
            match created.and_then(|mut file| file.write_all(text.as_bytes())) {
                Ok(()) => return Ok(Claim { path, text }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(JournalError::io("create", &path, error)),
            }
            let is_free = is_abandoned(&path, &text, folder)
                .map_err(|error| JournalError::io("read", &path, error))?;
            if !is_free {
                break;
            }
            // If several processes find it abandoned, only one succeeds in renaming it.
            let stale = folder.join(format!("owner.{}", std::process::id()));
            if fs::rename(&path, &stale).is_ok() {
                let _ = fs::remove_file(&stale);
            }
        }
        Err(JournalError::Locked(folder.to_owned()))
    }

    fn is_mine(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|text| text == self.text)
    }

    fn touch(&self) {
        // Write to the file, so that the time comes from the file system's clock, not from this
        // machine's.
        let touched = private()
            .write(true)
            .open(&self.path)
            .and_then(|mut file| file.write_all(self.text.as_bytes()));
        if let Err(error) = touched {
            tracing::warn!(%error, path = %self.path.display(), "cannot be touched: other machines may conclude that this server has ended");
        }
    }
}

/// Whether the process named by a claim has ended. `mine` is what this process would write.
fn is_abandoned(path: &Path, mine: &str, folder: &Path) -> io::Result<bool> {
    let text = fs::read_to_string(path)?;
    let (mut lines, mut mine) = (text.lines(), mine.lines());
    let machine = (lines.next(), lines.next());
    let Some(process) = lines
        .next()
        .filter(|_| machine == (mine.next(), mine.next()))
    else {
        // From another machine; or its writer has yet to write, or ended before it could.
        return is_silent(path, folder);
    };
    let pid = process.split(' ').next().and_then(|pid| pid.parse().ok());
    Ok(pid.is_none_or(|pid| this_process(pid) != process))
}

/// Whether a claim has not been touched for [`SILENCE`], by the clock of the file system.
fn is_silent(path: &Path, folder: &Path) -> io::Result<bool> {
    let watch = folder.join(format!("owner.{}", std::process::id()));
    let now = private()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&watch)
        .and_then(|mut file| {
            file.write_all(b"?")?;
            file.metadata()?.modified()
        });
    let _ = fs::remove_file(&watch);
    let touched = fs::metadata(path)?.modified()?;
    Ok(now?.duration_since(touched).is_ok_and(|age| age > SILENCE))
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_mine() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Describes this process in three lines: the machine, its boot id, and the process.
fn myself() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let process = this_process(std::process::id());
    format!("{}\n{:016x}\n{process}\n", host.trim(), boot())
}

/// Describes a process by its id and start time, so that a reused id is recognised. Without
/// `/proc`, by the id alone.
fn this_process(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the program's name in parentheses, which may contain anything.
    let behind = stat.rsplit(')').next().unwrap_or_default();
    match behind.split_whitespace().nth(19) {
        Some(begun) => format!("{pid} {begun}"),
        None if Path::new("/proc/self/stat").exists() => format!("{pid} gone"),
        None => format!("{pid}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn is_taken(folder: &Path) -> bool {
        matches!(Claim::take(folder), Err(JournalError::Locked(_)))
    }

    /// Without locks, a file keeps others out, but the file of a killed process does not.
    #[test]
    fn a_claim_holds_as_long_as_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let claim = Claim::take(folder.path()).unwrap();
        assert!(is_taken(folder.path()));
        claim.touch();
        assert!(claim.is_mine());
        drop(claim);
        let path = folder.path().join("owner");
        assert!(!path.exists());
        let mine = myself();
        let (here, _) = mine.trim_end().rsplit_once('\n').unwrap();
        let begun_before = format!("{} 1", std::process::id());
        for gone in ["4194305 7", &begun_before] {
            fs::write(&path, format!("{here}\n{gone}\n")).unwrap();
            drop(Claim::take(folder.path()).unwrap());
        }
    }

    #[test]
    fn a_claim_of_another_machine_holds_until_it_is_silent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("owner");
        for text in ["elsewhere\n0123\n7 7\n", ""] {
            fs::write(&path, text).unwrap();
            assert!(is_taken(folder.path()));
            let long_ago = SystemTime::now() - 2 * SILENCE;
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(long_ago).unwrap();
            let claim = Claim::take(folder.path()).unwrap();
            assert!(claim.is_mine());
        }
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
