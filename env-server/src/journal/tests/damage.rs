//! Recovery of journals whose files were cut, flipped or lost.

use std::fs;
use std::ops::Range;
use std::path::Path;

use tempfile::TempDir;

use super::super::frame::{Frame, HEADER_LEN, MAGIC, SEGMENT_HEADER_LEN};
use super::super::{Corruption, Damage, Journal, Key, fuzz_segment};
use super::{Record, config, open, open_with, record, segments};

/// The records of each frame of the sample. Keys differ in their lowest digit.
fn sample() -> Vec<Vec<Record>> {
    vec![
        vec![record(1, "create")],
        vec![record(2, "create")],
        vec![record(1, "step")],
        vec![record(1, "fork"), record(3, "forked")],
        vec![record(2, "")],
        vec![record(3, "a longer payload than the others have")],
        vec![record(4, "last")],
    ]
}

fn append(journal: &Journal, frame: &[Record]) {
    let records: Vec<_> = frame
        .iter()
        .map(|(key, payload)| (*key, payload.as_slice()))
        .collect();
    journal.put(&records).unwrap();
}

/// A segment that holds the sample, and the range of each frame in it.
fn segment() -> (Vec<u8>, Vec<Range<usize>>) {
    let folder = TempDir::new().unwrap();
    let (journal, ..) = open(folder.path());
    let mut ranges = Vec::new();
    for frame in sample() {
        let start = journal.stats().bytes as usize;
        append(&journal, &frame);
        ranges.push(start..journal.stats().bytes as usize);
    }
    drop(journal);
    (fs::read(&segments(folder.path())[0]).unwrap(), ranges)
}

/// Puts one segment into an empty folder.
fn put(dir: &Path, number: u64, bytes: &[u8]) {
    fs::write(dir.join(format!("{number:020}.journal")), bytes).unwrap();
}

/// The records of some frames of the sample.
fn records_of(frames: impl Iterator<Item = usize>) -> Vec<Record> {
    frames.flat_map(|index| sample()[index].clone()).collect()
}

fn keys(corrupt: &[Corruption]) -> Vec<Option<Key>> {
    corrupt.iter().map(|corruption| corruption.key).collect()
}

#[test]
fn a_tail_torn_anywhere_costs_only_the_frame_it_tore() {
    let (bytes, ranges) = segment();
    let folder = TempDir::new().unwrap();
    for len in 0..=bytes.len() {
        put(folder.path(), 1, &bytes[..len]);
        let num_whole = ranges.iter().filter(|range| range.end <= len).count();
        let end = match num_whole {
            0 if len < SEGMENT_HEADER_LEN => 0,
            0 => SEGMENT_HEADER_LEN,
            whole => ranges[whole - 1].end,
        };
        let (journal, recovered, records) = open(folder.path());
        assert_eq!(records, records_of(0..num_whole), "cut to {len}");
        assert_eq!(recovered.corrupt, [], "cut to {len}");
        assert_eq!(recovered.torn_tail_bytes, (len - end) as u64);
        // The journal continues where the tail was cut.
        assert_eq!(
            journal.put(&[(9, b"new")]).unwrap().get(),
            num_whole as u64 + 1
        );
        drop(journal);
        let (_, recovered, mut records) = open(folder.path());
        assert_eq!((recovered.torn_tail_bytes, recovered.corrupt.len()), (0, 0));
        assert_eq!(records.pop(), Some(record(9, "new")));
        assert_eq!(records, records_of(0..num_whole));
        fs::remove_dir_all(folder.path()).unwrap();
        fs::create_dir(folder.path()).unwrap();
    }
}

#[test]
fn zeros_and_scraps_at_the_end_are_a_torn_tail() {
    let (bytes, _) = segment();
    for tail in [vec![0; 5_000], MAGIC.repeat(40), bytes[60..100].to_vec()] {
        let folder = TempDir::new().unwrap();
        put(folder.path(), 1, &[bytes.as_slice(), &tail].concat());
        let (_, recovered, records) = open(folder.path());
        assert_eq!(records, records_of(0..7));
        assert_eq!(recovered.corrupt, []);
        assert_eq!(recovered.torn_tail_bytes, tail.len() as u64);
        let path = &segments(folder.path())[0];
        assert_eq!(fs::read(path).unwrap(), bytes);
    }
}

#[test]
fn a_segment_that_was_being_created_is_no_loss() {
    let (bytes, _) = segment();
    for second in [vec![], bytes[..40].to_vec(), vec![0; 4_096]] {
        let folder = TempDir::new().unwrap();
        put(folder.path(), 1, &bytes[..bytes.len() - 1]);
        put(folder.path(), 2, &second);
        let (_, recovered, records) = open(folder.path());
        assert_eq!(records, records_of(0..6));
        assert_eq!(recovered.corrupt, []);
        assert_eq!(recovered.torn_tail_bytes, (55 + second.len()) as u64);
        assert_eq!(segments(folder.path()).len(), 1);
    }
}

