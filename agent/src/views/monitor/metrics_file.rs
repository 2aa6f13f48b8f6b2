//! `metrics.jsonl`: one line an update.
//!
//! ```json
//! {"timesteps":1024,"metrics":{"rollout/ep_rew_mean":0.5,"train/loss":0.03},"wall_clock":{"time/fps":61234}}
//! ```
//! Values that depend on the clock have a place of their own, so that two runs can be compared
//! without them. JSON has no NaN and no infinity: both are `null`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::{LogRecord, LogValue, Monitor, MonitorError, Progress};

/// Writes `metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    file: File,
}

impl MetricsFile {
    /// Opens the file of a new run (`resume_at` is `None`: an existing file is replaced), or of a
    /// run that is resumed from a checkpoint taken after `resume_at` environment steps. Later
    /// lines, and a last line cut short by a crash, are removed, so that the file becomes the same
    /// as that of an uninterrupted run.
    ///
    /// # Errors
    /// When the file cannot be opened or cut, or holds a line that is not one of metrics.
    pub fn open(path: impl Into<PathBuf>, resume_at: Option<u64>) -> Result<Self, MonitorError> {
        let path = path.into();
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| MonitorError::io("open", &path, source))?;
        let keep_bytes = match resume_at {
            Some(timesteps) => bytes_until(&path, timesteps)?,
            None => 0,
        };
        file.set_len(keep_bytes)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(|source| MonitorError::io("cut", &path, source))?;
        Ok(Self { path, file })
    }
}

impl Monitor for MetricsFile {
    fn update(&mut self, progress: &Progress, record: &LogRecord) -> Result<(), MonitorError> {
        let line = NewLine {
            timesteps: progress.timesteps,
            metrics: Values {
                record,
                wall_clock: false,
            },
            wall_clock: Values {
                record,
                wall_clock: true,
            },
        };
        let mut bytes = serde_json::to_vec(&line).expect("maps with string keys are valid JSON");
        bytes.push(b'\n');
        // One write a line, straight to the file: nothing is left to flush.
        self.file
            .write_all(&bytes)
            .map_err(|source| MonitorError::io("write", &self.path, source))
    }

    fn finish(&mut self, _progress: &Progress) -> Result<(), MonitorError> {
        self.file
            .sync_all()
            .map_err(|source| MonitorError::io("write", &self.path, source))
    }
}

/// A line as it is written, values in the order of their record.
#[derive(Serialize)]
struct NewLine<'a> {
    timesteps: u64,
    metrics: Values<'a>,
    wall_clock: Values<'a>,
}

/// The values of a record that depend on the clock, or the others.
struct Values<'a> {
    record: &'a LogRecord,
    wall_clock: bool,
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for entry in self.record.entries() {
            if entry.wall_clock == self.wall_clock {
                match entry.value {
                    LogValue::Count(count) => map.serialize_entry(&entry.tag(), &count)?,
                    // serde_json writes what is not finite as null.
                    LogValue::Real(real) => map.serialize_entry(&entry.tag(), &real)?,
                }
            }
        }
        map.end()
    }
}

/// A line read back.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsLine {
    /// Environment steps taken when the line was written.
    pub timesteps: u64,
    /// `section/key` → value; `None` where it was not finite.
    pub metrics: BTreeMap<String, Option<f64>>,
    /// The same for values that depend on the clock.
    pub wall_clock: BTreeMap<String, Option<f64>>,
}

/// Reads a metrics file; a last line without its line end, cut short by a crash, is ignored.
///
/// # Errors
/// When the file cannot be read or another line is not one of metrics.
pub fn read_metrics(path: &Path) -> Result<Vec<MetricsLine>, MonitorError> {
    let bytes = read(path)?;
    whole_lines(path, &bytes).map(|line| Ok(line?.0)).collect()
}

/// The length of the file's beginning in which no line is later than `timesteps`.
fn bytes_until(path: &Path, timesteps: u64) -> Result<u64, MonitorError> {
    let bytes = read(path)?;
    let mut keep_bytes = 0;
    for line in whole_lines(path, &bytes) {
        let (line, length) = line?;
        if line.timesteps > timesteps {
            break;
        }
        keep_bytes += length;
    }
    Ok(keep_bytes as u64)
}

