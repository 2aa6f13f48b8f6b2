//! TensorBoard event files: one file a session, one event an update, one scalar a measured value.
//!
//! An event file is a sequence of TFRecords, each an `Event` in protobuf. The few messages needed
//! are declared by hand, with the field numbers of TensorFlow's `event.proto` and `summary.proto`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;

use super::tfrecord::append_record;
use super::{LogRecord, Monitor, MonitorError, Progress};

/// What the first event of a file says: the format's version.
const FILE_VERSION: &str = "brain.Event:2";

/// Writes an event file, tags `section/key`, the steps on the curves being environment steps.
#[derive(Debug)]
pub struct EventsFile {
    path: PathBuf,
    file: File,
}

impl EventsFile {
    /// Starts an event file in `folder`, which is made if needed: for a new run (`resume_at` is
    /// `None`), or for one that goes on from a checkpoint taken after `resume_at` environment
    /// steps. Earlier event files stay as they are; the new one tells TensorBoard to forget
    /// whatever they hold beyond the point where it starts.
    ///
    /// # Errors
    /// When the folder or the file cannot be made or written.
    pub fn open(folder: &Path, resume_at: Option<u64>) -> Result<Self, MonitorError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| MonitorError::io("make the folder", folder, source))?;
        let now = since_epoch();
        // TensorBoard takes files with "tfevents" in their name, in the order of their names.
        let path = folder.join(format!(
            "events.out.tfevents.{:010}.{:09}",
            now.as_secs(),
            now.subsec_nanos()
        ));
        let file =
            File::create_new(&path).map_err(|source| MonitorError::io("make", &path, source))?;
        let mut events = Self { path, file };
        events.write(&[
            Event {
                wall_time: now.as_secs_f64(),
                step: 0,
                what: Some(What::FileVersion(FILE_VERSION.to_owned())),
            },
            Event {
                wall_time: now.as_secs_f64(),
                step: resume_at.map_or(0, |timesteps| timesteps as i64 + 1),
                what: Some(What::SessionLog(SessionLog {
                    status: SessionStatus::Start.into(),
                })),
            },
        ])?;
        Ok(events)
    }

    fn write(&mut self, events: &[Event]) -> Result<(), MonitorError> {
        let mut bytes = Vec::new();
        for event in events {
            append_record(&mut bytes, &event.encode_to_vec());
        }
        self.file
            .write_all(&bytes)
            .map_err(|source| MonitorError::io("write", &self.path, source))
    }
}

impl Monitor for EventsFile {
    fn update(&mut self, progress: &Progress, record: &LogRecord) -> Result<(), MonitorError> {
        let value = record
            .scalars()
            .map(|(tag, value)| SummaryValue {
                tag,
                simple_value: Some(value as f32),
            })
            .collect();
        self.write(&[Event {
            wall_time: since_epoch().as_secs_f64(),
            step: progress.timesteps as i64,
            what: Some(What::Summary(Summary { value })),
        }])
    }

    fn finish(&mut self, _progress: &Progress) -> Result<(), MonitorError> {
        self.file
            .sync_all()
            .map_err(|source| MonitorError::io("write", &self.path, source))
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Something that happened at a step.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    /// Optional because a zero is a value too, and must be written.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// The life of the process that writes. A start at step `s` voids all earlier events from `s` on.
#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(enumeration = "SessionStatus", tag = "1")]
    status: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum SessionStatus {
    Unspecified = 0,
    Start = 1,
}

#[cfg(test)]
mod tests {
    use super::super::tfrecord::read_records;
    use super::*;

    #[test]
    fn events_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventsFile::open(folder.path(), Some(64)).unwrap();
        let mut record = LogRecord::default();
        record
            .section("train")
            .put("loss", 0.0)
            .put("n_updates", 3_u64);
        let progress = Progress {
            timesteps: 96,
            ..Progress::default()
        };
        file.update(&progress, &record).unwrap();
        file.finish(&progress).unwrap();

        let bytes = std::fs::read(&file.path).unwrap();
        let events: Vec<Event> = read_records(&bytes)
            .into_iter()
            .map(|payload| Event::decode(payload).unwrap())
            .collect();
        let said: Vec<_> = events
            .iter()
            .map(|event| (event.step, event.what.clone().unwrap()))
            .collect();
        let scalar = |tag: &str, value| SummaryValue {
            tag: tag.to_owned(),
            simple_value: Some(value),
        };
        assert_eq!(
            said,
            [
                (0, What::FileVersion("brain.Event:2".to_owned())),
                (65, What::SessionLog(SessionLog { status: 1 })),
                (
                    96,
                    What::Summary(Summary {
                        value: vec![scalar("train/loss", 0.0), scalar("train/n_updates", 3.0)]
                    })
                ),
            ]
        );
        assert!(
            events
                .windows(2)
                .all(|pair| pair[0].wall_time <= pair[1].wall_time)
        );
    }

    #[test]
    fn fields_are_numbered_as_in_tensorflow() {
        // field 2, varint 5 · field 5, 11 bytes: field 1, 9 bytes: "ab" as field 1, 1.0 as field 2
        let event = Event {
            wall_time: 0.0,
            step: 5,
            what: Some(What::Summary(Summary {
                value: vec![SummaryValue {
                    tag: "ab".to_owned(),
                    simple_value: Some(1.0),
                }],
            })),
        };
        assert_eq!(
            event.encode_to_vec(),
            b"\x10\x05\x2a\x0b\x0a\x09\x0a\x02ab\x15\x00\x00\x80\x3f"
        );
    }
}