/// Every single byte, with each of two bits flipped: nothing panics, only the records of that frame
/// are missing, and if it was in the middle, its keys are named.
#[test]
fn a_flipped_byte_costs_only_the_frame_it_hit() {
    let (bytes, ranges) = segment();
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut bytes = bytes.clone();
            bytes[at] ^= bit;
            let folder = TempDir::new().unwrap();
            put(folder.path(), 1, &bytes);
            let (journal, recovered, records) = open(folder.path());
            let hit = ranges.iter().position(|range| range.contains(&at));
            assert_eq!(
                records,
                records_of((0..7).filter(|index| Some(*index) != hit)),
                "at {at}"
            );
            check_report(&recovered.corrupt, &ranges, hit, at);
            // Records appended afterwards are read, whatever was reported before.
            journal.put(&[(9, b"new")]).unwrap();
            assert_eq!(journal.is_compaction_due(), !recovered.corrupt.is_empty());
            drop(journal);
            let (_, again, mut records) = open(folder.path());
            assert_eq!(records.pop(), Some(record(9, "new")), "at {at}");
            assert_eq!(again.corrupt, recovered.corrupt, "at {at}");
        }
    }
}

fn check_report(corrupt: &[Corruption], ranges: &[Range<usize>], hit: Option<usize>, at: usize) {
    match hit {
        None => {
            assert_eq!(keys(corrupt), [None], "at {at}");
            assert_eq!(
                (corrupt[0].detail, corrupt[0].frames),
                (Damage::SegmentHeader, 0)
            );
        }
        // At the end of the journal, damage is indistinguishable from an interrupted write.
        Some(6) => assert_eq!(corrupt, [], "at {at}"),
        Some(hit) => {
            let in_header = at < ranges[hit].start + HEADER_LEN;
            let in_directory = at < ranges[hit].start + HEADER_LEN + 2 * 12 + 4;
            let expected: &[Option<Key>] = match (hit, in_header, in_directory) {
                (3, true, _) => &[None, Some(1)],
                (3, false, true) => &[Some(1), None],
                (3, false, false) => &[Some(1), Some(3)],
                _ => &[Some(sample()[hit][0].0)],
            };
            assert_eq!(keys(corrupt), expected, "at {at}");
            for corruption in corrupt {
                assert_eq!(corruption.offset, ranges[hit].start as u64);
                assert_eq!((corruption.segment, corruption.frames), (1, 1));
                assert!(corruption.settled);
            }
        }
    }
}

#[test]
fn a_damaged_stretch_names_the_key_it_can_and_says_that_others_are_unknown() {
    let (mut bytes, ranges) = segment();
    bytes[ranges[1].start + 3..ranges[3].end - 3].fill(0xa5);
    let folder = TempDir::new().unwrap();
    put(folder.path(), 1, &bytes);
    let (_, recovered, records) = open(folder.path());
    assert_eq!(records, records_of([0, 4, 5, 6].into_iter()));
    assert_eq!(keys(&recovered.corrupt), [None, Some(1)]);
    assert_eq!(recovered.corrupt[0].frames, 3);
    assert_eq!(recovered.corrupt[0].offset, ranges[1].start as u64);
}

#[test]
fn frames_cut_out_of_the_middle_are_missed() {
    let (bytes, ranges) = segment();
    let folder = TempDir::new().unwrap();
    put(
        folder.path(),
        1,
        &[&bytes[..ranges[1].start], &bytes[ranges[1].end..]].concat(),
    );
    let (_, recovered, records) = open(folder.path());
    assert_eq!(records, records_of([0, 2, 3, 4, 5, 6].into_iter()));
    assert_eq!(keys(&recovered.corrupt), [Some(2)]);
    assert_eq!(recovered.corrupt[0].detail, Damage::Frame);
}

#[test]
fn copies_and_garbage_between_frames_change_nothing() {
    let (bytes, ranges) = segment();
    let (before, after) = bytes.split_at(ranges[2].start);
    for (between, detail) in [
        (bytes[ranges[0].clone()].to_vec(), Damage::Repeated),
        (vec![0; 700], Damage::Garbage),
        (b"scraps".to_vec(), Damage::Garbage),
    ] {
        let folder = TempDir::new().unwrap();
        put(folder.path(), 1, &[before, &between, after].concat());
        let (_, recovered, records) = open(folder.path());
        assert_eq!(records, records_of(0..7));
        assert_eq!(keys(&recovered.corrupt), [None]);
        assert_eq!(
            (recovered.corrupt[0].detail, recovered.corrupt[0].frames),
            (detail, 0)
        );
    }
}

