//! A failing disk, and syncing.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::super::storage::{FileSystem, LogFile, Storage};
use super::super::{Durability, Journal, JournalConfig, JournalError, JournalStats, Position};
use super::{config, open, record, segments};

/// A disk with faults.
#[derive(Default)]
struct Disk {
    /// Bytes it still accepts; `None`: any number.
    free: Mutex<Option<usize>>,
    interrupts: AtomicBool,
    writes_bytes_one_by_one: AtomicBool,
    cannot_truncate: AtomicBool,
    cannot_sync: AtomicBool,
    num_syncs: AtomicUsize,
    /// Syncs wait while this is set.
    is_slow: Mutex<bool>,
    is_fast: Condvar,
}

#[derive(Clone)]
struct Faulty(Arc<Disk>);
struct FaultyFile(Arc<dyn LogFile>, Arc<Disk>);

impl Disk {
    fn slow(&self, is_slow: bool) {
        *self.is_slow.lock().unwrap() = is_slow;
        self.is_fast.notify_all();
    }

    fn fill_up(&self, free: usize) {
        *self.free.lock().unwrap() = Some(free);
    }
}

impl Storage for Faulty {
    fn open(&self, path: &Path, empty: bool) -> io::Result<Arc<dyn LogFile>> {
        let file = FileSystem.open(path, empty)?;
        Ok(Arc::new(FaultyFile(file, Arc::clone(&self.0))))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        FileSystem.remove(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        FileSystem.sync_folder(path)
    }
}

impl LogFile for FaultyFile {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let disk = &self.1;
        let is_interrupted = disk.interrupts.load(Ordering::Relaxed);
        if is_interrupted
            && disk
                .num_syncs
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(2)
        {
            return Err(ErrorKind::Interrupted.into());
        }
        let mut len = bytes.len();
        if disk.writes_bytes_one_by_one.load(Ordering::Relaxed) {
            len = 1;
        }
        if let Some(free) = &mut *disk.free.lock().unwrap() {
            len = len.min(*free);
            if len == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            *free -= len;
        }
        self.0.write(&bytes[..len])
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        if self.1.cannot_truncate.load(Ordering::Relaxed) {
            return Err(io::Error::other("truncating failed"));
        }
        self.0.truncate(len)
    }

    fn sync(&self) -> io::Result<()> {
        let is_slow = self.1.is_slow.lock().unwrap();
        drop(
            self.1
                .is_fast
                .wait_while(is_slow, |is_slow| *is_slow)
                .unwrap(),
        );
        self.1.num_syncs.fetch_add(1, Ordering::Relaxed);
        if self.1.cannot_sync.load(Ordering::Relaxed) {
            return Err(io::Error::other("syncing failed"));
        }
        self.0.sync()
    }
}

fn open_faulty(dir: &Path, durability: Durability) -> (Journal, Arc<Disk>) {
    let disk = Arc::new(Disk::default());
    let config = JournalConfig {
        durability,
        ..config(dir, 300)
    };
    let faulty = Box::new(Faulty(Arc::clone(&disk)));
    let (journal, _) = Journal::open_on(faulty, config, &mut |_, _, _| {}).unwrap();
    (journal, disk)
}

fn set(fault: &AtomicBool) {
    fault.store(true, Ordering::Relaxed);
}

#[test]
fn interrupted_and_short_writes_are_gone_on_with() {
    let folder = TempDir::new().unwrap();
    let (journal, disk) = open_faulty(folder.path(), Durability::Process);
    set(&disk.interrupts);
    set(&disk.writes_bytes_one_by_one);
    journal.put(&[(1, b"one")]).unwrap();
    journal.put(&[(2, b"two"), (3, b"three")]).unwrap();
    drop(journal);
    let records = open(folder.path()).2;
    assert_eq!(
        records,
        [record(1, "one"), record(2, "two"), record(3, "three")]
    );
}

