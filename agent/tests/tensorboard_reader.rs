//! Checks that TensorBoard's own reader can read the files of
//! [`agent::views::monitor::EventsFile`].
//!
//! Needs the feature `python-tests` and a Python with the package `tensorboard`.

use std::path::Path;
use std::process::Command;

use agent::views::monitor::{EventsFile, LogRecord, Monitor, Progress};
use serde_json::{Value, json};

/// Environment variable with the path of a Python that has the package `tensorboard`.
const PYTHON: &str = "STRATEGIC_MEMORY_PYTHON";

const HOW_TO_INSTALL: &str = "python3 -m venv .venv && .venv/bin/pip install tensorboard && \
     export STRATEGIC_MEMORY_PYTHON=$PWD/.venv/bin/python";

/// Reads a folder with TensorBoard; returns tag → `[[step, value], …]`.
fn read_with_tensorboard(folder: &Path) -> Value {
    let python = std::env::var_os(PYTHON)
        .unwrap_or_else(|| panic!("{PYTHON} is not set; to set it: {HOW_TO_INSTALL}"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/read_tensorboard.py");
    let output = Command::new(&python)
        .arg(script)
        .arg(folder)
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot run {}: {error}; {HOW_TO_INSTALL}", python.display())
        });
    assert!(
        output.status.success(),
        "{}\nIf a module is missing: {HOW_TO_INSTALL}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

/// Writes one update at each of `timesteps`, with `session` as the loss.
fn play(events: &mut EventsFile, session: f64, timesteps: &[u64]) {
    for &timesteps in timesteps {
        let progress = Progress {
            timesteps,
            ..Progress::default()
        };
        let mut record = LogRecord::default();
        record.section("time").put("episodes", timesteps / 16);
        record.section("train").put("loss", session);
        events.update(&progress, &record).unwrap();
    }
    events.finish(&Progress::default()).unwrap();
}

#[test]
fn curves_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = EventsFile::open(folder.path(), None).unwrap();
    play(&mut events, 0.5, &[64, 128]);
    play(&mut events, f64::NAN, &[192]);
    assert_eq!(
        read_with_tensorboard(folder.path()),
        json!({
            "time/episodes": [[64, 4.0], [128, 8.0], [192, 12.0]],
            "train/loss": [[64, 0.5], [128, 0.5], [192, "nan"]],
        })
    );
}

#[test]
fn a_resumed_run_continues_the_curve_from_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = EventsFile::open(folder.path(), None).unwrap();
    play(&mut first, 1.0, &[64, 128, 192, 256]);
    let mut second = EventsFile::open(folder.path(), Some(128)).unwrap();
    play(&mut second, 2.0, &[192]);
    assert_eq!(
        read_with_tensorboard(folder.path())["train/loss"],
        json!([[64, 1.0], [128, 1.0], [192, 2.0]])
    );
}

#[test]
fn a_new_run_in_a_used_folder_voids_the_old_curves() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = EventsFile::open(folder.path(), None).unwrap();
    play(&mut old, 1.0, &[64, 128]);
    let mut new = EventsFile::open(folder.path(), None).unwrap();
    play(&mut new, 2.0, &[64]);
    assert_eq!(
        read_with_tensorboard(folder.path())["train/loss"],
        json!([[64, 2.0]])
    );
}
