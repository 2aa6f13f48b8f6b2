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

/// Replaces a whole file at once: readers see the old or the new contents, never part of them, also
/// after a crash.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(UNFINISHED);
    let mut file = create_new(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
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

/// Copies a folder with all files and folders in it; `to` does not exist. Follows no links. Leaves
/// out links and whatever else is neither a file nor a folder, and returns how many there were.
///
/// # Errors
/// When something cannot be read or written. Then `to` has a part.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> io::Result<usize> {
    std::fs::create_dir(to)?;
    let mut left_out = 0;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, copy) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            left_out += copy_folder(&entry.path(), &copy)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &copy)?;
        } else {
            left_out += 1;
        }
    }
    Ok(left_out)
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

    #[test]
    #[cfg(unix)]
    fn a_copied_folder_has_files_and_folders_and_no_links() {
        let root = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| root.path().join(name));
        std::fs::create_dir_all(from.join("work/empty")).unwrap();
        std::fs::write(from.join("work/kept"), "kept").unwrap();
        std::fs::write(root.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink("../secret", from.join("link")).unwrap();
        std::os::unix::fs::symlink(root.path(), from.join("work/round")).unwrap();
        pipe(&from.join("work/pipe"));
        assert_eq!(copy_folder(&from, &to).unwrap(), 3);
        assert_eq!(read(&to.join("work/kept")).unwrap(), b"kept");
        let names = |folder: &Path| -> Vec<_> {
            let entries = std::fs::read_dir(folder).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&to), ["work"]);
        assert_eq!(names(&to.join("work")), ["empty", "kept"]);
    }
}
