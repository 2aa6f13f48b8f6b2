//! The journal's folder, and the file system operations behind a trait, so that tests can make them
//! fail.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{SEGMENT_HEADER_LEN, SegmentHeader};
use super::lock::FolderLock;
use super::system::private;
use super::types::JournalError;

/// A segment that is open for appending.
pub(super) trait LogFile: Send + Sync {
    /// Appends some of `bytes` and returns how many, like [`Write::write`].
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts the file to `len` bytes; what is appended next follows there.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Returns when the file's contents are on the disk.
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

/// The file system operations with which a journal writes.
pub(super) trait Storage: Send + Sync {
    /// Opens a segment for appending, creating it if needed; `empty` discards its contents.
    fn open(&self, path: &Path, empty: bool) -> io::Result<Arc<dyn LogFile>>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Returns when the folder's entries are on the disk.
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

/// Appends all of `bytes`, continuing after interruptions and short writes.
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

/// Identity of the file or folder that a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Identity {
    fn from_path(path: &Path) -> io::Result<Identity> {
        let metadata = fs::metadata(path)?;
        #[cfg(unix)]
        return Ok(Identity {
            device: std::os::unix::fs::MetadataExt::dev(&metadata),
            inode: std::os::unix::fs::MetadataExt::ino(&metadata),
        });
        #[cfg(not(unix))]
        return Ok({
            let _ = metadata;
            Identity {}
        });
    }
}

/// Free bytes below which a file system counts as full.
const FULL_BYTES: u64 = 64 << 10;
/// Bytes written to test whether a folder that refused some accepts them again.
const PROBE_BYTES: usize = 16 << 10;

/// The folder of one journal, locked for this process.
pub(super) struct Folder {
    path: PathBuf,
    storage: Box<dyn Storage>,
    lock: FolderLock,
}

impl Folder {
    /// Creates the folder if needed (mode 0700) and locks it.
    pub fn open(path: &Path, storage: Box<dyn Storage>) -> Result<Folder, JournalError> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .recursive(true)
            .create(path)
            .map_err(|error| JournalError::io("create the folder", path, error))?;
        check_mode(path)?;
        Ok(Folder {
            path: path.to_owned(),
            storage,
            lock: FolderLock::take(path)?,
        })
    }

    /// Returns the identity of a segment's file.
    pub fn identity(&self, number: u64) -> Result<Identity, JournalError> {
        let path = self.segment_path(number);
        Identity::from_path(&path).map_err(|error| JournalError::io("find", &path, error))
    }

    /// Checks that the path of a segment still leads to the file that was opened, so that neither
    /// the file nor its folder has been deleted, moved, or hidden under another mount.
    pub fn check_is_there(&self, number: u64, identity: Identity) -> Result<(), JournalError> {
        match Identity::from_path(&self.segment_path(number)) {
            Ok(found) if found == identity => Ok(()),
            Ok(_) => Err(JournalError::Gone(self.segment_path(number))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(JournalError::Gone(self.segment_path(number)))
            }
            Err(error) => Err(JournalError::io("find", &self.segment_path(number), error)),
        }
    }

    /// Checks that the file system has room, as far as it says.
    pub fn check_room(&self) -> Result<(), JournalError> {
        #[cfg(unix)]
        if let Ok(found) = rustix::fs::statvfs(&self.path)
            && found.f_blocks > 0
            && found.f_bavail.saturating_mul(found.f_frsize) < FULL_BYTES
        {
            let error = io::Error::from(ErrorKind::StorageFull);
            return Err(JournalError::io("append to files in", &self.path, error));
        }
        Ok(())
    }

    /// Checks that the folder accepts bytes, by writing some.
    pub fn probe(&self) -> Result<(), JournalError> {
        let path = self.path.join("probe");
        let probe = || {
            let file = self.storage.open(&path, true)?;
            write_all(&*file, &[0; PROBE_BYTES])
        };
        let probed = probe().map_err(|error| JournalError::io("write to", &path, error));
        let _ = self.storage.remove(&path);
        probed
    }

    /// Shows other machines that this process still uses the folder, where there are no locks.
    pub fn keep_lock(&self) {
        self.lock.keep();
    }

