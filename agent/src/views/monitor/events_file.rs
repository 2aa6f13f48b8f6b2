//! TensorBoard event files: one file a session, one event an update, one scalar a measured value.
//!
//! An event file is a sequence of TFRecords, each an `Event` in protobuf. The few messages needed
//! are declared by hand, with the field numbers of TensorFlow's `event.proto` and `summary.proto`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;

use super::tfrecord::{append_record, each_beginning};
use super::{LogRecord, Monitor, MonitorError, Progress};

/// How the name of an event file begins; seconds and nanoseconds follow, of fixed width.
const NAME: &str = "events.out.tfevents.";
/// The first event of a file: the format's version.
const FILE_VERSION: &str = "brain.Event:2";

/// Writes an event file, tags `section/key`, the steps on the curves being environment steps.
#[derive(Debug)]
pub struct EventsFile {
    path: PathBuf,
    file: File,
    clock: EventClock,
}

impl EventsFile {
    /// Starts an event file in `folder`, which is created if needed: for a new run (`resume_at` is
    /// `None`), or for a run that is resumed from a checkpoint taken after `resume_at` environment
    /// steps. Earlier event files stay as they are; the new one tells TensorBoard to forget
    /// whatever they hold beyond the point where it starts.
    ///
    /// # Errors
    /// When the folder or the file cannot be made or written.
    pub fn open(folder: &Path, resume_at: Option<u64>) -> Result<Self, MonitorError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| MonitorError::io("make the folder", folder, source))?;
        let earlier = latest_event(folder)
            .map_err(|source| MonitorError::io("read the event files of", folder, source))?;
        let mut clock = EventClock::after(earlier, since_epoch());
        let (path, file) = create(folder, clock.time(since_epoch()))?;
        let now = clock.time(since_epoch());
        let mut events = Self { path, file, clock };
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
        let now = self.clock.time(since_epoch());
        self.write(&[Event {
            wall_time: now.as_secs_f64(),
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

/// Creates a file named by this time, or by the next free one.
fn create(folder: &Path, mut time: Duration) -> Result<(PathBuf, File), MonitorError> {
    loop {
        let (seconds, nanoseconds) = (time.as_secs(), time.subsec_nanos());
        let path = folder.join(format!("{NAME}{seconds:010}.{nanoseconds:09}"));
        match File::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                time += Duration::from_nanos(1);
            }
            Err(source) => return Err(MonitorError::io("make", &path, source)),
        }
    }
}

/// The latest time in a folder's event files: of the last one by name, and of the events in it.
fn latest_event(folder: &Path) -> io::Result<Option<Duration>> {
    let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
    let names: Vec<_> = names.collect::<io::Result<_>>()?;
    let last = names
        .iter()
        .filter_map(|name| Some((time_in(name)?, name)))
        .max();
    let Some((mut latest, name)) = last else {
        return Ok(None);
    };
    // A tag byte and `wall_time`, as the first field is written.
    each_beginning::<9>(File::open(folder.join(name))?, |event| {
        if let Ok(event) = Event::decode(event)
            && let Ok(time) = Duration::try_from_secs_f64(event.wall_time)
        {
            latest = latest.max(time);
        }
    })?;
    Ok(Some(latest))
}

/// The time in the name of an event file of ours.
fn time_in(name: &OsStr) -> Option<Duration> {
    let (seconds, nanoseconds) = name.to_str()?.strip_prefix(NAME)?.split_once('.')?;
    let nanoseconds = nanoseconds
        .parse()
        .ok()
        .filter(|&n: &u32| n < 1_000_000_000)?;
    Some(Duration::new(seconds.parse().ok()?, nanoseconds))
}

/// The time of day for events: that of the machine, moved on where earlier events are of a later time, and never back.
#[derive(Debug)]
struct EventClock {
    ahead: Duration,
    last: Duration,
}

impl EventClock {
    /// A clock that continues after `earlier`.
    fn after(earlier: Option<Duration>, now: Duration) -> Self {
        // More than the real numbers in a file tell apart, and less than anybody sees.
        const NEXT: Duration = Duration::from_micros(1);
        let first = earlier.map_or(now, |earlier| now.max(earlier + NEXT));
        Self {
            ahead: first.saturating_sub(now),
            last: first,
        }
    }

    fn time(&mut self, now: Duration) -> Duration {
        self.last = self.last.max(now + self.ahead);
        self.last
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

        let events = events_of(&file);
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

    fn events_of(file: &EventsFile) -> Vec<Event> {
        let bytes = std::fs::read(&file.path).unwrap();
        let records = read_records(&bytes).into_iter();
        records
            .map(|payload| Event::decode(payload).unwrap())
            .collect()
    }

    /// The files of a run whose clock was an hour ahead come first all the same.
    #[test]
    fn a_clock_that_was_put_back_does_not_put_events_in_disorder() {
        let folder = tempfile::tempdir().unwrap();
        let ahead = since_epoch() + Duration::from_secs(3_600);
        let (path, file) = create(folder.path(), ahead).unwrap();
        let clock = EventClock::after(Some(ahead), ahead);
        let mut first = EventsFile { path, file, clock };
        let later = ahead + Duration::from_secs(60);
        for wall_time in [ahead, later] {
            let wall_time = wall_time.as_secs_f64();
            let (step, what) = (8, None);
            first
                .write(&[Event {
                    wall_time,
                    step,
                    what,
                }])
                .unwrap();
        }
        // Killed in the middle of a record.
        first.file.write_all(&[24, 0, 0]).unwrap();

        let mut earlier = (first.path.clone(), later.as_secs_f64());
        for _ in 0..2 {
            let mut file = EventsFile::open(folder.path(), Some(8)).unwrap();
            let progress = Progress::default();
            file.update(&progress, &LogRecord::default()).unwrap();
            assert!(file.path > earlier.0, "{:?} {:?}", file.path, earlier.0);
            for event in events_of(&file) {
                assert!(event.wall_time >= earlier.1, "{event:?}");
                earlier.1 = event.wall_time;
            }
            earlier.0 = file.path;
        }
    }

    #[test]
    fn the_clock_of_events_never_goes_back() {
        let at = Duration::from_secs;
        let mut clock = EventClock::after(None, at(100));
        assert_eq!(
            [at(100), at(99), at(103)].map(|now| clock.time(now)),
            [100, 100, 103].map(at)
        );
        let mut clock = EventClock::after(Some(at(200)), at(100));
        let first = clock.time(at(100));
        assert!(first > at(200));
        assert_eq!(clock.time(at(107)), first + at(7));
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
