//! Bodies of more than one frame are read back completely or not at all.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::super::frame::{HEADER_LEN, MAX_PART_LEN, SEGMENT_HEADER_LEN};
use super::super::{Damage, Journal, Key, Recovered};
use super::{Record, config, open_with, record, segments};

/// Opens a journal with segments that hold several of them.
fn open(dir: &Path) -> (Journal, Recovered, Vec<Record>) {
    open_with(config(dir, 64 << 20))
}

/// Two and a half parts.
fn much() -> Vec<u8> {
    (0..MAX_PART_LEN * 5 / 2)
        .map(|at| (at % 251) as u8)
        .collect()
}

/// Writes a small record, a large one, a frame with a small and a large one, and another small one.
/// Returns where each ends.
fn write(journal: &Journal) -> [usize; 4] {
    let much = much();
    let records: [&[(Key, &[u8])]; 4] = [
        &[(1, b"one")],
        &[(2, &much)],
        &[(3, b"three"), (4, &much)],
        &[(5, b"five")],
    ];
    records.map(|records| {
        journal.put(records).unwrap();
        journal.stats().bytes as usize
    })
}

fn expected() -> Vec<Record> {
    let much = much();
    vec![
        record(1, "one"),
        (2, much.clone()),
        record(3, "three"),
        (4, much),
        record(5, "five"),
    ]
}

fn keys(records: &[Record]) -> Vec<Key> {
    records.iter().map(|(key, _)| *key).collect()
}

#[test]
fn large_records_come_back() {
    let folder = TempDir::new().unwrap();
    let (journal, ..) = open(folder.path());
    let ends = write(&journal);
    assert_eq!(ends[1] - ends[0], 3 * HEADER_LEN + much().len());
    drop(journal);
    let (journal, recovered, records) = open(folder.path());
    assert_eq!((recovered.corrupt.len(), recovered.torn_tail_bytes), (0, 0));
    assert!(records == expected());
    // Six parts and two frames.
    assert_eq!(journal.put(&[(6, b"six")]).unwrap().get(), 9);
}

/// Wherever a process ends while writing, everything before is there, nothing is reported, and the
/// journal continues.
#[test]
fn a_body_cut_short_is_none() {
    let folder = TempDir::new().unwrap();
    let (journal, ..) = open(folder.path());
    let ends = write(&journal);
    drop(journal);
    let bytes = fs::read(&segments(folder.path())[0]).unwrap();
    let part = HEADER_LEN + MAX_PART_LEN;
    for len in [
        ends[0] + 20,
        ends[0] + part,
        ends[0] + part + 10,
        ends[0] + 2 * part,
        ends[0] + 2 * part + HEADER_LEN,
        ends[1] - 1,
    ] {
        for end in [ends[0], ends[1]] {
            let len = len - ends[0] + end;
            let folder = TempDir::new().unwrap();
            let path = folder.path().join(format!("{:020}.journal", 1));
            fs::write(&path, &bytes[..len]).unwrap();
            // The machine has not rebooted since.
            let index = folder.path().join(format!("{:020}.index", 1));
            fs::write(&index, index_before(end == ends[1])).unwrap();
            let (journal, recovered, records) = open(folder.path());
            assert_eq!(recovered.corrupt, [], "{len}");
            assert_eq!(recovered.torn_tail_bytes as usize, len - end, "{len}");
            let expected = if end == ends[0] { vec![1] } else { vec![1, 2] };
            assert_eq!(keys(&records), expected, "{len}");
            journal.put(&[(9, b"next")]).unwrap();
            drop(journal);
            let (_, recovered, records) = open(folder.path());
            assert_eq!(recovered.corrupt, [], "{len}");
            assert_eq!(records.last().unwrap(), &record(9, "next"));
        }
    }
}

/// The index of a journal that has the first record, or the first two.
fn index_before(has_second: bool) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let (journal, ..) = open(folder.path());
    journal.put(&[(1, b"one")]).unwrap();
    if has_second {
        journal.put(&[(2, &much())]).unwrap();
    }
    drop(journal);
    fs::read(folder.path().join(format!("{:020}.index", 1))).unwrap()
}

#[test]
fn damage_to_any_part_loses_that_body_only() {
    let folder = TempDir::new().unwrap();
    let (journal, ..) = open(folder.path());
    let ends = write(&journal);
    drop(journal);
    let path = &segments(folder.path())[0];
    let bytes = fs::read(path).unwrap();
    let index = fs::read(path.with_extension("index")).unwrap();
    let part = HEADER_LEN + MAX_PART_LEN;
    for (begin, lost) in [(ends[0], vec![2]), (ends[1], vec![3, 4])] {
        for (at, len) in [
            (3, 1),
            (HEADER_LEN + 50, 1),
            (part + 3, 1),
            (part + HEADER_LEN + 9, 1),
            (2 * part + 3, 1),
            (2 * part + HEADER_LEN + 9, 1),
            (part - 20, 200),
            (10, 2 * part),
        ] {
            let mut bytes = bytes.clone();
            bytes[begin + at..][..len]
                .iter_mut()
                .for_each(|byte| *byte ^= 0x11);
            for has_index in [true, false] {
                let folder = TempDir::new().unwrap();
                let path = folder.path().join(format!("{:020}.journal", 1));
                fs::write(&path, &bytes).unwrap();
                if has_index {
                    fs::write(path.with_extension("index"), &index).unwrap();
                }
                let (_, recovered, records) = open(folder.path());
                let told = || format!("{begin} + {at}, {has_index}: {:#?}", recovered.corrupt);
                let kept = [1, 2, 3, 4, 5]
                    .into_iter()
                    .filter(|key| !lost.contains(key));
                assert_eq!(keys(&records), kept.collect::<Vec<_>>(), "{}", told());
                let mut named: Vec<_> = recovered.corrupt.iter().filter_map(|c| c.key).collect();
                named.sort_unstable();
                named.dedup();
                if has_index {
                    assert_eq!(named, lost, "{}", told());
                }
                assert!(named.contains(&lost[0]), "{}", told());
                assert!(
                    recovered
                        .corrupt
                        .iter()
                        .all(|c| c.detail != Damage::Garbage)
                );
            }
        }
    }
}

#[test]
fn a_segment_header_of_zeros_hides_nothing() {
    let folder = TempDir::new().unwrap();
    let (journal, ..) = open(folder.path());
    write(&journal);
    drop(journal);
    let path = &segments(folder.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[..SEGMENT_HEADER_LEN].fill(0);
    for has_index in [true, false] {
        fs::write(path, &bytes).unwrap();
        if !has_index {
            fs::remove_file(path.with_extension("index")).unwrap();
        }
        let (_, recovered, records) = open(folder.path());
        assert!(records == expected());
        let details: Vec<_> = recovered.corrupt.iter().map(|place| place.detail).collect();
        assert_eq!(details, [Damage::SegmentHeader]);
        // Nothing is written after it, and nothing is removed.
        assert_eq!(fs::read(path).unwrap(), bytes);
        assert_eq!(segments(folder.path()).len(), 2);
        fs::remove_file(&segments(folder.path())[1]).unwrap();
    }
}