/// A client chooses parts of a payload, which may hold a whole journal: damage in front of it must
/// not make its frames count.
#[test]
fn frames_inside_a_payload_stay_payload() {
    let (planted, ranges) = segment();
    let folder = TempDir::new().unwrap();
    let (journal, ..) = open(folder.path());
    journal.put(&[(1, b"first")]).unwrap();
    let at = journal.stats().bytes as usize;
    journal.put(&[(2, &planted[ranges[0].start..])]).unwrap();
    journal.put(&[(3, b"last")]).unwrap();
    drop(journal);
    let path = &segments(folder.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[at + 9] ^= 1;
    fs::write(path, &bytes).unwrap();
    let (_, recovered, records) = open(folder.path());
    assert_eq!(records, [record(1, "first"), record(3, "last")]);
    assert_eq!(keys(&recovered.corrupt), [Some(2)]);
}

#[test]
fn damage_in_one_segment_leaves_the_others() {
    let folder = TempDir::new().unwrap();
    let (journal, ..) = open_with(config(folder.path(), 200));
    for key in 0..9 {
        journal.put(&[(key, b"12345678")]).unwrap();
    }
    drop(journal);
    let paths = segments(folder.path());
    assert_eq!(paths.len(), 5);
    // One whole segment is lost, and the last frame of another.
    fs::remove_file(&paths[1]).unwrap();
    let bytes = fs::read(&paths[3]).unwrap();
    fs::write(&paths[3], &bytes[..bytes.len() - 1]).unwrap();
    let (_, recovered, records) = open(folder.path());
    let found: Vec<Key> = records.iter().map(|(key, _)| *key).collect();
    assert_eq!(found, [0, 1, 4, 5, 6, 8]);
    let reports: Vec<_> = recovered
        .corrupt
        .iter()
        .map(|corruption| {
            (
                corruption.segment,
                corruption.key,
                corruption.frames,
                corruption.detail,
            )
        })
        .collect();
    assert_eq!(
        reports,
        [
            (2, None, 0, Damage::SegmentMissing),
            (3, None, 1, Damage::Frame),
            (3, Some(3), 1, Damage::Frame),
            (4, Some(7), 1, Damage::Frame),
        ]
    );
    assert_eq!(recovered.torn_tail_bytes, 0);
}

#[test]
fn what_no_sync_covered_is_told_apart() {
    let mut bytes = segment().0;
    let ranges = segment().1;
    // As if only the first two frames had been durable when the last two were written. The other
    // frames say that everything before them was durable.
    for (frame, num_unsettled) in [(5, 3_u32), (6, 4)] {
        let header = &mut bytes[ranges[frame].start..ranges[frame].start + HEADER_LEN];
        header[48..].copy_from_slice(&num_unsettled.to_le_bytes());
        let checksum = crc32c::crc32c(&header[8..]);
        header[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
    for (frame, settled) in [(1, true), (4, false), (5, false)] {
        let mut bytes = bytes.clone();
        bytes[ranges[frame].start + 1] ^= 1;
        let folder = TempDir::new().unwrap();
        put(folder.path(), 1, &bytes);
        let (_, recovered, _) = open(folder.path());
        assert_eq!(recovered.corrupt.len(), 1);
        assert_eq!(recovered.corrupt[0].settled, settled, "frame {frame}");
    }
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    let (bytes, ranges) = segment();
    assert_eq!(fuzz_segment(&bytes).records, 8);
    assert_eq!(fuzz_segment(&[]).records, 0);
    assert_eq!(
        fuzz_segment(&bytes[..SEGMENT_HEADER_LEN + 20]).torn_tail_bytes,
        20
    );
    // Headers with sound checksums and nonsensical contents.
    for (at, value) in [
        (8, u32::MAX),
        (8, 0),
        (20, u32::MAX),
        (20, 2),
        (24, u32::MAX),
    ] {
        let mut bytes = bytes.clone();
        let header = &mut bytes[ranges[3].start..ranges[3].start + HEADER_LEN];
        header[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let checksum = crc32c::crc32c(&header[8..]);
        header[4..8].copy_from_slice(&checksum.to_le_bytes());
        assert!(fuzz_segment(&bytes).records >= 3, "{value} at {at}");
    }
    assert!(Frame::read(&bytes[ranges[0].start..], None).is_some());
}

proptest::proptest! {
    #[test]
    fn random_bytes_are_read_without_a_panic(
        mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2_000),
        at in 0..1_000_usize,
    ) {
        fuzz_segment(&bytes);
        let (whole, _) = segment();
        bytes.splice(at.min(bytes.len()).., whole);
        proptest::prop_assert!(fuzz_segment(&bytes).bytes == bytes.len() as u64);
    }
}
