//! Crashes: real ones, by SIGKILL, and simulated ones compared with a model.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::{Key, fuzz_segment};
use super::{Record, config, open_with, segments};

/// Tells the child where its journal is.
const CHILD_DIR: &str = "JOURNAL_CRASH_TEST_DIR";
const SEGMENT_BYTES: u64 = 10_000;

/// Not a test of its own, but the child that [`killed_at_any_moment`] starts and kills. Appends
/// forever and prints what was acknowledged.
#[test]
#[ignore = "the child of another test"]
fn child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let (journal, _, records) = open_with(config(Path::new(&dir), SEGMENT_BYTES));
    let mut stdout = std::io::stdout().lock();
    for number in records.len() as u64 / 2.. {
        let payload = number.to_le_bytes();
        journal
            .put(&[(number, &payload), (number + 1, &payload)])
            .unwrap();
        writeln!(stdout, "acknowledged {number}").unwrap();
        stdout.flush().unwrap();
    }
}

/// Runs a child until it has acknowledged `num_lines`, kills it, and returns the last number it
/// acknowledged.
fn run_and_kill(dir: &Path, num_lines: usize) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "journal::tests::crash::child",
            "--ignored",
            "--nocapture",
        ])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The test harness may print something first, without ending its line.
    let number = |line: String| line.split_once("acknowledged ")?.1.parse::<u64>().ok();
    let mut last = lines
        .by_ref()
        .filter_map(|line| number(line.unwrap()))
        .take(num_lines)
        .last();
    // This is SIGKILL. Lines that the child wrote meanwhile are still in the pipe; an unfinished
    // line acknowledges nothing.
    child.kill().unwrap();
    let mut rest: Vec<String> = lines.map_while(Result::ok).collect();
    rest.pop();
    last = rest.into_iter().filter_map(number).next_back().or(last);
    child.wait().unwrap();
    last
}

#[test]
fn killed_at_any_moment() {
    let folder = TempDir::new().unwrap();
    let mut least = 0;
    for round in 1..=12 {
        let acknowledged = run_and_kill(folder.path(), round * 37).expect("it acknowledged some");
        assert!(acknowledged >= least);
        let (_, recovered, records) = open_with(config(folder.path(), SEGMENT_BYTES));
        assert_eq!(recovered.corrupt, []);
        let num_frames = records.len() as u64 / 2;
        assert!(
            num_frames > acknowledged,
            "{num_frames} frames, {acknowledged} acknowledged"
        );
        let expected: Vec<Record> = (0..num_frames)
            .flat_map(|number| [number, number + 1].map(|key| (key, number.to_le_bytes().to_vec())))
            .collect();
        assert_eq!(records, expected);
        least = acknowledged;
    }
}

/// One event in the life of a journal.
#[derive(Clone, Debug)]
enum Event {
    Append(Vec<(Key, Vec<u8>)>),
    Reopen,
    /// The file ends this many bytes earlier, or at its header.
    Crash(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let records = vec((0..4_u64, vec(any::<u8>(), 0..80)), 1..4);
    prop_oneof![
        8 => records.prop_map(Event::Append),
        1 => Just(Event::Reopen),
        1 => (0..400_u64).prop_map(Event::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn random_appends_and_crashes_agree_with_a_model(events in vec(event(), 1..60)) {
        let folder = TempDir::new().unwrap();
        let config = || config(folder.path(), 500);
        // Frames by segment: only the last segment's tail is ever torn.
        let mut model: Vec<(u64, usize, Vec<Record>)> = Vec::new();
        let (mut journal, ..) = open_with(config());
        for event in events {
            match event {
                Event::Append(records) => {
                    let slices: Vec<_> = records.iter().map(|(key, bytes)| (*key, bytes.as_slice())).collect();
                    journal.put(&slices).unwrap();
                    let path = segments(folder.path()).pop().unwrap();
                    let end = fs::metadata(&path).unwrap().len();
                    model.push((end, segments(folder.path()).len(), records));
                    continue;
                }
                Event::Reopen => drop(journal),
                Event::Crash(num_bytes) => {
                    drop(journal);
                    let paths = segments(folder.path());
                    let file = fs::OpenOptions::new().write(true).open(&paths[paths.len() - 1]).unwrap();
                    let len = file.metadata().unwrap().len().saturating_sub(num_bytes).max(56);
                    file.set_len(len).unwrap();
                    model.retain(|(end, segment, _)| *segment < paths.len() || *end <= len);
                    // The machine has rebooted: how much was written before is no longer known.
                    for path in &paths {
                        let _ = fs::remove_file(path.with_extension("index"));
                    }
                }
            }
            let (reopened, recovered, records) = open_with(config());
            prop_assert_eq!(recovered.corrupt, []);
            let expected: Vec<Record> = model.iter().flat_map(|(.., records)| records.clone()).collect();
            prop_assert_eq!(records, expected);
            journal = reopened;
        }
        for path in segments(folder.path()) {
            let bytes = fs::read(path).unwrap();
            prop_assert_eq!(fuzz_segment(&bytes).torn_tail_bytes, 0);
        }
    }
}