fn read(path: &Path) -> Result<Vec<u8>, MonitorError> {
    std::fs::read(path).map_err(|source| MonitorError::io("read", path, source))
}

/// The lines that have their line end, each with its length in bytes including it.
fn whole_lines<'a>(
    path: &'a Path,
    bytes: &'a [u8],
) -> impl Iterator<Item = Result<(MetricsLine, usize), MonitorError>> + 'a {
    bytes
        .split_inclusive(|&byte| byte == b'\n')
        .filter(|line| line.ends_with(b"\n"))
        .enumerate()
        .map(|(index, line)| match serde_json::from_slice(line) {
            Ok(parsed) => Ok((parsed, line.len())),
            Err(error) => Err(MonitorError::BadMetricsLine {
                path: path.to_path_buf(),
                line: index + 1,
                reason: error.to_string(),
            }),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes one update at each of `timesteps`, with a loss that is a function of it.
    fn play(file: &mut MetricsFile, timesteps: &[u64]) {
        for &timesteps in timesteps {
            let progress = Progress {
                timesteps,
                ..Progress::default()
            };
            let mut record = LogRecord::default();
            record.section("train").put("loss", 1.0 / timesteps as f64);
            file.update(&progress, &record).unwrap();
        }
    }

    #[test]
    fn a_line_is_as_documented() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut record = LogRecord::default();
        record
            .section("rollout")
            .put("ep_rew_mean", 0.5)
            .put("ep_rew_std", f64::NAN);
        record
            .section("time")
            .put_wall_clock("fps", 61_234_u64)
            .put("episodes", 64_u64);
        record.section("train").put("loss", f64::NEG_INFINITY);
        let progress = Progress {
            timesteps: 1_024,
            ..Progress::default()
        };

        let mut file = MetricsFile::open(&path, None).unwrap();
        file.update(&progress, &record).unwrap();

        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\"timesteps\":1024,\
             \"metrics\":{\"rollout/ep_rew_mean\":0.5,\"rollout/ep_rew_std\":null,\
             \"time/episodes\":64,\"train/loss\":null},\
             \"wall_clock\":{\"time/fps\":61234}}\n"
        );
        let lines = read_metrics(&path).unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].timesteps, 1_024);
        assert_eq!(lines[0].metrics["time/episodes"], Some(64.0));
        assert_eq!(lines[0].metrics["train/loss"], None);
        assert_eq!(lines[0].wall_clock["time/fps"], Some(61_234.0));
    }

    #[test]
    fn a_resumed_file_equals_an_uninterrupted_one() {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole.jsonl");
        play(
            &mut MetricsFile::open(&whole, None).unwrap(),
            &[3, 6, 9, 12],
        );

        let resumed = folder.path().join("resumed.jsonl");
        let mut file = MetricsFile::open(&resumed, None).unwrap();
        play(&mut file, &[3, 6, 9]);
        // The crash comes in the middle of a line; the checkpoint was taken at step 6.
        file.file.write_all(b"{\"timesteps\":12,\"met\xE2").unwrap();
        drop(file);
        assert_eq!(read_metrics(&resumed).unwrap().len(), 3);
        play(&mut MetricsFile::open(&resumed, Some(6)).unwrap(), &[9, 12]);

        assert_eq!(
            std::fs::read_to_string(&resumed).unwrap(),
            std::fs::read_to_string(&whole).unwrap()
        );
    }

    #[test]
    fn a_new_run_replaces_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        play(&mut MetricsFile::open(&path, None).unwrap(), &[1, 2, 3]);
        play(&mut MetricsFile::open(&path, None).unwrap(), &[5]);
        let timesteps: Vec<_> = read_metrics(&path)
            .unwrap()
            .iter()
            .map(|line| line.timesteps)
            .collect();
        assert_eq!(timesteps, [5]);
    }

    #[test]
    fn a_foreign_line_is_an_error_that_says_where_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        play(&mut MetricsFile::open(&path, None).unwrap(), &[1]);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("shopping list\n");
        std::fs::write(&path, &text).unwrap();

        let error = MetricsFile::open(&path, Some(10)).unwrap_err();

        assert!(error.to_string().contains("line 2"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