#[test]
fn a_full_disk_changes_nothing() {
    // For any part of the frame, or of the next segment's header, that still fits.
    for free in 0..55 {
        for num_before in [1, 4] {
            let folder = TempDir::new().unwrap();
            let (journal, disk) = open_faulty(folder.path(), Durability::Process);
            for _ in 0..num_before {
                journal.put(&[(1, b"one")]).unwrap();
            }
            let before = journal.stats();
            disk.fill_up(free);
            let error = journal.put(&[(2, b"two")]).unwrap_err();
            assert!(matches!(error, JournalError::Io { .. }), "{error}");
            let failing = JournalStats {
                is_failing: true,
                ..before
            };
            assert_eq!(journal.stats(), failing);
            // Space is freed, and appends succeed again.
            *disk.free.lock().unwrap() = None;
            assert_eq!(
                journal.put(&[(3, b"three")]).unwrap(),
                Position(num_before + 1)
            );
            drop(journal);
            let (_, recovered, mut records) = open(folder.path());
            assert_eq!((recovered.torn_tail_bytes, recovered.corrupt.len()), (0, 0));
            assert_eq!(records.pop(), Some(record(3, "three")));
            assert_eq!(records, vec![record(1, "one"); num_before as usize]);
        }
    }
}

#[test]
fn a_compaction_on_a_full_disk_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let (journal, disk) = open_faulty(folder.path(), Durability::Process);
    while !journal.is_compaction_due() {
        journal.put(&[(1, b"one")]).unwrap();
    }
    let before = (journal.stats(), segments(folder.path()));
    disk.fill_up(20);
    assert!(matches!(
        journal.begin_compaction(),
        Err(JournalError::Io { .. })
    ));
    assert_eq!(journal.stats().bytes, before.0.bytes);
    assert_eq!(segments(folder.path()), before.1);
    *disk.free.lock().unwrap() = None;
    let token = journal.begin_compaction().unwrap().unwrap();
    disk.fill_up(0);
    // The segment that would declare the old ones void cannot be created.
    assert!(matches!(
        journal.finish_compaction(token),
        Err(JournalError::Io { .. })
    ));
    *disk.free.lock().unwrap() = None;
    journal.put(&[(2, b"two")]).unwrap();
    drop(journal);
    let records = open(folder.path()).2;
    assert_eq!(records.len() as u64, before.0.appended_records + 1);
}

#[test]
fn a_failure_that_cannot_be_undone_ends_the_journal() {
    let folder = TempDir::new().unwrap();
    let (journal, disk) = open_faulty(folder.path(), Durability::Process);
    journal.put(&[(1, b"one")]).unwrap();
    disk.fill_up(10);
    set(&disk.cannot_truncate);
    for _ in 0..2 {
        let error = journal.put(&[(2, b"two")]).unwrap_err();
        assert!(matches!(error, JournalError::Poisoned(_)), "{error}");
        *disk.free.lock().unwrap() = None;
        disk.cannot_truncate.store(false, Ordering::Relaxed);
    }
    assert!(journal.stats().is_poisoned);
    assert!(matches!(journal.close(), Err(JournalError::Poisoned(_))));
    drop(journal);
    let (_, recovered, records) = open(folder.path());
    assert_eq!(records, [record(1, "one")]);
    assert_eq!(recovered.torn_tail_bytes, 10);
}

#[tokio::test]
async fn a_failed_sync_is_never_retried() {
    let folder = TempDir::new().unwrap();
    let (journal, disk) = open_faulty(folder.path(), Durability::Disk);
    let durable = journal.put(&[(1, b"one")]).unwrap();
    journal.durable(durable).await.unwrap();
    set(&disk.cannot_sync);
    let lost = journal.put(&[(2, b"two")]).unwrap();
    let error = journal.durable(lost).await.unwrap_err();
    assert!(matches!(error, JournalError::Poisoned(_)), "{error}");
    // The disk recovers, but the journal cannot know what it dropped.
    disk.cannot_sync.store(false, Ordering::Relaxed);
    assert!(matches!(
        journal.put(&[(3, b"three")]),
        Err(JournalError::Poisoned(_))
    ));
    assert!(matches!(
        journal.durable(lost).await,
        Err(JournalError::Poisoned(_))
    ));
    journal.durable(durable).await.unwrap();
    assert!(matches!(journal.close(), Err(JournalError::Poisoned(_))));
}

