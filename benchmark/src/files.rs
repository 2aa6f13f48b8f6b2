//! Access to files in folders that external programs can write to as well. A program may put a
//! named pipe, a link or a folder in a file's place: none of these may block this process or
//! redirect its writes.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;

/// Extension of a file that is being written; it takes the place of the file's own.
pub(crate) const UNFINISHED: &str = "partial";

/// Reads a whole file. Fails without waiting on anything but a regular file.
///
/// # Errors
/// As [`std::fs::read`]; `InvalidInput` for anything but a regular file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    options.read(true);
    // Without this flag, opening a named pipe waits for a writer.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits() as i32,
    );
    let mut file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As [`read`], for text.
///
/// # Errors
/// As [`read`]; `InvalidData` if it is not UTF-8.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// Creates a new file, after removing anything that has its name.
///
/// # Errors
/// When the old file cannot be removed or the new one cannot be created.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    remove(path)?;
    File::options().write(true).create_new(true).open(path)
}

/// Replaces a whole file at once: readers see the old or the new contents, never part of them.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(UNFINISHED);
    create_new(&beside)?.write_all(bytes)?;
    if path.symlink_metadata().is_ok_and(|there| there.is_dir()) {
        std::fs::remove_dir_all(path)?;
    }
    std::fs::rename(&beside, path)
}

/// Removes a file, or a folder with its contents, if it exists. Does not follow links.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(there) if there.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    fn pipe(path: &Path) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_in_place_of_a_file_blocks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.txt");
        pipe(&path);
        assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(read(folder.path()).is_err());
        pipe(&folder.path().join("x.partial"));
        replace(&path, b"new").unwrap();
        assert_eq!(read_text(&path).unwrap(), "new");
        std::fs::remove_file(&path).unwrap();
        pipe(&path);
        create_new(&path).unwrap();
        assert_eq!(read(&path).unwrap(), b"");
    }

    #[test]
    #[cfg(unix)]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let [link, target] = ["x.txt", "target"].map(|name| folder.path().join(name));
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("kept"), "kept").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(read(&link).unwrap(), b"new");
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        remove(&link).unwrap();
        assert_eq!(read(&target.join("kept")).unwrap(), b"kept");
        std::fs::create_dir(&link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(read(&link).unwrap(), b"new");
    }
}
