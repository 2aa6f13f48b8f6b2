//! Files that are replaced as a whole: a reader, and whoever comes after a crash, sees the old content or the new.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Extension of a file that is being written; it takes the place of the file's own.
pub(crate) const UNFINISHED: &str = "tmp";

/// Puts `bytes` in the place of what a file held. When that fails, it holds what it held.
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
