//! Checks that TensorBoard's own reader can read the files of
//! [`agent::views::monitor::EventsFile`].
//!
//! Needs the feature `python-tests` and a Python with the package `tensorboard`.

#[path = "../../tests/python/run.rs"]
mod python;

use std::path::Path;

use agent::views::monitor::{EventsFile, LogRecord, Monitor, Progress};
use serde_json::{Value, json};

/// Reads a folder with TensorBoard; returns tag → `[[step, value], …]`.
fn read_with_tensorboard(folder: &Path) -> Value {
    let printed = python::run("read_tensorboard.py", "tensorboard", &[folder], &[]);
    serde_json::from_slice(&printed).expect("the script prints JSON")
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
