//! The promises of the journal, tested on real files.

mod anywhere;
mod compaction;
mod crash;
mod damage;
mod faults;
mod folder;
mod parts;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::frame::{HEADER_LEN, SEGMENT_HEADER_LEN};
use super::{Durability, Journal, JournalConfig, JournalError, Key, Position, Recovered};

/// A record as it was read back.
type Record = (Key, Vec<u8>);

impl Journal {
    /// Appends records without names.
    fn put(&self, records: &[(Key, &[u8])]) -> Result<Position, JournalError> {
        let records: Vec<_> = records
            .iter()
            .map(|(key, payload)| super::Record::new(*key, payload))
            .collect();
        self.append(&records)
    }
}

fn config(dir: &Path, segment_bytes: u64) -> JournalConfig {
    JournalConfig {
        segment_bytes,
        ..JournalConfig::new(dir, Durability::Process)
    }
}

/// Opens a journal and collects what it held.
fn open_with(config: JournalConfig) -> (Journal, Recovered, Vec<Record>) {
    let mut records = Vec::new();
    let opened = Journal::open(config, &mut |_, key, payload| {
        records.push((key, payload.to_vec()));
    });
    let (journal, recovered) = opened.unwrap();
    assert_eq!(recovered.records, records.len() as u64);
    (journal, recovered, records)
}

fn open(dir: &Path) -> (Journal, Recovered, Vec<Record>) {
    open_with(config(dir, 1 << 20))
}

/// Segments of a folder, the oldest first.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "journal")
        })
        .collect();
    paths.sort();
    paths
}

/// Copies a folder of files.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn record(key: Key, payload: &str) -> Record {
    (key, payload.as_bytes().to_vec())
}

#[test]
fn records_come_back_in_order() {
    let folder = TempDir::new().unwrap();
    let (journal, recovered, _) = open(folder.path());
    assert_eq!((recovered.segments, recovered.bytes), (0, 0));
    assert_eq!(journal.put(&[(7, b"seven")]).unwrap().get(), 1);
    assert_eq!(journal.put(&[(8, b""), (7, b"again")]).unwrap().get(), 2);
    drop(journal);

    let (journal, recovered, records) = open(folder.path());
    assert_eq!(
        records,
        [record(7, "seven"), record(8, ""), record(7, "again")]
    );
    assert_eq!(recovered.torn_tail_bytes, 0);
    assert_eq!(recovered.corrupt, []);
    // 56 bytes of the segment's header, 52 + 5, 52 + 2 × 12 + 4 + 5.
    assert_eq!(recovered.bytes, 198);
    // Numbering continues.
    assert_eq!(journal.put(&[(9, b"nine")]).unwrap().get(), 3);
}

#[test]
fn full_segments_are_followed_by_others() {
    let folder = TempDir::new().unwrap();
    let segment_bytes = (SEGMENT_HEADER_LEN + 3 * (HEADER_LEN + 8)) as u64;
    let (journal, ..) = open_with(config(folder.path(), segment_bytes));
    for key in 0..10 {
        journal.put(&[(key, &key.to_le_bytes())]).unwrap();
    }
    assert_eq!(journal.stats().segments, 4);
    assert_eq!(journal.stats().bytes, 4 * 56 + 10 * 60);
    // A frame that fits into no segment gets one of its own.
    journal.put(&[(10, &[0; 1_000])]).unwrap();
    drop(journal);
    let lens: Vec<u64> = segments(folder.path())
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .collect();
    assert_eq!(lens, [236, 236, 236, 116, 56 + 52 + 1_000]);
    let (journal, recovered, records) = open_with(config(folder.path(), segment_bytes));
    assert_eq!(recovered.segments, 5);
    assert_eq!(
        records.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
        (0..=10).collect::<Vec<_>>()
    );
    assert_eq!(journal.stats().bytes, recovered.bytes);
}

#[test]
fn one_journal_at_a_time() {
    let folder = TempDir::new().unwrap();
    let (journal, ..) = open(folder.path());
    let second = Journal::open(config(folder.path(), 1 << 20), &mut |_, _, _| {});
    assert!(matches!(second, Err(JournalError::Locked(dir)) if dir == folder.path()));
    drop(journal);
    open(folder.path());
}

#[test]
fn appends_are_bounded() {
    let folder = TempDir::new().unwrap();
    let (journal, ..) = open(folder.path());
    let many = vec![(1, b"x".as_slice()); 65_536];
    for records in [&[][..], &many] {
        let error = journal.put(records).unwrap_err();
        assert!(matches!(error, JournalError::FrameSize { .. }), "{error}");
    }
    journal.put(&many[1..]).unwrap();
    drop(journal);
    let (_, recovered, records) = open(folder.path());
    assert_eq!(recovered.corrupt, []);
    assert_eq!(records.len(), 65_535);
}

#[test]
fn a_closed_journal_takes_nothing() {
    let folder = TempDir::new().unwrap();
    let (journal, ..) = open(folder.path());
    journal.put(&[(1, b"kept")]).unwrap();
    journal.close().unwrap();
    journal.close().unwrap();
    assert!(matches!(
        journal.put(&[(1, b"late")]),
        Err(JournalError::Closed)
    ));
    drop(journal);
    assert_eq!(open(folder.path()).2, [record(1, "kept")]);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()));
    let path = &segments(folder.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[8] = 3;
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..56]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    fs::write(path, &bytes).unwrap();
    let opened = Journal::open(config(folder.path(), 1 << 20), &mut |_, _, _| {});
    let error = opened.err().unwrap();
    assert!(
        matches!(error, JournalError::NewerFormat { version: 3, .. }),
        "{error}"
    );
    assert_eq!(fs::read(path).unwrap(), bytes);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("new");
    drop(open(&dir));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&segments(&dir)[0]), 0o600);
}