#[tokio::test]
async fn waiters_share_a_sync() {
    let folder = TempDir::new().unwrap();
    let (journal, disk) = open_faulty(folder.path(), Durability::Disk);
    let journal = Arc::new(journal);
    disk.slow(true);
    let positions: Vec<Position> = (0..3)
        .map(|key| journal.put(&[(key, b"x")]).unwrap())
        .collect();
    let waiters: Vec<_> = (0..100)
        .map(|index| {
            let (journal, position) = (Arc::clone(&journal), positions[index % 3]);
            tokio::spawn(async move { journal.durable(position).await })
        })
        .collect();
    // None completes before the disk has answered.
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    assert_eq!(journal.stats().lag_records, 3);
    assert_eq!(journal.stats().lag_bytes, 3 * 53);
    disk.slow(false);
    for waiter in waiters {
        waiter.await.unwrap().unwrap();
    }
    // The first sync may have begun after the first append; another one covers the rest.
    let num_syncs = journal.stats().syncs;
    assert!((1..=2).contains(&num_syncs), "{num_syncs}");
    assert_eq!(
        (journal.stats().lag_records, journal.stats().lag_bytes),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_threads_append_and_wait() {
    let folder = TempDir::new().unwrap();
    let (journal, _) = open_faulty(folder.path(), Durability::Disk);
    let journal = Arc::new(journal);
    let tasks: Vec<_> = (0..16_u64)
        .map(|key| {
            let journal = Arc::clone(&journal);
            tokio::spawn(async move {
                for index in 0..20_u8 {
                    let position = journal.put(&[(key, &[index])]).unwrap();
                    journal.durable(position).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(journal.stats().lag_records, 0);
    assert!(journal.stats().segments > 10);
    drop(journal);
    let records = open(folder.path()).2;
    for key in 0..16 {
        let of_key: Vec<u8> = records
            .iter()
            .filter(|(k, _)| *k == key)
            .map(|(_, p)| p[0])
            .collect();
        assert_eq!(of_key, (0..20).collect::<Vec<u8>>());
    }
}

#[tokio::test]
async fn closing_syncs_whatever_was_promised() {
    for durability in [Durability::Process, Durability::Disk] {
        let folder = TempDir::new().unwrap();
        let (journal, disk) = open_faulty(folder.path(), durability);
        let position = journal.put(&[(1, b"one")]).unwrap();
        let before = disk.num_syncs.load(Ordering::Relaxed);
        journal.close().unwrap();
        assert!(disk.num_syncs.load(Ordering::Relaxed) > before);
        journal.durable(position).await.unwrap();
    }
}

/// A disk counts as full until it accepts bytes again, which is noticed without an append.
#[test]
fn a_full_disk_is_noticed_and_so_is_its_end() {
    let folder = TempDir::new().unwrap();
    let (journal, disk) = open_faulty(folder.path(), Durability::Process);
    journal.put(&[(1, b"one")]).unwrap();
    journal.look_after();
    assert_eq!(journal.trouble(), None);
    disk.fill_up(10);
    journal.put(&[(1, b"two")]).unwrap_err();
    assert!(journal.trouble().is_some() && journal.stats().is_failing);
    disk.fill_up(1_000);
    journal.look_after();
    assert!(
        journal.trouble().is_some(),
        "there is room for a step, and soon none"
    );
    *disk.free.lock().unwrap() = None;
    journal.look_after();
    assert_eq!(journal.trouble(), None);
    assert!(!folder.path().join("probe").exists());
    // A successful append ends the trouble, too.
    disk.fill_up(10);
    journal.put(&[(1, b"two")]).unwrap_err();
    *disk.free.lock().unwrap() = None;
    journal.put(&[(1, b"two")]).unwrap();
    assert_eq!(journal.trouble(), None);
}

/// For any part of a large body that still fits.
#[test]
fn a_full_disk_in_the_middle_of_a_body_changes_nothing() {
    let much = vec![7; 5 << 20];
    for free in [10, 1 << 20, (1 << 20) + 60, 4 << 20] {
        let folder = TempDir::new().unwrap();
        let (journal, disk) = open_faulty(folder.path(), Durability::Process);
        journal.put(&[(1, b"one")]).unwrap();
        let before = journal.stats();
        disk.fill_up(free);
        journal.put(&[(2, &much)]).unwrap_err();
        assert_eq!(journal.stats().appended_bytes, before.appended_bytes);
        *disk.free.lock().unwrap() = None;
        journal.put(&[(3, b"three")]).unwrap();
        journal.put(&[(2, &much)]).unwrap();
        drop(journal);
        let (_, recovered, records) = open(folder.path());
        assert_eq!((recovered.torn_tail_bytes, recovered.corrupt.len()), (0, 0));
        let keys: Vec<_> = records.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, [1, 3, 2]);
        assert!(records[2].1 == much);
    }
}
