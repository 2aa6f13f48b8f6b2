//! Flips or zeroes every byte of a small journal, alone and in runs: only the records hit are
//! affected, and every loss is reported.
//!
//! `JOURNAL_DAMAGE=all` tries every byte for every run, which takes minutes; by default some are
//! skipped.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::tests::{created, open, play, reset, single, step, vector};
use super::*;
use crate::session::{Kind, Operation};
use env_protocol::{ForkRequest, LeaseRequest};

/// The environments of the sample and their kinds.
const IDS: [(&str, Kind); 6] = [
    ("played", Kind::Single),
    ("vector", Kind::Vector),
    ("idle", Kind::Single),
    ("closed", Kind::Single),
    ("forked", Kind::Single),
    ("late", Kind::Single),
];

/// A small journal on which everything has happened.
struct Sample {
    segment: Vec<u8>,
    index: Vec<u8>,
    /// Ranges of bytes in the segment, and the environments they concern.
    frames: Vec<(Range<usize>, Vec<&'static str>)>,
    /// The condition of each environment.
    good: Vec<String>,
}

fn folder() -> TempDir {
    // A folder in memory, where the system has one.
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn segment_path(dir: &Path, extension: &str) -> PathBuf {
    dir.join(format!("{:020}.{extension}", 1))
}

fn sample() -> Sample {
    let dir = folder();
    let (store, _) = open(dir.path());
    let mut frames = Vec::new();
    let mut begun = fs::metadata(segment_path(dir.path(), "journal"))
        .unwrap()
        .len() as usize;
    let mut note = |ids: &[&'static str]| {
        let end = fs::metadata(segment_path(dir.path(), "journal"))
            .unwrap()
            .len() as usize;
        frames.push((begun..end, ids.to_vec()));
        begun = end;
    };
    let played = created(&store, "played", single());
    note(&["played"]);
    let v = created(&store, "vector", vector());
    note(&["vector"]);
    created(&store, "idle", single());
    note(&["idle"]);
    created(&store, "closed", single());
    note(&["closed"]);
    reset(&played, 0);
    note(&["played"]);
    for seq in 0..8 {
        play(&v, seq, seq + 1);
        note(&["vector"]);
        if seq < 4 {
            step(&played, seq + 1);
            note(&["played"]);
        }
    }
    store.close(Kind::Single, "closed", None).unwrap();
    note(&["closed"]);
    let fork = ForkRequest {
        seq: Some(5),
        env_id: Some("forked".to_owned()),
        ..ForkRequest::default()
    };
    store.fork(&played, fork, None).unwrap();
    note(&["played", "forked"]);
    store.renew(&v, LeaseRequest { ttl_s: Some(70) }).unwrap();
    note(&["vector"]);
    let late = created(&store, "late", single());
    note(&["late"]);
    for seq in 0..3 {
        play(&late, seq, seq + 1);
        note(&["late"]);
    }
    let good = IDS.map(|(id, kind)| condition(&store, id, kind)).to_vec();
    drop((played, v, late, store));
    Sample {
        segment: fs::read(segment_path(dir.path(), "journal")).unwrap(),
        index: fs::read(segment_path(dir.path(), "index")).unwrap(),
        frames,
        good,
    }
}

/// Returns the condition of an environment: its state and number, or how it ended.
fn condition(store: &Store, id: &str, kind: Kind) -> String {
    match store.get(kind, id, None) {
        Ok(session) => format!(
            "{:?}, {:?}",
            session.snapshot(),
            session.lock().unwrap().seq
        ),
        Err(problem) => problem.code.as_str().to_owned(),
    }
}

fn conditions(store: &Store) -> Vec<String> {
    IDS.map(|(id, kind)| condition(store, id, kind)).to_vec()
}

impl Sample {
    fn put(&self, dir: &Path, segment: &[u8], index: &[u8]) {
        fs::write(segment_path(dir, "journal"), segment).unwrap();
        fs::write(segment_path(dir, "index"), index).unwrap();
    }

    /// Opens the journal with these bytes damaged; if `is_thorough`, also a second time and after a
    /// compaction.
    fn check(&self, damaged: &Range<usize>, segment: &[u8], is_thorough: bool) {
        let dir = folder();
        self.put(dir.path(), segment, &self.index);
        let (store, recovery) = open(dir.path());
        let told = || format!("bytes {damaged:?}: {recovery:#?}");
        assert!(!recovery.damage.is_empty(), "{}", told());
        assert_eq!(recovery.torn_tail_bytes, 0, "{}", told());
        let hit = |id: &str| {
            self.frames.iter().any(|(frame, ids)| {
                ids.contains(&id) && frame.start < damaged.end && damaged.start < frame.end
            })
        };
        let found = conditions(&store);
        for ((id, kind), (found, good)) in IDS.into_iter().zip(found.iter().zip(&self.good)) {
            let is_reported = recovery.lost.iter().any(|(lost, _)| lost == id);
            if found == good {
                // An end that was damaged is known from the index.
                assert!(!is_reported, "{id}, {}", told());
                continue;
            }
            assert!(hit(id), "{id} was not hit and is {found}, {}", told());
            assert_eq!(found, "env-lost", "{id}, {}", told());
            assert!(is_reported, "{id}, {}", told());
            let told_of = recovery.damage.iter().any(|place| place.contains(id));
            assert!(told_of, "{id}, {}", told());
            // A client that creates it again does not get a new one.
            let creation = match kind {
                Kind::Single => single(),
                Kind::Vector => vector(),
            };
            let again = store.create_as(id, creation, None).err();
            assert_eq!(again.unwrap().code.as_str(), "env-lost", "{id}, {}", told());
        }
        assert_eq!(
            recovery.lost.len(),
            found.iter().filter(|c| *c == "env-lost").count(),
            "{}",
            told()
        );
        if !is_thorough {
            return;
        }
        drop(store);
        let (store, again) = open(dir.path());
        assert_eq!(conditions(&store), found, "again, {} {again:#?}", told());
        assert!(
            again.lost.is_empty(),
            "it was already reported, {} {again:#?}",
            told()
        );
        assert!(store.is_compaction_due());
        store.compact().unwrap();
        let aside = fs::read(segment_path(dir.path(), "damaged")).unwrap();
        assert!(aside.starts_with(segment), "{}", told());
        drop(store);
        let (store, compacted) = open(dir.path());
        assert_eq!(conditions(&store), found, "compacted, {}", told());
        assert!(compacted.damage.is_empty(), "{} {compacted:#?}", told());
        assert_eq!(compacted.set_aside.0, 1);
    }
}

#[test]
fn nothing_else_is_hurt_and_nothing_goes_unreported() {
    let sample = sample();
    let len = sample.segment.len();
    assert!((2_000..12_000).contains(&len), "{len}");
    let is_full = std::env::var("JOURNAL_DAMAGE").is_ok_and(|which| which == "all");
    let mut num_cases = 0;
    for (run, stride) in [(1, 5), (64, 31), (512, 97), (4_096, 307)] {
        let stride = if is_full { 1 } else { stride };
        for at in (0..len).step_by(stride) {
            let damaged = at..len.min(at + run);
            for is_zeroed in [true, false] {
                let mut segment = sample.segment.clone();
                for byte in &mut segment[damaged.clone()] {
                    *byte = if is_zeroed { 0 } else { *byte ^ 0x24 };
                }
                if segment != sample.segment {
                    num_cases += 1;
                    sample.check(&damaged, &segment, num_cases % 8 == 0);
                }
            }
        }
    }
    assert!(num_cases > 1_000, "{num_cases}");
}

#[test]
fn a_damaged_index_hurts_nothing() {
    let sample = sample();
    for at in (0..sample.index.len()).step_by(7) {
        for run in [1, 64, sample.index.len()] {
            let dir = folder();
            let mut index = sample.index.clone();
            let end = index.len().min(at + run);
            index[at..end].fill(0);
            sample.put(dir.path(), &sample.segment, &index);
            let (store, recovery) = open(dir.path());
            assert_eq!(conditions(&store), sample.good, "byte {at}: {recovery:?}");
            assert!(
                recovery.lost.is_empty() && recovery.damage.is_empty(),
                "byte {at}: {recovery:?}"
            );
        }
    }
}

/// A segment that ends earlier than its index says was cut by something other than a crash.
#[test]
fn a_journal_that_was_cut_has_lost_what_was_there() {
    let sample = sample();
    for len in (0..sample.segment.len()).step_by(23) {
        let dir = folder();
        sample.put(dir.path(), &sample.segment[..len], &sample.index);
        let (store, recovery) = open(dir.path());
        for ((id, _), (found, good)) in IDS.iter().zip(conditions(&store).iter().zip(&sample.good))
        {
            let is_cut = sample
                .frames
                .iter()
                .any(|(frame, ids)| ids.contains(id) && frame.end > len);
            assert!(
                found == good || is_cut && found == "env-lost",
                "{id} at {len}: {found}, {recovery:?}"
            );
        }
        assert!(!recovery.damage.is_empty(), "{recovery:?}");
    }
}

/// After a power cut the machine has rebooted, and the end of the journal may be anything.
#[test]
fn what_a_power_cut_tore_loses_no_environment() {
    let sample = sample();
    let (last, _) = sample.frames.last().unwrap();
    for at in [last.start + 1, last.start + 20, last.start + 30] {
        let dir = folder();
        let mut segment = sample.segment.clone();
        segment[at..].fill(0);
        // No index, as if the last boot were unknown.
        fs::write(segment_path(dir.path(), "journal"), &segment).unwrap();
        let (store, recovery) = open(dir.path());
        assert!(
            recovery.lost.is_empty() && recovery.damage.is_empty(),
            "{recovery:?}"
        );
        assert_eq!(recovery.torn_tail_bytes, last.len() as u64);
        let late = store.get(Kind::Single, "late", None).unwrap();
        assert_eq!(late.lock().unwrap().seq, 2);
        // The bytes cut off are kept.
        assert_eq!(recovery.set_aside.0, 1, "{at}");
        late.apply(Some(2), Operation::Step(vec![0.0])).unwrap();
    }
}

#[test]
fn a_journal_of_the_first_version_is_read_and_continued() {
    let dir = folder();
    let old = include_bytes!("version-1.journal");
    fs::write(segment_path(dir.path(), "journal"), old).unwrap();
    let (store, recovery) = open(dir.path());
    assert_eq!(
        (recovery.environments, recovery.lost.len()),
        (2, 0),
        "{recovery:?}"
    );
    assert!(
        recovery.damage.is_empty() && recovery.torn_tail_bytes == 0,
        "{recovery:?}"
    );
    let e = store.get(Kind::Single, "e", None).unwrap();
    let closed = store.get(Kind::Single, "g", None).err().unwrap();
    assert_eq!(closed.code.as_str(), "env-closed");
    e.apply(None, Operation::Reset(Default::default())).unwrap();
    let (snapshot, seq) = (e.snapshot().unwrap(), e.lock().unwrap().seq);
    drop((e, store));
    assert_eq!(fs::read(segment_path(dir.path(), "journal")).unwrap(), old);
    let (store, recovery) = open(dir.path());
    assert!(recovery.damage.is_empty(), "{recovery:?}");
    let e = store.get(Kind::Single, "e", None).unwrap();
    assert_eq!(
        (e.snapshot().unwrap(), e.lock().unwrap().seq),
        (snapshot, seq)
    );
}
