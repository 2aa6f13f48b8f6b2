//! Damage anywhere in journals of any shape, and processes that end anywhere.

use std::collections::BTreeSet;
use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::Key;
use super::{Record, config, open_with, segments};

const SEGMENT_BYTES: u64 = 700;

/// Frames of records with these keys and payload lengths; each record begins with its own number.
fn frames(shape: &[Vec<(Key, usize)>]) -> Vec<Vec<Record>> {
    let mut number = 0_u64;
    let mut record = |(key, len): &(Key, usize)| {
        number += 1;
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(8 + len, 0);
        (*key, payload)
    };
    shape
        .iter()
        .map(|frame| frame.iter().map(&mut record).collect())
        .collect()
}

fn shape() -> impl Strategy<Value = Vec<Vec<(Key, usize)>>> {
    vec(vec((1..6_u64, 0..90_usize), 1..4), 1..30)
}

/// A journal of these frames.
fn written(frames: &[Vec<Record>]) -> TempDir {
    // A folder in memory, where the system has one.
    let folder = TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .unwrap();
    let (journal, ..) = open_with(config(folder.path(), SEGMENT_BYTES));
    for frame in frames {
        let records: Vec<_> = frame
            .iter()
            .map(|(key, bytes)| (*key, &bytes[..]))
            .collect();
        journal.put(&records).unwrap();
    }
    folder
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Missing records are reported, key by key, and nothing else is.
    #[test]
    fn what_is_missing_is_reported(
        shape in shape(),
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        len in prop_oneof![Just(1_usize), 2..100_usize, Just(512), Just(4_096)],
        mask in prop_oneof![Just(None), (1..=255_u8).prop_map(Some)],
    ) {
        let frames = frames(&shape);
        let folder = written(&frames);
        let paths = segments(folder.path());
        let path = &paths[which.index(paths.len())];
        let mut bytes = fs::read(path).unwrap();
        let begin = at.index(bytes.len());
        let end = bytes.len().min(begin + len);
        for byte in &mut bytes[begin..end] {
            *byte = mask.map_or(0, |mask| *byte ^ mask);
        }
        fs::write(path, &bytes).unwrap();

        let (journal, recovered, records) = open_with(config(folder.path(), SEGMENT_BYTES));
        let all = frames.concat();
        prop_assert!(records.iter().all(|record| all.contains(record)));
        prop_assert!(records.is_sorted_by_key(|(_, payload)| payload[..8].iter().copied().rev().collect::<Vec<_>>()));
        let missing: BTreeSet<Key> = all.iter().filter(|r| !records.contains(r)).map(|(key, _)| *key).collect();
        let reported: BTreeSet<Key> = recovered.corrupt.iter().filter_map(|place| place.key).collect();
        prop_assert_eq!(&reported, &missing, "{:#?}", recovered);
        let is_unknown = recovered.corrupt.iter().any(|place| place.key.is_none() && place.frames > 0);
        prop_assert!(!is_unknown, "{:#?}", recovered);
        prop_assert_eq!(recovered.torn_tail_bytes, 0);

        // The journal continues, and reports the same again.
        journal.put(&[(9, b"more")]).unwrap();
        drop(journal);
        let (_, again, mut more) = open_with(config(folder.path(), SEGMENT_BYTES));
        prop_assert_eq!(more.pop(), Some((9, b"more".to_vec())));
        prop_assert_eq!(more, records);
        let reported_again: BTreeSet<Key> = again.corrupt.iter().filter_map(|place| place.key).collect();
        prop_assert_eq!(reported_again, missing, "{:#?}", again);
    }

    /// A process that ends in the middle of an append loses that append and nothing else, and
    /// nothing is reported.
    #[test]
    fn a_process_that_ends_in_the_middle_is_no_damage(
        shape in shape(),
        at in any::<prop::sample::Index>(),
    ) {
        let frames = frames(&shape);
        let (last, others) = frames.split_last().unwrap();
        let folder = written(others);
        let before = segments(folder.path()).pop().unwrap();
        let len = fs::metadata(&before).unwrap().len() as usize;
        let index = fs::read(before.with_extension("index")).unwrap();
        let (journal, ..) = open_with(config(folder.path(), SEGMENT_BYTES));
        let records: Vec<_> = last.iter().map(|(key, bytes)| (*key, &bytes[..])).collect();
        journal.put(&records).unwrap();
        drop(journal);
        // The process did not reach the end of the write, and so not the index.
        let path = segments(folder.path()).pop().unwrap();
        fs::remove_file(path.with_extension("index")).unwrap();
        fs::write(before.with_extension("index"), index).unwrap();
        let bytes = fs::read(&path).unwrap();
        let begin = if path == before { len } else { 0 };
        let cut = begin + at.index(bytes.len() - begin);
        fs::write(&path, &bytes[..cut]).unwrap();

        let (journal, recovered, records) = open_with(config(folder.path(), SEGMENT_BYTES));
        prop_assert_eq!(recovered.corrupt, []);
        prop_assert_eq!(&records, &others.concat());
        journal.put(&[(9, b"more")]).unwrap();
    }
}
