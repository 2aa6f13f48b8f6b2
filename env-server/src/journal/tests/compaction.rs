//! Compaction, and crashes at every point of it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::super::storage::{FileSystem, LogFile, Storage};
use super::super::{Durability, Journal, JournalConfig, JournalError, Key};
use super::{config, copy, open_with, segments};

const SEGMENT_BYTES: u64 = 1_000;

/// Counters: `=n` sets one, `+` adds one.
#[derive(Default, Debug, PartialEq, Eq, Clone)]
struct State(BTreeMap<Key, u8>);

impl State {
    fn apply(&mut self, key: Key, payload: &[u8]) {
        match payload {
            [b'=', value] => _ = self.0.insert(key, *value),
            b"+" => *self.0.get_mut(&key).unwrap() += 1,
            other => panic!("{other:?}"),
        }
    }
}

fn read(dir: &Path) -> (Journal, State) {
    let (journal, recovered, records) = open_with(config(dir, SEGMENT_BYTES));
    assert_eq!(recovered.corrupt, []);
    let mut state = State::default();
    for (key, payload) in records {
        state.apply(key, &payload);
    }
    (journal, state)
}

/// Appends counters until a compaction is due.
fn fill(journal: &Journal, state: &mut State) {
    let mut append = |key, payload: &[u8]| {
        journal.put(&[(key, payload)]).unwrap();
        state.apply(key, payload);
    };
    for key in 0..5 {
        append(key, b"=\0");
    }
    for index in 0.. {
        if journal.is_compaction_due() {
            break;
        }
        append(index % 5, b"+");
    }
}

fn compact(journal: &Journal, state: &State) -> Result<(), JournalError> {
    let token = journal.begin_compaction()?.expect("it was due");
    for (key, value) in &state.0 {
        journal.put(&[(*key, &[b'=', *value])])?;
    }
    journal.finish_compaction(token)
}

#[test]
fn a_compaction_keeps_the_state_and_frees_the_rest() {
    let folder = TempDir::new().unwrap();
    let (journal, mut state) = read(folder.path());
    assert!(journal.begin_compaction().unwrap().is_none());
    for round in 1..=5 {
        fill(&journal, &mut state);
        assert!(journal.stats().bytes >= SEGMENT_BYTES);
        compact(&journal, &state).unwrap();
        // Two segments' headers and five records of 54 bytes.
        assert_eq!(journal.stats().bytes, 2 * 56 + 5 * 54);
        assert_eq!(journal.stats().compactions, round);
        assert_eq!(segments(folder.path()).len(), 2);
        assert!(!journal.is_compaction_due());
    }
    drop(journal);
    let (journal, recovered) = read(folder.path());
    assert_eq!(recovered, state);
    assert!(!journal.is_compaction_due());
}

#[test]
fn the_next_compaction_waits_for_twice_what_the_last_one_left() {
    let folder = TempDir::new().unwrap();
    let (journal, ..) = open_with(config(folder.path(), SEGMENT_BYTES));
    let fill_up = |journal: &Journal| {
        let before = journal.stats().bytes;
        while !journal.is_compaction_due() {
            journal.put(&[(1, &[0; 48])]).unwrap();
        }
        journal.stats().bytes - before
    };
    fill_up(&journal);
    let token = journal.begin_compaction().unwrap().unwrap();
    assert!(!journal.is_compaction_due());
    assert!(journal.begin_compaction().unwrap().is_none());
    for _ in 0..50 {
        journal.put(&[(1, &[0; 48])]).unwrap();
    }
    journal.finish_compaction(token).unwrap();
    let left = journal.stats().bytes;
    drop(journal);
    // The same after opening the journal again.
    let (journal, ..) = open_with(config(folder.path(), SEGMENT_BYTES));
    let grown = fill_up(&journal);
    assert!(
        (2 * left - 200..2 * left + 200).contains(&grown),
        "{grown} after {left}"
    );
}

#[test]
fn a_compaction_given_up_deletes_nothing() {
    let folder = TempDir::new().unwrap();
    let (journal, mut state) = read(folder.path());
    fill(&journal, &mut state);
    drop(journal.begin_compaction().unwrap().unwrap());
    assert!(!journal.is_compaction_due());
    fill(&journal, &mut state);
    compact(&journal, &state).unwrap();
    drop(journal);
    assert_eq!(read(folder.path()).1, state);
}

#[test]
fn a_token_of_another_journal_is_refused() {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (journal, mut state) = read(one.path());
    fill(&journal, &mut state);
    let token = journal.begin_compaction().unwrap().unwrap();
    let error = read(other.path()).0.finish_compaction(token).unwrap_err();
    assert!(matches!(error, JournalError::ForeignToken));
}

/// Copies the folder before every operation on it.
struct Camera {
    dir: PathBuf,
    copies: PathBuf,
    num_copies: Arc<AtomicU64>,
    /// Allows one operation at a time, so that a copy shows a single moment.
    lock: Mutex<()>,
}

impl Camera {
    /// Takes a copy, then does `operation`.
    fn before<T>(&self, operation: impl FnOnce() -> T) -> T {
        let _guard = self.lock.lock().unwrap();
        let number = self.num_copies.fetch_add(1, Ordering::Relaxed);
        copy(&self.dir, &self.copies.join(number.to_string()));
        operation()
    }
}

struct Watched(Arc<Camera>);
struct WatchedFile(Arc<dyn LogFile>, Arc<Camera>);

impl Storage for Watched {
    fn open(&self, path: &Path, empty: bool) -> io::Result<Arc<dyn LogFile>> {
        let file = self.0.before(|| FileSystem.open(path, empty))?;
        Ok(Arc::new(WatchedFile(file, Arc::clone(&self.0))))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.before(|| FileSystem.remove(path))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.0.before(|| FileSystem.sync_folder(path))
    }
}

impl LogFile for WatchedFile {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        // Write only half, so that copies with torn frames and headers are taken as well.
        self.1
            .before(|| self.0.write(&bytes[..bytes.len().div_ceil(2)]))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.before(|| self.0.sync())
    }
}

#[test]
fn a_crash_at_any_point_of_a_compaction_loses_nothing() {
    for durability in [Durability::Process, Durability::Disk] {
        let (folder, copies) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let (journal, mut state) = read(folder.path());
        fill(&journal, &mut state);
        drop(journal);
        let num_copies = Arc::new(AtomicU64::new(0));
        let camera = Camera {
            dir: folder.path().to_owned(),
            copies: copies.path().to_owned(),
            num_copies: Arc::clone(&num_copies),
            lock: Mutex::new(()),
        };
        let config = JournalConfig {
            durability,
            ..config(folder.path(), SEGMENT_BYTES / 5)
        };
        let watched = Box::new(Watched(Arc::new(camera)));
        let (journal, _) = Journal::open_on(watched, config, &mut |_, _, _| {}).unwrap();
        assert!(journal.stats().segments > 1);
        compact(&journal, &state).unwrap();
        drop(journal);
        let num_copies = num_copies.load(Ordering::Relaxed);
        assert!(num_copies > 20, "{num_copies}");
        for number in 0..num_copies {
            let dir = copies.path().join(number.to_string());
            let (journal, recovered) = read(&dir);
            assert_eq!(recovered, state, "copy {number} of {num_copies}");
            // And it continues, up to another compaction.
            let mut state = recovered;
            fill(&journal, &mut state);
            compact(&journal, &state).unwrap();
            drop(journal);
            assert_eq!(read(&dir).1, state, "copy {number} of {num_copies}");
        }
        assert_eq!(read(folder.path()).1, state);
    }
}
