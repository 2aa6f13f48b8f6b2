//! Files that only this process should change during a run. An external program has the same user
//! and could change them too, so a copy in memory holds the expected contents: changes are detected
//! and undone.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::files;

/// An open file and a copy of its expected contents.
#[derive(Debug)]
pub struct SealedFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    expected: Vec<u8>,
}

impl SealedFile {
    /// Opens a file, or creates it. `keep` returns the length to keep of the given contents; the
    /// rest is cut off.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn open(path: &Path, keep: impl FnOnce(&[u8]) -> usize) -> Result<Self, Error> {
        let file = append_to(path)?;
        let mut expected = files::read(path).map_err(Error::read(path))?;
        let kept = keep(&expected);
        if kept < expected.len() {
            expected.truncate(kept);
            file.set_len(kept as u64).map_err(Error::write(path))?;
        }
        Ok(Self {
            path: path.to_owned(),
            state: Mutex::new(State { file, expected }),
        })
    }

    /// Appends bytes and flushes them to the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut state = self.lock();
        let written = state.file.write_all(bytes);
        let written = written.and_then(|()| state.file.sync_data());
        if let Err(error) = written {
            // Part of the bytes may have been written. Cut it off, or it would look like a forgery.
            let _ = state.file.set_len(state.expected.len() as u64);
            return Err(Error::write(&self.path)(error));
        }
        state.expected.extend_from_slice(bytes);
        Ok(())
    }

    /// Checks that the file still has the expected contents, and restores it otherwise. Returns
    /// whether it was unchanged.
    ///
    /// # Errors
    /// When it cannot be restored.
    pub fn check(&self) -> Result<bool, Error> {
        let mut state = self.lock();
        let is_own = self
            .path
            .symlink_metadata()
            .is_ok_and(|there| there.is_file());
        if is_own && files::read(&self.path).is_ok_and(|bytes| bytes == state.expected) {
            return Ok(true);
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::write(folder))?;
        }
        files::replace(&self.path, &state.expected).map_err(Error::write(&self.path))?;
        state.file = append_to(&self.path)?;
        Ok(false)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append_to(path: &Path) -> Result<File, Error> {
    let mut options = File::options();
    options.create(true).append(true);
    // Without this flag, opening a named pipe waits for a reader.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits() as i32,
    );
    options.open(path).map_err(Error::write(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_detected_and_undone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        let sealed = SealedFile::open(&path, |bytes| bytes.len()).unwrap();
        sealed.append(b"one\n").unwrap();
        assert!(sealed.check().unwrap());
        let changes: [&dyn Fn(); 5] = [
            &|| std::fs::write(&path, "won\n").unwrap(),
            &|| std::fs::write(&path, "one\ntwo\n").unwrap(),
            &|| std::fs::remove_file(&path).unwrap(),
            &|| {
                std::fs::remove_file(&path).unwrap();
                std::fs::create_dir_all(path.join("x")).unwrap();
            },
            #[cfg(unix)]
            &|| {
                std::fs::rename(&path, folder.path().join("y")).unwrap();
                std::os::unix::fs::symlink("y", &path).unwrap();
            },
        ];
        for change in changes {
            change();
            assert!(!sealed.check().unwrap());
            assert!(sealed.check().unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
        }
        std::fs::write(&path, "").unwrap();
        sealed.check().unwrap();
        sealed.append(b"two\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        let again = SealedFile::open(&path, |_| 4).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
        assert!(again.check().unwrap());
    }
}
