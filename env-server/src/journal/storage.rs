//! The journal's folder, and what is asked of the file system, behind a trait so that tests can make it fail.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalError;
use super::frame::{SEGMENT_HEADER_LEN, SegmentHeader};

/// A segment that is open for appending.
pub(super) trait LogFile: Send + Sync {
    /// Appends some of `bytes` and says how many, like [`Write::write`].
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts the file to `len` bytes; what is appended next follows there.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Returns when the file's content is on the disk.
    fn sync(&self) -> io::Result<()>;
}

impl LogFile for File {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self;
        Write::write(&mut file, bytes)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The file system, as far as a journal writes to it.
pub(super) trait Storage: Send + Sync {
    /// Opens a segment for appending, created if need be; `empty`: whatever it held is thrown away.
    fn open(&self, path: &Path, empty: bool) -> io::Result<Arc<dyn LogFile>>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Returns when the folder's list of files is on the disk.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The real file system.
pub(super) struct FileSystem;

impl Storage for FileSystem {
    fn open(&self, path: &Path, empty: bool) -> io::Result<Arc<dyn LogFile>> {
        let file = private().create(true).append(true).open(path)?;
        if empty {
            file.set_len(0)?;
        }
        Ok(Arc::new(file))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// Options for files that only their owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Appends all of `bytes`, going on after interruptions and short writes.
pub(super) fn write_all(file: &dyn LogFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => bytes = &bytes[len..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The folder of one journal, locked for this process.
pub(super) struct Folder {
    path: PathBuf,
    storage: Box<dyn Storage>,
    lock: File,
}

impl Folder {
    /// Creates the folder if need be (mode 0700) and locks it.
    pub fn open(path: &Path, storage: Box<dyn Storage>) -> Result<Folder, JournalError> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .recursive(true)
            .create(path)
            .map_err(|error| JournalError::io("create the folder", path, error))?;
        let lock_path = path.join("lock");
        let lock = private()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|error| JournalError::io("open the lock", &lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Folder {
                path: path.to_owned(),
                storage,
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(JournalError::io("lock", &lock_path, error)),
        }
    }

    /// Where a segment lies.
    pub fn segment_path(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:020}.journal"))
    }

    /// Numbers of the segments there are, ascending. Files with other names are none of ours.
    pub fn segments(&self) -> Result<Vec<u64>, JournalError> {
        let unreadable = |error| JournalError::io("list the folder", &self.path, error);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_suffix(".journal"))
                .filter(|digits| digits.len() == 20)
                .and_then(|digits| digits.parse().ok());
            numbers.extend(number.filter(|number| (1..u64::MAX).contains(number)));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Creates a segment that holds its header only, in place of whatever a broken-off attempt left.
    pub fn create(&self, header: &SegmentHeader) -> Result<Arc<dyn LogFile>, JournalError> {
        let path = self.segment_path(header.number);
        let create = || {
            let file = self.storage.open(&path, true)?;
            write_all(&*file, &header.encode())?;
            Ok(file)
        };
        create().map_err(|error| {
            // Should this fail as well, the next opening finds a segment without a header and removes it.
            let _ = self.storage.remove(&path);
            JournalError::io("create", &path, error)
        })
    }

    /// Opens a segment for appending after its first `len` bytes; the rest is cut off, durably.
    pub fn reopen(&self, number: u64, len: u64) -> Result<Arc<dyn LogFile>, JournalError> {
        let path = self.segment_path(number);
        let reopen = || {
            let file = self.storage.open(&path, false)?;
            file.truncate(len)?;
            file.sync()?;
            Ok(file)
        };
        reopen().map_err(|error| JournalError::io("reopen", &path, error))
    }

    /// The first bytes of a segment, as many as its header has, and its length.
    pub fn read_header(&self, number: u64) -> Result<(Vec<u8>, u64), JournalError> {
        let path = self.segment_path(number);
        let read = || {
            let file = File::open(&path)?;
            let len = file.metadata()?.len();
            let mut bytes = Vec::with_capacity(SEGMENT_HEADER_LEN);
            io::Read::read_to_end(
                &mut io::Read::take(file, SEGMENT_HEADER_LEN as u64),
                &mut bytes,
            )?;
            Ok((bytes, len))
        };
        read().map_err(|error| JournalError::io("read", &path, error))
    }

    /// Reads a whole segment over `buffer`.
    pub fn read(&self, number: u64, buffer: &mut Vec<u8>) -> Result<(), JournalError> {
        let path = self.segment_path(number);
        buffer.clear();
        File::open(&path)
            .and_then(|mut file| io::Read::read_to_end(&mut file, buffer))
            .map_err(|error| JournalError::io("read", &path, error))?;
        Ok(())
    }

    /// Removes a segment.
    pub fn remove(&self, number: u64) -> Result<(), JournalError> {
        let path = self.segment_path(number);
        match self.storage.remove(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(JournalError::io("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// Returns when the folder's list of files is on the disk.
    pub fn sync(&self) -> Result<(), JournalError> {
        self.storage
            .sync_folder(&self.path)
            .map_err(|error| JournalError::io("sync the folder", &self.path, error))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing the file would do, but for a process that another thread is just starting: it has a copy of the open file
        // until it runs its own program.
        let _ = self.lock.unlock();
    }
}