    /// Path of a segment.
    pub fn segment_path(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:020}.journal"))
    }

    /// Path of a segment's index.
    pub fn index_path(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:020}.index"))
    }

    /// Returns the numbers of the segments, ascending. Files with other names are ignored.
    pub fn segments(&self) -> Result<Vec<u64>, JournalError> {
        self.numbers(".journal")
    }

    /// Returns the numbers of the indexes.
    pub fn indexes(&self) -> Result<Vec<u64>, JournalError> {
        self.numbers(".index")
    }

    /// Returns the number of files set aside and their bytes.
    pub fn aside(&self) -> (u64, u64) {
        let files = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let aside = files.filter(|file| {
            let name = file.file_name();
            name.to_str().is_some_and(|name| name.ends_with(".damaged"))
        });
        aside.fold((0, 0), |(files, bytes), file| {
            (files + 1, bytes + file.metadata().map_or(0, |m| m.len()))
        })
    }

    fn numbers(&self, suffix: &str) -> Result<Vec<u64>, JournalError> {
        let unreadable = |error| JournalError::io("list the folder", &self.path, error);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_suffix(suffix))
                .filter(|digits| digits.len() == 20)
                .and_then(|digits| digits.parse().ok());
            numbers.extend(number.filter(|number| (1..u64::MAX).contains(number)));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Creates a segment that holds only its header, replacing what an interrupted attempt left.
    pub fn create(&self, header: &SegmentHeader) -> Result<Arc<dyn LogFile>, JournalError> {
        let path = self.segment_path(header.number);
        let create = || {
            let file = self.storage.open(&path, true)?;
            write_all(&*file, &header.encode())?;
            Ok(file)
        };
        create().map_err(|error| {
            // If this fails too, the next opening finds a segment without a header and removes it.
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

    /// Reads the first bytes of a segment, up to the length of its header, and returns them with
    /// the segment's length.
    pub fn read_header(&self, number: u64) -> Result<(Vec<u8>, u64), JournalError> {
        let path = self.segment_path(number);
        check_file(&path)?;
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

    /// Reads a whole segment into `buffer`, replacing its contents.
    pub fn read(&self, number: u64, buffer: &mut Vec<u8>) -> Result<(), JournalError> {
        let path = self.segment_path(number);
        buffer.clear();
        File::open(&path)
            .and_then(|mut file| io::Read::read_to_end(&mut file, buffer))
            .map_err(|error| JournalError::io("read", &path, error))?;
        Ok(())
    }

    /// Removes a segment and its index.
    pub fn remove(&self, number: u64) -> Result<(), JournalError> {
        let path = self.segment_path(number);
        match self.storage.remove(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(JournalError::io("remove", &path, error));
            }
            _ => {}
        }
        self.remove_index(number);
        Ok(())
    }

    /// Removes the index of a deleted segment.
    pub fn remove_index(&self, number: u64) {
        // If it remains, the next opening removes it.
        let _ = fs::remove_file(self.index_path(number));
    }

    /// Renames a segment that is no longer current but may contain damage, so that it is left
    /// alone.
    pub fn set_aside(&self, number: u64) -> Result<PathBuf, JournalError> {
        let path = self.segment_path(number);
        let aside = self.free_name(number);
        fs::rename(&path, &aside).map_err(|error| JournalError::io("rename", &path, error))?;
        self.remove_index(number);
        Ok(aside)
    }

    /// Writes bytes that are about to be cut off a segment to a file of their own, durably.
    pub fn save_aside(&self, number: u64, bytes: &[u8]) -> Result<PathBuf, JournalError> {
        let aside = self.free_name(number);
        let save = || {
            let mut file = private().create_new(true).write(true).open(&aside)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        save().map_err(|error| {
            let _ = fs::remove_file(&aside);
            JournalError::io("write", &aside, error)
        })?;
        Ok(aside)
    }

    /// Returns a free name for a file to set aside.
    fn free_name(&self, number: u64) -> PathBuf {
        let name = |suffix: &str| self.path.join(format!("{number:020}{suffix}.damaged"));
        let numbered = (2..).map(|copy: u64| name(&format!("-{copy}")));
        let mut names = std::iter::once(name("")).chain(numbered);
        names
            .find(|path| fs::symlink_metadata(path).is_err())
            .expect("there is always another")
    }

    /// Returns when the folder's entries are on the disk.
    pub fn sync(&self) -> Result<(), JournalError> {
        self.storage
            .sync_folder(&self.path)
            .map_err(|error| JournalError::io("sync the folder", &self.path, error))
    }
}

/// Refuses a folder to which other users can write.
fn check_mode(path: &Path) -> Result<(), JournalError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata =
            fs::metadata(path).map_err(|error| JournalError::io("look at", path, error))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o002 != 0 {
            return Err(JournalError::Unsafe {
                path: path.to_owned(),
                detail: format!(
                    "every user of this machine can write to it (mode {mode:04o}): remove that \
                     permission (chmod o-w), or choose a new folder inside it"
                ),
            });
        }
    }
    let _ = path;
    Ok(())
}

/// Refuses anything with the name of a segment that is not a regular file: opening it could block
/// or lead elsewhere.
fn check_file(path: &Path) -> Result<(), JournalError> {
    let metadata =
        fs::symlink_metadata(path).map_err(|error| JournalError::io("look at", path, error))?;
    match metadata.is_file() {
        true => Ok(()),
        false => Err(JournalError::Unsafe {
            path: path.to_owned(),
            detail: "it is named like a segment but is not a regular file".to_owned(),
        }),
    }
}
