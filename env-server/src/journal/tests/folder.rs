//! A folder that belongs to another process or user, that has gone, or that is full.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::super::{Journal, JournalError};
use super::{config, open, record, segments};

fn refused(folder: &TempDir) -> JournalError {
    Journal::open(config(folder.path(), 1 << 20), &mut |_, _, _| {})
        .err()
        .expect("it is refused")
}

#[test]
fn a_removed_lock_file_lets_no_process_in() {
    let folder = TempDir::new().unwrap();
    let (journal, ..) = open(folder.path());
    fs::remove_file(folder.path().join("lock")).unwrap();
    assert!(matches!(refused(&folder), JournalError::Locked(_)));
    drop(journal);
    open(folder.path());
}

#[cfg(unix)]
#[test]
fn a_folder_that_everybody_may_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = refused(&folder);
    assert!(matches!(&error, JournalError::Unsafe { .. }), "{error}");
    assert!(error.to_string().contains("0777"), "{error}");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
    open(folder.path());
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_no_segment() {
    let elsewhere = TempDir::new().unwrap();
    let target = elsewhere.path().join("target");
    fs::write(&target, "kept").unwrap();
    let name = format!("{:020}.journal", 1);
    for kind in ["symlink", "folder", "fifo"] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(&name);
        match kind {
            "symlink" => std::os::unix::fs::symlink(&target, &path).unwrap(),
            "folder" => fs::create_dir(&path).unwrap(),
            _ => {
                let fifo = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, 0o600.into(), 0).unwrap();
            }
        }
        let error = refused(&folder);
        assert!(
            matches!(error, JournalError::Unsafe { .. }),
            "{kind}: {error}"
        );
    }
    assert_eq!(fs::read_to_string(target).unwrap(), "kept");
}

/// Appends until it is refused, for a limited time: the folder is checked every few milliseconds.
fn until_refused(journal: &Journal) -> JournalError {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        if let Err(error) = journal.put(&[(1, b"more")]) {
            return error;
        }
        assert!(Instant::now() < until, "appends go into nothing");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Housekeeping may find the trouble just after an append has found the folder in place.
#[test]
fn a_known_trouble_refuses_the_next_append() {
    let above = TempDir::new().unwrap();
    let dir = above.path().join("data");
    let (journal, ..) = open(&dir);
    let away = above.path().join("away");
    for round in 0..20 {
        journal.put(&[(round, b"kept")]).unwrap();
        fs::rename(&dir, &away).unwrap();
        journal.look_after();
        let refused = journal.put(&[(round, b"lost")]);
        assert!(matches!(refused, Err(JournalError::Gone(_))), "{round}");
        fs::rename(&away, &dir).unwrap();
        journal.look_after();
    }
}

#[test]
fn nothing_is_acknowledged_into_a_folder_that_is_gone() {
    let above = TempDir::new().unwrap();
    let dir = above.path().join("data");
    let (journal, ..) = open(&dir);
    journal.put(&[(1, b"one")]).unwrap();
    assert_eq!(journal.trouble(), None);
    let away = above.path().join("away");
    fs::rename(&dir, &away).unwrap();
    let error = until_refused(&journal);
    assert!(matches!(&error, JournalError::Gone(_)), "{error}");
    assert_eq!(journal.trouble().unwrap().to_string(), error.to_string());
    journal.look_after();
    assert!(journal.trouble().is_some());
    // The folder is back, and the trouble ends without an append.
    fs::rename(&away, &dir).unwrap();
    journal.look_after();
    assert_eq!(journal.trouble(), None);
    journal.put(&[(2, b"two")]).unwrap();
    // Its newest file is gone, which housekeeping notices before the next append.
    let path = segments(&dir).pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    journal.look_after();
    assert!(journal.trouble().is_some());
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(until_refused(&journal), JournalError::Gone(_)));
    drop(journal);
    assert_eq!(open(&dir).2.last().unwrap(), &record(2, "two"));
}
