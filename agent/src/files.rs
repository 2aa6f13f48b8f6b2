//! Files that are replaced as a whole: a reader sees the old content or the new, also after a
//! crash. Folders that only one process can create.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Extension of a file that is being written; it takes the place of the file's own.
pub const UNFINISHED: &str = "tmp";

/// Replaces the content of a file by `bytes`. When that fails, it holds what it held.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    let write = || {
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().inspect_err(|_| {
        // On a full disk it is in the way.
        let _ = fs::remove_file(&unfinished);
    })
}

/// Creates a new folder in an existing one, with this name or the first free one of `NAME-2`,
/// `NAME-3` and so on.
/// Two processes never make the same.
///
/// # Errors
/// The folder that cannot be made, and why.
pub fn create_next(wanted: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
    for number in 1_u64.. {
        let mut name = wanted.as_os_str().to_owned();
        if number > 1 {
            name.push(format!("-{number}"));
        }
        let folder = PathBuf::from(name);
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err((folder, error)),
        }
    }
    unreachable!("no drive has 2⁶⁴ folders")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        // A folder of that name cannot be replaced by a file.
        let taken = folder.path().join("taken.json");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("inside"), "").unwrap();
        replace(&taken, b"new").unwrap_err();
        assert!(!folder.path().join("taken.tmp").exists());
    }
}
